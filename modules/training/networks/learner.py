"""What a thing to be trained beside a model offers to the loop, and what both kinds have in common."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from torch import nn

from modules.families.family import Components


class Learner(Protocol):
    """Something small that learns while the model around it does not."""

    def groups(self) -> Sequence[dict[str, Any]]:
        """Return the optimiser's parameter groups: `params`, `lr` at its highest, `weight_decay`."""
        ...

    def within(self, model: Components) -> AbstractContextManager[None]:
        """Let it take part in whatever the model computes inside."""
        ...


@contextmanager
def frozen(model: Components) -> Iterator[None]:
    """Keep gradients away from the weights of a model."""
    networks: tuple[nn.Module, ...] = (model.unet, model.text, model.vae)
    learned = [parameter for network in networks for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
