"""OpenCLIP's text transformer, with the key names it has in the checkpoints of SD 2 and SDXL.

B rows (texts), T = 77 tokens of a chunk, D width.

Source: Radford et al. 2021, arXiv:2103.00020, section 2.4; Cherti et al. 2022, arXiv:2212.07143.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.families.chunked import Placement
from modules.families.sd1.keys import Shapes
from modules.families.sd1.text import placed

HEAD_WIDTH = 64
PAD = 0
"""Token behind the end token of a chunk."""

Activation = Callable[[Tensor], Tensor]

_IGNORED = re.compile(r"(^|\.)(attn_mask|logit_scale)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenClipConfig:
    """Sizes of a text transformer. The defaults are ViT-H/14."""

    width: int = 1024
    layers: int = 24
    heads: int = 16
    mlp_width: int = 4096
    vocabulary: int = 49408
    positions: int = 77
    projection: int | None = 1024
    """Width of the space shared with pictures; None for a file without the way there."""


def openclip_names(names: Mapping[str, Any], prefix: str) -> dict[str, str]:
    """Return name in the encoder (`model. ...`) -> name in the file, for the tensors below a prefix."""
    own = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    return {name: stored for name, stored in own.items() if not _IGNORED.search(name)}


def openclip_config(shapes: Shapes, facts: Mapping[str, Any]) -> OpenClipConfig:
    """Infer the sizes of a text transformer.

    Args:
        shapes: of its tensors, by name in `OpenClip`.
        facts: `Match.config`, for the number of heads.

    Raises:
        KeyError: a tensor that tells a size is missing.
    """
    vocabulary, width = shapes["model.token_embedding.weight"]
    layers = 0
    while f"model.transformer.resblocks.{layers}.ln_1.weight" in shapes:
        layers += 1
    projection = shapes.get("model.text_projection")
    return OpenClipConfig(
        width=width,
        layers=layers,
        heads=facts.get("text_heads") or max(1, width // HEAD_WIDTH),
        mlp_width=shapes["model.transformer.resblocks.0.mlp.c_fc.weight"][0],
        vocabulary=vocabulary,
        positions=shapes["model.positional_embedding"][0],
        projection=projection[1] if projection else None,
    )


class SelfAttention(nn.Module):
    """Attention of tokens to each other, or only to those before them; queries, keys and values share one matrix."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        self.heads, self.causal = heads, causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        q, k, v = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, T, D] -> [B, heads, T, D / heads]
            for t in F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        )
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, is_causal=self.causal).transpose(1, 2).flatten(2))


class ResidualBlock(nn.Module):
    """Attention and a two-layer network, each normalised before and added after.

    Args:
        width: of the tokens.
        heads: of the attention.
        mlp_width: of the inner layer.
        causal: whether tokens attend only to those before them.
        activate: of the inner layer.
    """

    def __init__(
        self, width: int, heads: int, mlp_width: int, *, causal: bool = True, activate: Activation = F.gelu
    ) -> None:
        super().__init__()
        self.activate = activate
        self.ln_1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads, causal=causal)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, mlp_width), "c_proj": nn.Linear(mlp_width, width)})

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp["c_proj"](self.activate(self.mlp["c_fc"](self.ln_2(x))))


class TextTransformer(nn.Module):
    """Tokens to the outputs of the layers.

    Args:
        config: sizes.
    """

    def __init__(self, config: OpenClipConfig) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.empty(config.positions, config.width))
        if config.projection is not None:
            self.text_projection = nn.Parameter(torch.empty(config.width, config.projection))
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        blocks = [ResidualBlock(config.width, config.heads, config.mlp_width) for _ in range(config.layers)]
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(blocks)})
        self.ln_final = nn.LayerNorm(config.width)

    def forward(self, tokens: Tensor, layers: int, placements: Sequence[Placement] = ()) -> Tensor:
        """Run the first layers: ids [B, T] -> [B, T, D], not normalised."""
        with placed(self.token_embedding, placements):
            x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        for block in self.blocks[:layers]:
            x = block(x)
        return x

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers."""
        blocks = self.transformer["resblocks"]
        assert isinstance(blocks, nn.ModuleList)
        return blocks

    def pooled(self, tokens: Tensor, x: Tensor) -> Tensor:
        """Project the last layer's output [B, T, D] at the first end token of each row: [B, projection].

        The end token has the highest id of all.
        """
        rows = torch.arange(tokens.shape[0], device=tokens.device)
        return self.ln_final(x[rows, tokens.argmax(dim=-1)]) @ self.text_projection


class OpenClip(nn.Module):
    """A text transformer below the level `model`, read at its last layer but one.

    Args:
        config: sizes.
    """

    def __init__(self, config: OpenClipConfig) -> None:
        super().__init__()
        self.config = config
        self.model = TextTransformer(config)

    @property
    def read_layers(self) -> int:
        """How many layers the text passes; files without the projection were saved without the unused last layer."""
        return self.config.layers - (self.config.projection is not None)

    def normalised(self, tokens: Tensor, placements: Sequence[Placement] = ()) -> Tensor:
        """Encode chunks, ids [B, T] -> [B, T, D], with the final norm."""
        return self.model.ln_final(self.model(tokens, self.read_layers, placements))

    def with_pooled(self, tokens: Tensor, placements: Sequence[Placement] = ()) -> tuple[Tensor, Tensor]:
        """Encode chunks, ids [B, T] -> [B, T, D] without the final norm, and what they mean as a whole [B, projection].

        Needs the projection.
        """
        read = self.model(tokens, self.read_layers, placements)
        last = read
        for block in self.model.blocks[self.read_layers :]:
            last = block(last)
        return read, self.model.pooled(tokens, last)
