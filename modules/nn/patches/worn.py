"""A network that wears patches: merged weights stand in its places, the originals are kept and come back as they were."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from modules.nn.eight_bit import FORMATS, StoredConv2d, StoredLinear, full_weight, rounded
from modules.nn.patches.merge import Use, merged, summed

Change = Callable[[Tensor], Tensor]
"""Gives the stand-in of one tensor; may return the tensor itself."""
Layers = Mapping[str, Sequence[Use]]
"""Name of a weight or bias -> what is merged into it."""


class Worn:
    """Knows what the weights of a network carry, so that a change touches only those that differ.

    Args:
        network: its parameters are replaced, never written to.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._originals: dict[str, nn.Parameter | None] = {}
        self._carried: dict[str, tuple[Use, ...]] = {}

    @property
    def carried(self) -> Mapping[str, tuple[Use, ...]]:
        """What each changed weight carries now."""
        return self._carried

    def wear(self, layers: Layers, *, device: torch.device | None = None, keep: Change | None = None) -> int:
        """Make these the patches that the network carries, and no others.

        An error leaves each weight either as it was or as it is wanted, and known to be so.

        Args:
            layers: what each weight is to carry.
            device: where merged weights are computed; None for where each weight is.
            keep: called with an original on another device than the CPU that goes out of use; returns what to keep.

        Returns:
            How many weights were computed anew.
        """
        wanted = {name: tuple(uses) for name, uses in layers.items() if uses}
        for name in [name for name in self._carried if name not in wanted]:
            self._restore(name)
        changes = [(name, uses) for name, uses in wanted.items() if self._carried.get(name) != uses]
        for name, uses in changes:
            self._merge(name, uses, device, keep)
        return len(changes)

    def move_originals(self, change: Change) -> None:
        """Bring the originals that are out of use elsewhere; they come back to where their place is by themselves."""
        for name, original in self._originals.items():
            if original is not None:
                self._originals[name] = _kept(original, change)

    def _merge(self, name: str, uses: tuple[Use, ...], device: torch.device | None, keep: Change | None) -> None:
        owner, leaf = _place(self._network, name)
        present = owner._parameters[leaf]
        original = self._originals.get(name, present)
        value = _changed(owner, original, uses, device)
        if present is not None:
            value = value.to(present.device)  # the network may have moved since the original was kept
        if name not in self._originals:
            self._originals[name] = original if original is None or keep is None else _kept(original, keep)
        owner._parameters[leaf] = nn.Parameter(value, requires_grad=False)
        self._carried[name] = uses

    def _restore(self, name: str) -> None:
        owner, leaf = _place(self._network, name)
        original, present = self._originals[name], owner._parameters[leaf]
        if original is not None and present is not None and original.device != present.device:
            original = nn.Parameter(original.data.to(present.device), requires_grad=False)
        owner._parameters[leaf] = original
        del self._originals[name], self._carried[name]


def _changed(
    owner: nn.Module, original: nn.Parameter | None, uses: Sequence[Use], device: torch.device | None
) -> Tensor:
    if original is None:  # a layer without a bias gets one
        weight = owner._parameters["weight"]
        assert weight is not None
        dtype = torch.float16 if weight.dtype in FORMATS else weight.dtype
        return merged(torch.zeros(weight.shape[0], dtype=dtype, device=weight.device), uses, device=device)
    if isinstance(owner, StoredLinear | StoredConv2d) and original.dtype in FORMATS:
        return rounded(owner, summed(full_weight(owner, original.data), uses, device=device), original.dtype)
    return merged(original.data, uses, device=device)


def _kept(original: nn.Parameter, keep: Change) -> nn.Parameter:
    return original if original.device.type == "cpu" else nn.Parameter(keep(original.data), requires_grad=False)


def _place(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return network.get_submodule(path), leaf
