"""OpenCLIP's vision transformer, with the key names it has in the checkpoints of unCLIP.

B pictures, N patches, W width of the transformer, D width of the space shared with texts.

Source: Radford et al. 2021, arXiv:2103.00020, section 2.4; Dosovitskiy et al. 2021, arXiv:2010.11929.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.families.openclip import HEAD_WIDTH, ResidualBlock
from modules.families.sd1.keys import Shapes

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the colours of training, 0..1."""
MAX_HEADS = 16
"""All published towers from ViT-L upwards have this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """Sizes of a vision transformer. The defaults are ViT-H/14."""

    width: int = 1280
    layers: int = 32
    mlp_width: int = 5120
    patch: int = 14
    positions: int = 257
    """Those of a square of patches, and one for the whole."""
    projection: int = 1024
    quick: bool = False
    """Whether its activation is the one of OpenAI's models."""

    @property
    def heads(self) -> int:
        """Number of attention heads."""
        return min(MAX_HEADS, max(1, self.width // HEAD_WIDTH))

    @property
    def side(self) -> int:
        """Side of the pictures it takes, pixels."""
        return round((self.positions - 1) ** 0.5) * self.patch


def vision_config(shapes: Shapes, *, quick: bool) -> VisionConfig:
    """Infer the sizes of a vision transformer from the shapes of its tensors, by name in `VisionTransformer`.

    Raises:
        KeyError: a tensor that tells a size is missing.
    """
    width, projection = shapes["proj"]
    return VisionConfig(
        width=width,
        layers=sum(f"transformer.resblocks.{i}.ln_1.weight" in shapes for i in range(len(shapes))),
        mlp_width=shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
        patch=shapes["conv1.weight"][2],
        positions=shapes["positional_embedding"][0],
        projection=projection,
        quick=quick,
    )


def quick_gelu(x: Tensor) -> Tensor:
    """Return the approximation of GELU that OpenAI's models were trained with."""
    return x * torch.sigmoid(1.702 * x)


class VisionTransformer(nn.Module):
    """Pictures to what they mean, in the space shared with texts.

    Args:
        config: sizes.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(config.positions, width))
        self.proj = nn.Parameter(torch.empty(width, config.projection))
        self.conv1 = nn.Conv2d(3, width, config.patch, stride=config.patch, bias=False)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        activate = quick_gelu if config.quick else F.gelu
        blocks = [
            ResidualBlock(width, config.heads, config.mlp_width, causal=False, activate=activate)
            for _ in range(config.layers)
        ]
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(blocks)})

    def forward(self, picture: Tensor) -> Tensor:
        """[B, 3, side, side], colours as `prepared` gives them -> [B, D], of any length."""
        patches = self.conv1(picture).flatten(2).transpose(1, 2)  # [B, W, h, w] -> [B, N, W]
        whole = self.class_embedding.expand(len(patches), 1, -1)
        x = self.ln_pre(torch.cat([whole, patches], dim=1) + self.positional_embedding)
        for block in self.transformer.get_submodule("resblocks").children():
            x = block(x)
        return self.ln_post(x[:, 0]) @ self.proj


def prepared(picture: Tensor, side: int) -> Tensor:
    """Stretch [B, 3, H, W] in -1..1 to a square and bring its colours to the scale of training."""
    square = F.interpolate(picture, size=(side, side), mode="bicubic", antialias=True)
    mean, std = (square.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return ((square + 1) / 2 - mean) / std
