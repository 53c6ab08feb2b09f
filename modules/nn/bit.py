"""The residual network of Big Transfer, with normalised groups and filters, which hybrid transformers look through.

B batch, C channels, H W height and width.

Source: Kolesnikov et al. 2019, arXiv:1912.11370; He et al. 2015, arXiv:1512.03385.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_GROUPS = 32
BOTTLENECK = 4
"""A block is narrower inside by this factor."""


class StandardConv(nn.Conv2d):
    """A convolution whose filters have mean 0 and variance 1; zeros around make the output ceil(side / stride).

    Source: Qiao et al. 2019, arXiv:1903.10520.
    """

    def __init__(self, channels: int, out_channels: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__(channels, out_channels, kernel, stride=stride, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C out, H / stride, W / stride]."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        weight = (self.weight - mean) * torch.rsqrt(variance + 1e-6)
        return F.conv2d(same_padded(input, self.kernel_size[0], self.stride[0]), weight, stride=self.stride)


def same_padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Put zeros around [B, C, H, W], the odd one below and to the right, so that every stride starts inside."""
    rows, columns = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:])
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


class Bottleneck(nn.Module):
    """Three convolutions around a shortcut; the second one halves the resolution where `stride` is 2."""

    def __init__(self, channels: int, out_channels: int, *, stride: int, first: bool) -> None:
        super().__init__()
        inner = out_channels // BOTTLENECK
        if first:
            self.downsample = nn.ModuleDict({
                "conv": StandardConv(channels, out_channels, 1, stride=stride),
                "norm": nn.GroupNorm(NORM_GROUPS, out_channels),
            })  # fmt: skip
        self.first = first
        self.conv1, self.norm1 = StandardConv(channels, inner, 1), nn.GroupNorm(NORM_GROUPS, inner)
        self.conv2, self.norm2 = StandardConv(inner, inner, 3, stride=stride), nn.GroupNorm(NORM_GROUPS, inner)
        self.conv3, self.norm3 = StandardConv(inner, out_channels, 1), nn.GroupNorm(NORM_GROUPS, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C out, H / stride, W / stride]."""
        shortcut = self.downsample["norm"](self.downsample["conv"](x)) if self.first else x
        h = F.relu(self.norm1(self.conv1(x)))
        h = F.relu(self.norm2(self.conv2(h)))
        return F.relu(self.norm3(self.conv3(h)) + shortcut)


class ResidualNet(nn.Module):
    """A picture to features, from a quarter of its size downwards.

    Args:
        stem: channels after the first convolution.
        stages: number of blocks and channels of each stage; one more stage halves the resolution.
    """

    def __init__(self, stem: int, stages: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.stem = nn.ModuleDict({
            "conv": StandardConv(3, stem, 7, stride=2), "norm": nn.GroupNorm(NORM_GROUPS, stem)
        })  # fmt: skip
        self.stages, channels = nn.ModuleList(), stem
        for number, (count, width) in enumerate(stages):
            blocks = nn.ModuleList()
            for block in range(count):
                stride = 2 if number and not block else 1
                blocks.append(Bottleneck(channels, width, stride=stride, first=not block))
                channels = width
            self.stages.append(nn.ModuleDict({"blocks": blocks}))

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> one map [B, C, h, w] per stage."""
        x = F.relu(self.stem["norm"](self.stem["conv"](x)))
        x = F.max_pool2d(same_padded(x, 3, 2), 3, 2)  # nothing is below 0 here, so zeros around never win
        found: list[Tensor] = []
        for stage in self.stages:
            for block in stage.get_submodule("blocks").children():
                x = block(x)
            found.append(x)
        return found
