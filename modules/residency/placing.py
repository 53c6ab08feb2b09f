"""Weights elsewhere or in another number format for a while. The originals are kept, so nothing is lost or copied back."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

Change = Callable[[Tensor], Tensor]


@contextmanager
def changed(part: nn.Module, change: Change) -> Iterator[None]:
    """Run with changed parameters and buffers, and put the original ones back however it ends.

    Args:
        part: a network.
        change: gives the stand-in of one tensor; may return the tensor itself.
    """
    kept = [(module, dict(module._parameters), dict(module._buffers)) for module in part.modules()]
    try:
        for module, parameters, buffers in kept:
            for name, parameter in parameters.items():
                if parameter is not None:
                    module._parameters[name] = nn.Parameter(change(parameter.data), requires_grad=False)
            module._buffers.update({name: change(value) for name, value in buffers.items() if value is not None})
        yield
    finally:
        for module, parameters, buffers in kept:
            module._parameters.update(parameters)
            module._buffers.update(buffers)


def on_device(device: torch.device) -> Change:
    """Return the change that brings a tensor to a device."""
    return lambda tensor: tensor.to(device)


def in_format(dtype: torch.dtype) -> Change:
    """Return the change of numbers with a fraction to another format; others, such as positions, stay."""
    return lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor


@contextmanager
def streamed(part: nn.Module, device: torch.device) -> Iterator[None]:
    """Bring each of the outer blocks of a network to a device only while it computes."""
    present: dict[nn.Module, ExitStack] = {}

    def arrive(block: nn.Module, _args: object) -> None:
        present[block] = ExitStack()
        present[block].enter_context(changed(block, on_device(device)))

    def leave(block: nn.Module, _args: object, _result: object) -> None:
        present.pop(block).close()

    with ExitStack() as until_end:
        for block in outer_blocks(part):
            until_end.callback(block.register_forward_pre_hook(arrive).remove)
            until_end.callback(block.register_forward_hook(leave).remove)
        try:
            yield
        finally:
            for visit in present.values():  # of a block that failed while it was there
                visit.close()


def outer_blocks(part: nn.Module) -> list[nn.Module]:
    """Return the children of a network, and for lists of blocks their entries."""
    return [block for child in part.children() for block in (child if isinstance(child, nn.ModuleList) else (child,))]
