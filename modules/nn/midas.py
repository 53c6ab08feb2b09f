"""MiDaS's DPT-Hybrid: how far away each pixel of a picture is, with the key names of its published weights.

B batch, H W height and width of the picture, both multiples of 32; N = H/16 * W/16 patches, D width of the transformer.

Source: Ranftl et al. 2021, arXiv:2103.13413.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.nn.bit import ResidualNet

MULTIPLE = 32
"""Sides of pictures must be multiples of this."""
PATCH = 16
HEAD_WIDTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class MidasConfig:
    """Sizes of a network. The defaults are those of the published one."""

    stem: int = 64
    stages: tuple[tuple[int, int], ...] = ((3, 256), (4, 512), (9, 1024))
    """Number of blocks and width of each stage of the residual network."""
    width: int = 768
    layers: int = 12
    mlp_width: int = 3072
    positions: int = 577
    """Those of a square of patches, and one for the whole."""
    features: int = 256
    head: tuple[int, int] = (128, 32)

    @property
    def heads(self) -> int:
        """Number of attention heads."""
        return max(1, self.width // HEAD_WIDTH)


def midas_config(shapes: Mapping[str, tuple[int, ...]]) -> MidasConfig:
    """Infer the sizes of a network from the shapes of its tensors, by name in `Midas`.

    Raises:
        KeyError: a tensor that tells a size is missing.
    """
    backbone, vit = "pretrained.model.patch_embed.backbone", "pretrained.model"
    stages: list[tuple[int, int]] = []
    while f"{backbone}.stages.{len(stages)}.blocks.0.conv3.weight" in shapes:
        stage = f"{backbone}.stages.{len(stages)}.blocks"
        blocks = sum(f"{stage}.{i}.conv3.weight" in shapes for i in range(len(shapes)))
        stages.append((blocks, shapes[f"{stage}.0.conv3.weight"][0]))
    if len(stages) != 3:
        raise KeyError(f"{backbone}.stages.{min(len(stages), 2)}.blocks.0.conv3.weight")
    return MidasConfig(
        stem=shapes[f"{backbone}.stem.conv.weight"][0],
        stages=tuple(stages),
        width=shapes[f"{vit}.cls_token"][2],
        layers=sum(f"{vit}.blocks.{i}.norm1.weight" in shapes for i in range(len(shapes))),
        mlp_width=shapes[f"{vit}.blocks.0.mlp.fc1.weight"][0],
        positions=shapes[f"{vit}.pos_embed"][1],
        features=shapes["scratch.layer1_rn.weight"][0],
        head=(shapes["scratch.output_conv.0.weight"][0], shapes["scratch.output_conv.2.weight"][0]),
    )


class Layer(nn.Module):
    """Attention and a two-layer network, each normalised before and added after."""

    def __init__(self, width: int, heads: int, mlp_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, mlp_width), "fc2": nn.Linear(mlp_width, width)})

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1 + N, D] -> [B, 1 + N, D]."""
        q, k, v = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, L, D] -> [B, heads, L, D / heads]
            for t in self.attn["qkv"](self.norm1(x)).chunk(3, dim=-1)
        )
        x = x + self.attn["proj"](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class HybridTransformer(nn.Module):
    """A transformer over the last features of the residual network."""

    def __init__(self, config: MidasConfig) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.empty(1, config.positions, config.width))
        self.patch_embed = nn.ModuleDict({
            "backbone": ResidualNet(config.stem, config.stages), "proj": nn.Conv2d(config.stages[-1][1], config.width, 1)
        })  # fmt: skip
        self.blocks = nn.ModuleList(Layer(config.width, config.heads, config.mlp_width) for _ in range(config.layers))

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> two feature maps [B, C, h, w], then tokens [B, 1 + N, D] from late and from last layers."""
        *maps, last = self.patch_embed["backbone"](x)
        tokens = self.patch_embed["proj"](last)
        positions = torch.cat([self.pos_embed[:, :1], self._positions(*tokens.shape[-2:])], dim=1)
        tokens = tokens.flatten(2).transpose(1, 2)  # [B, D, h, w] -> [B, N, D]
        x = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1) + positions
        taps = (3 * len(self.blocks) // 4 - 1, len(self.blocks) - 1)
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in taps:
                maps.append(x)
        return maps

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Stretch the square of positions over the patches: [1, rows * columns, D]."""
        side = round((self.pos_embed.shape[1] - 1) ** 0.5)
        square = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        return F.interpolate(square, size=(rows, columns), mode="bilinear").flatten(2).transpose(1, 2)


