"""Weights elsewhere or in another number format, for a while or for good."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from modules.residency.device import DevicePolicy, Offload
from modules.residency.memory import Change, Machine, Memory
from modules.residency.relief import no_room

Restore = Callable[[], None]


def replace_weights(modules: Iterable[nn.Module], change: Change) -> Restore:
    """Put stand-ins in the place of the parameters and buffers of some modules. Either all of them change or none.

    Args:
        modules: as `network.modules()` gives them; what lies inside of one is not looked at.
        change: gives the stand-in of one tensor; may return the tensor itself.

    Returns:
        What puts the originals back. Who drops it lets go of them.
    """
    kept = [(module, dict(module._parameters), dict(module._buffers)) for module in modules]

    def restore() -> None:
        for module, parameters, buffers in kept:
            module._parameters.update(parameters)
            module._buffers.update(buffers)

    stand_ins: dict[int, Tensor] = {}  # by the identity of the original: what two modules share stays shared

    def once(original: Tensor) -> Tensor:
        if id(original) not in stand_ins:
            stand_ins[id(original)] = change(original)
        return stand_ins[id(original)]

    try:
        for module, parameters, buffers in kept:
            for name, parameter in parameters.items():
                if parameter is not None:
                    module._parameters[name] = nn.Parameter(once(parameter), requires_grad=False)
            module._buffers.update({name: once(value) for name, value in buffers.items() if value is not None})
    except BaseException:
        restore()
        raise
    return restore


@contextmanager
def changed(part: nn.Module, change: Change) -> Iterator[None]:
    """Run with changed parameters and buffers, and put the original ones back however it ends.

    Args:
        part: a network.
        change: gives the stand-in of one tensor; may return the tensor itself.
    """
    restore = replace_weights(part.modules(), change)
    try:
        yield
    finally:
        restore()


def in_format(dtype: torch.dtype) -> Change:
    """Return the change of numbers with a fraction to another format; others, such as positions, stay."""
    return lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor


def relocate(part: nn.Module, change: Change) -> None:
    """Change the weights of a network for good, whatever torch records at the moment.

    Args:
        part: a network that nobody uses now.
        change: as for `replace_weights`.
    """
    with torch.inference_mode(False), torch.no_grad():
        replace_weights(part.modules(), change)


@dataclass(slots=True, kw_only=True, eq=False)
class Placement:
    """How a model runs now. Whoever lends the model decides it; running out of memory may change it on the way."""

    offload: Offload
    memory: Memory
    resident_bytes: int = 0
    """With BLOCKS, so much of the network may stay on the device all the time."""
    make_room: Callable[[], bool] = no_room
    """Lets other models leave the device; tells whether there were any."""

    @classmethod
    def of(cls, policy: DevicePolicy) -> Self:
        """Return what the command line asks for, for a model that nobody lends."""
        return cls(offload=policy.offload, memory=Machine(policy.device))
