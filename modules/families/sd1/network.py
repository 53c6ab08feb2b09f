"""The denoising UNet of latent diffusion, with the key names of the original checkpoints.

B batch, C channels, h w latent height and width, S context tokens, D context width.

Source: Rombach et al. 2022, arXiv:2112.10752; Ho et al. 2020, arXiv:2006.11239, appendix B.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.nn.attention import sdpa
from modules.nn.attention.backend import Attend
from modules.nn.blocks import Downsample, ResBlock, SpatialTransformer, Upsample, timestep_embedding
from modules.nn.ops import PLAIN_OPS, Ops


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetConfig:
    """Sizes of a UNet. The defaults are Stable Diffusion v1."""

    in_channels: int = 4
    """4, or 8 with an image to edit, or 9 with a mask and a masked image."""
    out_channels: int = 4
    model_channels: int = 320
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    """Width of each level as a multiple of `model_channels`; one more level halves the resolution."""
    num_res_blocks: int = 2
    """Residual blocks per level on the way down; one more on the way up."""
    transformer_depth: tuple[int, ...] = (1, 1, 1, 0)
    """Transformer blocks after each residual block of a level; 0 for a level without attention."""
    up_depth: tuple[tuple[int, ...], ...] | None = None
    """Transformer blocks after each residual block on the way up, per level from the finest on, in the order they run;
    None for those of `transformer_depth`."""
    middle_depth: int = 1
    """Transformer blocks in the middle; 0 leaves attention out there."""
    middle_blocks: int = 2
    """Residual blocks in the middle; distilled networks have one, or no middle at all."""
    context_dim: int = 768
    num_heads: int | None = 8
    """Heads of every attention; None when `num_head_channels` is given."""
    num_head_channels: int | None = None
    """Width of one head; wins over `num_heads`."""
    linear_projection: bool = False
    """Whether transformers are entered and left by a linear layer instead of a 1x1 convolution."""
    vector_dim: int | None = None
    """Width of what the network is told besides the text; None when it is told nothing."""
    norm_groups: int = 32

    def __post_init__(self) -> None:
        if len(self.transformer_depth) != len(self.channel_mult):
            raise ValueError("transformer_depth and channel_mult must have one entry per level")
        if self.up_depth is not None and {len(level) for level in self.up_depth} != {self.num_res_blocks + 1}:
            raise ValueError("up_depth must have one entry per residual block on the way up")
        if self.num_heads is None and self.num_head_channels is None:
            raise ValueError("one of num_heads and num_head_channels is needed")

    def heads(self, channels: int) -> int:
        """Return the number of attention heads at a width."""
        if self.num_head_channels is not None:
            return channels // self.num_head_channels
        assert self.num_heads is not None
        return self.num_heads


class Stage(nn.ModuleList):
    """Layers of one resolution; each gets what it needs of timestep and context."""

    def forward(self, x: Tensor, emb: Tensor, context: Tensor) -> Tensor:
        """[B, C, h, w], [B, time width], [B, S, D] -> [B, C out, h out, w out]."""
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, emb)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context)
            else:
                x = layer(x)
        return x


class _Builder:
    """Makes the stages of a UNet and remembers the widths of the shortcuts across it."""

    def __init__(self, config: UNetConfig, ops: Ops, attend: Attend) -> None:
        self.config, self.ops, self.attend = config, ops, attend
        self.channels = config.model_channels
        self.skips = [config.model_channels]

    def _res(self, channels: int, out_channels: int) -> ResBlock:
        return ResBlock(
            channels,
            out_channels,
            4 * self.config.model_channels,
            norm_groups=self.config.norm_groups,
            ops=self.ops,
        )

    def _transformer(self, channels: int, depth: int) -> list[nn.Module]:
        if depth == 0:
            return []
        config = self.config
        return [
            SpatialTransformer(
                channels,
                config.context_dim,
                config.heads(channels),
                depth,
                linear=config.linear_projection,
                norm_groups=config.norm_groups,
                ops=self.ops,
                attend=self.attend,
            )
        ]

    def down(self) -> Iterator[Stage]:
        config = self.config
        yield Stage([self.ops.Conv2d(config.in_channels, config.model_channels, 3, padding=1)])
        for level, (mult, depth) in enumerate(zip(config.channel_mult, config.transformer_depth, strict=True)):
            if level > 0:
                yield Stage([Downsample(self.channels, ops=self.ops)])
                self.skips.append(self.channels)
            for _ in range(config.num_res_blocks):
                width = mult * config.model_channels
                yield Stage([self._res(self.channels, width), *self._transformer(width, depth)])
                self.channels = width
                self.skips.append(width)

    def middle(self) -> Stage:
        width = self.channels
        residual: list[nn.Module] = [self._res(width, width) for _ in range(self.config.middle_blocks)]
        return Stage([*residual[:1], *self._transformer(width, self.config.middle_depth), *residual[1:]])

    def up(self) -> Iterator[Stage]:
        config = self.config
        same = tuple((depth,) * (config.num_res_blocks + 1) for depth in config.transformer_depth)
        depths = config.up_depth or same
        for level in reversed(range(len(config.channel_mult))):
            width = config.channel_mult[level] * config.model_channels
            for block in range(config.num_res_blocks + 1):
                layers: list[nn.Module] = [self._res(self.channels + self.skips.pop(), width)]
                layers += self._transformer(width, depths[level][block])
                if level > 0 and block == config.num_res_blocks:
                    layers.append(Upsample(width, ops=self.ops))
                self.channels = width
                yield Stage(layers)


def _join(x: Tensor, skip: Tensor) -> Tensor:
    """Stack channels; odd sizes were rounded up on the way down and are matched to the shortcut here."""
    if x.shape[-2:] != skip.shape[-2:]:
        x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")
    return torch.cat([x, skip], dim=1)


class UNet(nn.Module):
    """Predict noise (or velocity) from a noisy latent, its timestep and encoded text.

    Args:
        config: sizes.
        ops: layer classes.
        attend: attention.
    """

    join = staticmethod(_join)
    """Puts the shortcut of a level beside what comes up to it, [B, C1, h, w] and [B, C2, h, w] -> [B, C1 + C2, h, w]."""

    def __init__(self, config: UNetConfig, ops: Ops = PLAIN_OPS, attend: Attend = sdpa.attend) -> None:
        super().__init__()
        self.config = config
        builder = _Builder(config, ops, attend)
        width = config.model_channels
        self.time_embed = nn.Sequential(ops.Linear(width, 4 * width), nn.SiLU(), ops.Linear(4 * width, 4 * width))
        if config.vector_dim is not None:
            told = nn.Sequential(ops.Linear(config.vector_dim, 4 * width), nn.SiLU(), ops.Linear(4 * width, 4 * width))
            self.label_emb = nn.Sequential(told)
        self.input_blocks = nn.ModuleList(builder.down())
        self.middle_block = builder.middle()
        self.output_blocks = nn.ModuleList(builder.up())
        self.out = nn.Sequential(
            ops.GroupNorm(config.norm_groups, width),
            nn.SiLU(inplace=True),
            ops.Conv2d(width, config.out_channels, 3, padding=1),
        )

    def forward(self, x: Tensor, t: Tensor, context: Tensor, y: Tensor | None = None) -> Tensor:
        """Run the network.

        Args:
            x: [B, in channels, h, w]; any h and w.
            t: [B] timesteps 0..999, fractions allowed.
            context: [B, S, D] encoded text.
            y: [B, vector width] what else is known of the picture; only for networks with a `vector_dim`.

        Returns:
            [B, out channels, h, w].
        """
        return self.out(self.features(x, t, context, y))

    def features(self, x: Tensor, t: Tensor, context: Tensor, y: Tensor | None = None) -> Tensor:
        """Run all but the last layer, which reads the prediction off: [B, model channels, h, w]."""
        emb = self.time_embed(timestep_embedding(t, self.config.model_channels).to(x.dtype))
        if (y is None) != (self.config.vector_dim is None):
            raise ValueError(f"the network is told {self.config.vector_dim or 'no'} numbers besides the text")
        if y is not None:
            emb = emb + self.label_emb(y)
        skips = []
        for stage in self.input_blocks:
            x = stage(x, emb, context)
            skips.append(x)
        x = self.middle_block(x, emb, context)
        for stage in self.output_blocks:
            x = stage(self.join(x, skips.pop()), emb, context)
        return x
