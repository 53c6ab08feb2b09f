"""Make convolutions wrap around the border, so that a picture repeats without a seam."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


def convolutions(*modules: nn.Module) -> tuple[nn.Conv2d, ...]:
    """Return every convolution of the modules."""
    return tuple(layer for module in modules for layer in module.modules() if isinstance(layer, nn.Conv2d))


@contextmanager
def circular_padding(layers: tuple[nn.Conv2d, ...]) -> Iterator[None]:
    """Let the layers pad with the opposite border; each gets its own way of padding back afterwards."""
    before: list[tuple[Any, str]] = [(layer, layer.padding_mode) for layer in layers]
    try:
        for layer, _ in before:
            layer.padding_mode = "circular"
        yield
    finally:
        for layer, mode in before:
            layer.padding_mode = mode