class Reassemble(nn.ModuleDict):
    """Tokens to a feature map; each token is told what the one for the whole says. The numbers are those of the file."""

    def __init__(self, width: int, *, halve: bool) -> None:
        told = nn.ModuleDict({"project": nn.ModuleDict({"0": nn.Linear(2 * width, width)})})
        super().__init__({"0": told, "3": nn.Conv2d(width, width, 1)})
        if halve:
            self["4"] = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, tokens: Tensor, rows: int, columns: int) -> Tensor:
        """[B, 1 + N, D] -> [B, D, rows, columns], halved where asked."""
        whole, own = tokens[:, :1], tokens[:, 1:]
        x = F.gelu(self.get_submodule("0.project.0")(torch.cat([own, whole.expand_as(own)], dim=2)))
        x = self["3"](x.transpose(1, 2).unflatten(2, (rows, columns)))
        return self["4"](x) if "4" in self else x


class ResidualUnit(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, C, h, w]."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Fusion(nn.Module):
    """Add finer features to coarser ones and double the resolution; the coarsest of all has none to add."""

    def __init__(self, features: int, *, joins: bool) -> None:
        super().__init__()
        if joins:
            self.resConfUnit1 = ResidualUnit(features)
        self.resConfUnit2 = ResidualUnit(features)
        self.out_conv = nn.Conv2d(features, features, 1)

    def forward(self, x: Tensor, finer: Tensor | None = None) -> Tensor:
        """[B, C, h, w], the same of finer features -> [B, C, 2 h, 2 w]."""
        if finer is not None:
            x = x + self.resConfUnit1(finer)
        x = F.interpolate(self.resConfUnit2(x), scale_factor=2, mode="bilinear", align_corners=True)
        return self.out_conv(x)


class Midas(nn.Module):
    """Estimate the inverse depth of a picture, up to scale and shift.

    Args:
        config: sizes.
    """

    def __init__(self, config: MidasConfig) -> None:
        super().__init__()
        self.config = config
        width, features, (wide, narrow) = config.width, config.features, config.head
        self.pretrained = nn.ModuleDict({
            "model": HybridTransformer(config),
            "act_postprocess3": Reassemble(width, halve=False),
            "act_postprocess4": Reassemble(width, halve=True),
        })  # fmt: skip
        widths = [config.stages[0][1], config.stages[1][1], width, width]
        parts: dict[str, nn.Module] = {
            f"layer{i}_rn": nn.Conv2d(channels, features, 3, padding=1, bias=False)
            for i, channels in enumerate(widths, 1)
        }
        parts |= {f"refinenet{i}": Fusion(features, joins=i < 4) for i in range(1, 5)}
        parts["output_conv"] = nn.Sequential(
            nn.Conv2d(features, wide, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(wide, narrow, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(narrow, 1, 1),
            nn.ReLU(),
        )
        self.scratch = nn.ModuleDict(parts)

    def forward(self, picture: Tensor) -> Tensor:
        """[B, 3, H, W] in -1..1 -> [B, 1, H, W], 0 and up; what is near is larger.

        Raises:
            ValueError: sides that are no multiples of 32.
        """
        rows, columns = (side // PATCH for side in picture.shape[-2:])
        if any(side % MULTIPLE for side in picture.shape[-2:]):
            raise ValueError(f"sides must be multiples of {MULTIPLE}, not {tuple(picture.shape[-2:])}")
        first, second, late, last = self.pretrained["model"](picture)
        late = self.pretrained["act_postprocess3"](late, rows, columns)
        last = self.pretrained["act_postprocess4"](last, rows, columns)
        maps = [self.scratch[f"layer{i}_rn"](each) for i, each in enumerate((first, second, late, last), 1)]
        x = self.scratch["refinenet4"](maps[3])
        for i in (3, 2, 1):
            x = self.scratch[f"refinenet{i}"](x, maps[i - 1])
        return self.scratch["output_conv"](x)
