"""Read hypernetworks as A1111 trains them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modules.adapters.hypernetwork.hypernetwork import ACTIVATIONS, Hypernetwork, Layer, Net
from modules.domain.errors import BrokenFile
from modules.library.unpickle import load_pickle

_OLD = {"linear1": 0, "linear2": 1}
"""Names of the layers in the first files."""
_LAYER = re.compile(r"linear\.([0-9]{1,4})")


def read_hypernetwork(path: Path, *, allow_unsafe: bool = False) -> Hypernetwork:
    """Read a hypernetwork into main memory. Dropout, which only training uses, is left out.

    Raises:
        BrokenFile: it holds no hypernetwork, is damaged, or has an activation that is not known.
        UnsafePickle: it asks for code and `allow_unsafe` is off.
    """
    contents = load_pickle(path, allow_unsafe=allow_unsafe)
    if not isinstance(contents, Mapping):
        raise BrokenFile(path, "is no hypernetwork")
    activation = contents.get("activation_func") or "linear"
    if activation not in ACTIVATIONS:
        raise BrokenFile(path, f"has the unknown activation {str(activation)[:80]!r}; known: {', '.join(ACTIVATIONS)}")
    last = bool(contents.get("activate_output", False))
    try:
        nets = {
            size: (_net(pair[0], activation, last), _net(pair[1], activation, last))
            for size, pair in contents.items()
            if isinstance(size, int) and not isinstance(size, bool)
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BrokenFile(path, f"is no hypernetwork that can be used: {str(error)[:200]}") from error
    if not nets:
        raise BrokenFile(path, "is no hypernetwork: it has no networks for any width")
    for size, pair in nets.items():
        _check(path, size, pair)
    return Hypernetwork(name=path.stem, nets=nets)


def _net(state: Mapping[str, Any], activation: str, last: bool) -> Net:
    """Make a network of its tensors; an activation follows each linear layer, the last one only if told so."""
    found: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        stem, _, kind = name.rpartition(".")
        match = _LAYER.fullmatch(stem)
        number = int(match[1]) if match else _OLD[stem]
        if not isinstance(value, Tensor) or kind not in ("weight", "bias"):
            raise ValueError(f"{name[:80]!r} is no layer")
        found.setdefault(number, {})[kind] = value.detach().float()
    pairs = [(found[number]["weight"], found[number]["bias"]) for number in sorted(found)]
    linear = [i for i, (weight, _) in enumerate(pairs) if weight.ndim == 2]
    activated = set(linear if last else linear[:-1])
    layers = [Layer(weight=weight, bias=bias, activated=i in activated) for i, (weight, bias) in enumerate(pairs)]
    return Net(layers=tuple(layers), activation=activation)


def _check(path: Path, size: int, pair: tuple[Net, Net]) -> None:
    """Make sure that the layers follow each other and give back what they get."""
    for net in pair:
        width = size
        for layer in net.layers:
            entry = layer.weight.shape[-1]
            if entry != width or layer.weight.ndim > 2 or layer.bias.shape != layer.weight.shape[:1]:
                raise BrokenFile(path, f"its layers for width {size} do not fit together")
            width = layer.weight.shape[0]
        if width != size or not all(bool(torch.isfinite(one.weight).all()) for one in net.layers):
            raise BrokenFile(path, f"its layers for width {size} do not give back what they get")
