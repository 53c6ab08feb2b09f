"""The layers that the UNets of latent diffusion share, under the names of the original checkpoints.

B batch, C channels, H W height and width, L tokens (H*W of a picture), S context tokens, D width.

Source: Rombach et al. 2022, arXiv:2112.10752, appendix E.2.1.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.nn.attention.backend import Attend
from modules.nn.ops import Ops


def timestep_embedding(t: Tensor, width: int, period: float = 10000.0) -> Tensor:
    """Embed timesteps as cosines followed by sines.

    Args:
        t: [B], any number type; fractions are legal.
        width: size of the embedding; an odd one ends in a zero.
        period: longest wavelength.

    Returns:
        [B, width], float32.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5; differs in the order (cosines first).
    """
    half = width // 2
    rates = torch.exp(-math.log(period) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t[:, None].float() * rates  # [B, width / 2]
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, width % 2))


class ResBlock(nn.Module):
    """Two convolutions with the timestep added between them, around a shortcut."""

    def __init__(self, channels: int, out_channels: int, time_width: int, *, norm_groups: int, ops: Ops) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            ops.GroupNorm(norm_groups, channels),
            nn.SiLU(inplace=True),
            ops.Conv2d(channels, out_channels, 3, padding=1),
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), ops.Linear(time_width, out_channels))
        self.out_layers = nn.Sequential(
            ops.GroupNorm(norm_groups, out_channels),
            nn.SiLU(inplace=True),
            nn.Identity(),  # holds the place of a dropout, so that the convolution is number 3
            ops.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.skip_connection = nn.Identity() if channels == out_channels else ops.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """[B, C, H, W], [B, time width] -> [B, C out, H, W]."""
        h = self.in_layers(x)
        h = h + self.emb_layers(emb)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class CrossAttention(nn.Module):
    """Multi-head attention from tokens to a context; to themselves when there is none."""

    def __init__(self, width: int, context_width: int, heads: int, *, ops: Ops, attend: Attend) -> None:
        super().__init__()
        self.heads = heads
        self.attend = attend
        self.to_q = ops.Linear(width, width, bias=False)
        self.to_k = ops.Linear(context_width, width, bias=False)
        self.to_v = ops.Linear(context_width, width, bias=False)
        self.to_out = nn.Sequential(ops.Linear(width, width))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """[B, L, D], [B, S, context width] -> [B, L, D]."""
        source = x if context is None else context
        q, k, v = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, L, D] -> [B, heads, L, D / heads]
            for t in (self.to_q(x), self.to_k(source), self.to_v(source))
        )
        return self.to_out(self.attend(q, k, v).transpose(1, 2).flatten(2))


class GatedGelu(nn.Module):
    """A linear layer whose second half gates its first.

    Source: Shazeer 2020, arXiv:2002.05202, equation 6 (GEGLU).
    """

    def __init__(self, width: int, out_width: int, *, ops: Ops) -> None:
        super().__init__()
        self.proj = ops.Linear(width, 2 * out_width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, out width]."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """The two-layer network after the attentions."""

    def __init__(self, width: int, *, ops: Ops, expansion: int = 4) -> None:
        super().__init__()
        self.net = nn.Sequential(
            GatedGelu(width, expansion * width, ops=ops),
            nn.Identity(),  # holds the place of a dropout, so that the last layer is number 2
            ops.Linear(expansion * width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        return self.net(x)


class BasicTransformerBlock(nn.Module):
    """Self attention, attention to the context, feed-forward; each normalised before and added after."""

    def __init__(self, width: int, context_width: int, heads: int, *, ops: Ops, attend: Attend) -> None:
        super().__init__()
        self.attn1 = CrossAttention(width, width, heads, ops=ops, attend=attend)
        self.ff = FeedForward(width, ops=ops)
        self.attn2 = CrossAttention(width, context_width, heads, ops=ops, attend=attend)
        self.norm1 = ops.LayerNorm(width)
        self.norm2 = ops.LayerNorm(width)
        self.norm3 = ops.LayerNorm(width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """[B, L, D], [B, S, context width] -> [B, L, D]."""
        x = self.attn1(self.norm1(x)) + x
        x = self.attn2(self.norm2(x), context) + x
        return self.ff(self.norm3(x)) + x


class SpatialTransformer(nn.Module):
    """Transformer blocks over the pixels of a feature map, around a shortcut."""

    def __init__(
        self,
        channels: int,
        context_width: int,
        heads: int,
        depth: int,
        *,
        linear: bool,
        norm_groups: int,
        ops: Ops,
        attend: Attend,
    ) -> None:
        super().__init__()
        self.linear = linear
        self.norm = ops.GroupNorm(norm_groups, channels, eps=1e-6)
        self.proj_in = ops.Linear(channels, channels) if linear else ops.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList(
            BasicTransformerBlock(channels, context_width, heads, ops=ops, attend=attend) for _ in range(depth)
        )
        self.proj_out = ops.Linear(channels, channels) if linear else ops.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """[B, C, H, W], [B, S, context width] -> [B, C, H, W]."""
        h = self.norm(x)
        if not self.linear:
            h = self.proj_in(h)
        h = h.flatten(2).transpose(1, 2).contiguous()  # [B, C, H, W] -> [B, L, C]
        if self.linear:
            h = self.proj_in(h)
        for block in self.transformer_blocks:
            h = block(h, context)
        if self.linear:
            h = self.proj_out(h)
        h = h.transpose(1, 2).unflatten(2, x.shape[2:]).contiguous()  # [B, L, C] -> [B, C, H, W]
        return x + (h if self.linear else self.proj_out(h))


class Downsample(nn.Module):
    """Halve height and width (rounded up) by a strided convolution."""

    def __init__(self, channels: int, *, ops: Ops) -> None:
        super().__init__()
        self.op = ops.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H / 2, W / 2]."""
        return self.op(x)


class Upsample(nn.Module):
    """Double height and width by repetition, then smooth by a convolution."""

    def __init__(self, channels: int, *, ops: Ops) -> None:
        super().__init__()
        self.conv = ops.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, 2 H, 2 W]."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
