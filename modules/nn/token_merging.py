"""Attention over fewer tokens: those that resemble a neighbour share its place while a layer attends to itself.

B rows, L tokens of a picture (h * w), K tokens that stay, R that join others, T targets that others may join, D width.

Source: Bolya and Hoffman 2023, arXiv:2303.17604, sections 3 and 4; differs in the targets, which are always the first
of each two by two tokens instead of a random one, as A1111 chose them.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.nn.blocks import BasicTransformerBlock


@dataclass(frozen=True, slots=True, eq=False)
class Matching:
    """Which tokens stand in for others."""

    stay: Tensor
    """[B, K]: positions of the tokens that stay by themselves."""
    join: Tensor
    """[B, R]: positions of the tokens that join a target."""
    joined: Tensor
    """[B, R]: number of the target that each of them joins."""
    targets: Tensor
    """[T]: positions of the targets."""

    def merge(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, K + T, D]; a target becomes the mean of itself and of those that join it."""
        joining = x.gather(1, _wide(self.join, x))
        targets = x[:, self.targets].scatter_reduce(1, _wide(self.joined, x), joining, "mean", include_self=True)
        return torch.cat([x.gather(1, _wide(self.stay, x)), targets], dim=1)

    def split(self, merged: Tensor) -> Tensor:
        """[B, K + T, D] -> [B, L, D]; those that joined a target get what it has."""
        stay, targets = merged.split([self.stay.shape[1], self.targets.shape[0]], dim=1)
        length = merged.shape[1] + self.join.shape[1]
        x = merged.new_empty(merged.shape[0], length, merged.shape[2])
        x[:, self.targets] = targets
        x.scatter_(1, _wide(self.stay, x), stay)
        return x.scatter_(1, _wide(self.join, x), targets.gather(1, _wide(self.joined, x)))


def match(x: Tensor, height: int, width: int, ratio: float) -> Matching | None:
    """Find for a share of the tokens the most similar targets.

    Args:
        x: [B, L, D], L = height * width.
        height: of the grid of tokens.
        width: of the grid of tokens.
        ratio: share of all tokens that join others; at most three quarters of them can.

    Returns:
        None when no token is to join another.
    """
    targets, others = _grid(height, width, x.device)
    count = min(int(x.shape[1] * ratio), others.shape[0])
    if count <= 0 or targets.shape[0] == 0:
        return None
    directions = F.normalize(x, dim=-1)
    likeness, nearest = (directions[:, others] @ directions[:, targets].transpose(1, 2)).max(dim=-1)  # [B, L - T]
    order = likeness.argsort(dim=-1, descending=True)
    chosen = order[:, :count]
    return Matching(others[order[:, count:]], others[chosen], nearest.gather(1, chosen), targets)


@contextmanager
def merged_tokens(network: nn.Module, ratio: float) -> Iterator[None]:
    """Let the layers of a network that see the latent's full resolution attend to themselves over fewer tokens.

    Args:
        network: called with a latent [B, C, h, w] first; it may be used by one thread only meanwhile.
        ratio: share of the tokens that join others.
    """
    merging = _Merging(ratio)
    with ExitStack() as hooks:
        hooks.callback(network.register_forward_pre_hook(merging.see_latent).remove)
        for block in blocks_of(network):
            hooks.callback(block.norm1.register_forward_pre_hook(merging.see_tokens).remove)
            hooks.callback(block.attn1.register_forward_pre_hook(merging.merge).remove)
            hooks.callback(block.attn1.register_forward_hook(merging.split).remove)
        yield


def blocks_of(network: nn.Module) -> list[BasicTransformerBlock]:
    """Return the layers that can merge tokens."""
    return [module for module in network.modules() if isinstance(module, BasicTransformerBlock)]


class _Merging:
    """Remembers between a block's norm and its attention which tokens are together."""

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._size = (0, 0)
        self._matching: Matching | None = None

    def see_latent(self, _network: nn.Module, args: tuple[Any, ...]) -> None:
        self._size = (args[0].shape[-2], args[0].shape[-1])

    def see_tokens(self, _norm: nn.Module, args: tuple[Any, ...]) -> None:
        height, width = self._size
        full = args[0].shape[1] == height * width
        self._matching = match(args[0], height, width, self._ratio) if full else None

    def merge(self, _attention: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return (self._matching.merge(args[0]), *args[1:]) if self._matching else None

    def split(self, _attention: nn.Module, _args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        return self._matching.split(output) if self._matching else None


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the positions of the targets and of all other tokens."""
    is_other = torch.ones(height, width, dtype=torch.int8, device=device)
    is_other[: height // 2 * 2 : 2, : width // 2 * 2 : 2] = 0
    positions = is_other.flatten().argsort(stable=True)  # counting them instead would wait for the device
    num_targets = (height // 2) * (width // 2)
    return positions[:num_targets], positions[num_targets:]


def _wide(index: Tensor, x: Tensor) -> Tensor:
    """[B, N] -> [B, N, D]"""
    return index[..., None].expand(-1, -1, x.shape[-1])
