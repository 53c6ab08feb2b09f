"""Whoever looks at, and perhaps changes, what guidance gives to the network and gets back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from modules.sampling.batching import Rows
from modules.sampling.types import Conditioning


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkCall:
    """What one evaluation gives to the network: rows of the prompts first, those of the negative prompts after them."""

    x: Tensor
    """[R, C, h, w]"""
    sigma: Tensor
    """[R]"""
    sides: tuple[Conditioning, ...]
    """Of the prompts; of the negative prompts, unless they are left out; of neither prompt nor picture, where that counts."""
    call: int
    """0-based number of this evaluation in the run."""
    total_calls: int


class Watch(Protocol):
    """Is asked around each evaluation. Answering with the very object that was given changes nothing."""

    def before(self, given: NetworkCall) -> NetworkCall:
        """Return what the network is to be given."""
        ...

    def estimated(self, given: NetworkCall, estimates: Tensor) -> Tensor:
        """Return the estimates x0 of all rows, [R, C, h, w]."""
        ...

    def guided(self, given: NetworkCall, x0: Tensor) -> Tensor:
        """Return the guided estimate, [B, C, h, w]."""
        ...


Predict = Callable[[Tensor, Tensor, Conditioning], Tensor]


def call_of(sides: Sequence[Rows], x: Tensor, sigma: Tensor, call: int, total_calls: int) -> NetworkCall:
    """Write out every row of an evaluation.

    Args:
        sides: texts and the pictures they belong to.
        x: [B, C, h, w]
        sigma: [B]
        call: number of the evaluation.
        total_calls: how many the run counts.
    """
    owners = torch.cat([side.owners for side in sides])
    return NetworkCall(
        x=x.index_select(0, owners), sigma=sigma.index_select(0, owners),
        sides=tuple(side.conditioning for side in sides), call=call, total_calls=total_calls,
    )  # fmt: skip


def evaluate(given: NetworkCall, predict: Predict) -> Tensor:
    """Run the network once for each side; estimates of all rows, [R, C, h, w]."""
    counts, parts, row = [side.tokens.shape[0] for side in given.sides], list[Tensor](), 0
    for side, count in zip(given.sides, counts, strict=True):
        rows = slice(row, row + count)
        parts.append(predict(given.x[rows], given.sigma[rows], side))
        row += count
    return torch.cat(parts)
