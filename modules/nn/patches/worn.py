"""A network that wears patches: merged weights stand in its places, the originals are kept and come back as they were."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from modules.nn.patches.merge import Use, merged

Layers = Mapping[str, Sequence[Use]]
"""Name of a weight or bias -> what is merged into it."""


class Worn:
    """Knows what the weights of a network carry, so that a change touches only those that differ.

    Args:
        network: its parameters are replaced, never written to.
        device: where merged weights are computed; None for where each weight is.
        keep: called with an original that goes out of use, returns what to keep of it, such as a copy elsewhere.
    """

    def __init__(
        self, network: nn.Module, *, device: torch.device | None = None, keep: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self._network, self._device, self._keep = network, device, keep
        self._originals: dict[str, nn.Parameter | None] = {}
        self._carried: dict[str, tuple[Use, ...]] = {}

    @property
    def carried(self) -> Mapping[str, tuple[Use, ...]]:
        """What each changed weight carries now."""
        return self._carried

    def wear(self, layers: Layers) -> int:
        """Make these the patches that the network carries, and no others.

        An error leaves each weight either as it was or as it is wanted, and known to be so.

        Returns:
            How many weights were computed anew.
        """
        wanted = {name: tuple(uses) for name, uses in layers.items() if uses}
        for name in [name for name in self._carried if name not in wanted]:
            self._restore(name)
        changes = [(name, uses) for name, uses in wanted.items() if self._carried.get(name) != uses]
        for name, uses in changes:
            self._merge(name, uses)
        return len(changes)

    def _merge(self, name: str, uses: tuple[Use, ...]) -> None:
        owner, leaf = _place(self._network, name)
        present = owner._parameters[leaf]
        original = self._originals.get(name, present)
        value = self._changed(owner, original, uses)
        if present is not None:
            value = value.to(present.device)  # the network may have moved since the original was kept
        if name not in self._originals:
            self._originals[name] = original if original is None else self._put_away(original)
        owner._parameters[leaf] = nn.Parameter(value, requires_grad=False)
        self._carried[name] = uses

    def _changed(self, owner: nn.Module, original: nn.Parameter | None, uses: tuple[Use, ...]) -> Tensor:
        if original is not None:
            return merged(original.data, uses, device=self._device)
        weight = owner._parameters["weight"]  # of a layer without a bias, which gets one
        assert weight is not None
        return merged(weight.new_zeros(weight.shape[0]), uses, device=self._device)

    def _put_away(self, original: nn.Parameter) -> nn.Parameter:
        return nn.Parameter(self._keep(original.data), requires_grad=False) if self._keep else original

    def _restore(self, name: str) -> None:
        owner, leaf = _place(self._network, name)
        original, present = self._originals[name], owner._parameters[leaf]
        if original is not None and present is not None and original.device != present.device:
            original = nn.Parameter(original.data.to(present.device), requires_grad=False)
        owner._parameters[leaf] = original
        del self._originals[name], self._carried[name]


def _place(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return network.get_submodule(path), leaf
