"""Low-rank branches beside the layers of a model: the way of a LoRA while it is trained, when nothing is merged.

o and i are the outputs and inputs of a layer, r is the rank and k the side of a convolution's kernel.

Source: Hu et al. 2021, arXiv:2106.09685, equation 3.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from modules.families.family import Components
from modules.nn.patches.key_map import WHOLE
from modules.training.networks.layers import Layer


class Branch(nn.Module):
    """Two small matrices whose product is added to a layer. The second begins as zeros, so at first nothing changes.

    Args:
        layer: what it belongs to.
        shape: of the layer's weight, or of the equal part of its rows that is meant: [o, i] or [o, i, k, k].
        chance: what the first matrix is drawn from.
    """

    def __init__(self, layer: Layer, shape: Sequence[int], chance: torch.Generator) -> None:
        super().__init__()
        self.layer, self.scale = layer, layer.alpha / layer.rank
        outputs, *inputs = shape
        down = torch.empty(layer.rank, *inputs)
        bound = down[0].numel() ** -0.5  # a layer's usual range
        self.down = nn.Parameter(down.uniform_(-bound, bound, generator=chance))
        self.up = nn.Parameter(torch.zeros(outputs, layer.rank, *(1 for _ in inputs[1:])))

    def beside(self, owner: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        """Add to what a linear layer or convolution gave out; a forward hook."""
        x = args[0]
        down, up = self.down.to(x.dtype), self.up.to(x.dtype)
        if isinstance(owner, nn.Conv2d):
            narrow = F.conv2d(x, down, None, owner.stride, owner.padding, owner.dilation)
            return output + F.conv2d(narrow, up) * self.scale
        return output + F.linear(F.linear(x, down), up) * self.scale

    def forward(self, weight: Tensor) -> Tensor:
        """Return a matrix with the product added to its share of rows; for layers that are no modules of their own."""
        which, of = self.layer.target.share
        parts = list(weight.chunk(of))
        parts[which] = parts[which] + ((self.up @ self.down) * self.scale).to(weight)
        return torch.cat(parts)


def branches_for(model: Components, layers: Sequence[Layer], seed: int) -> list[Branch]:
    """Make the branches of some layers, on the devices of the networks."""
    chance, made = torch.Generator().manual_seed(seed), list[Branch]()
    for layer in layers:
        owner, leaf = _owner(model, layer)
        weight = getattr(owner, leaf)
        shape = (weight.shape[0] // layer.target.share[1], *weight.shape[1:])
        made.append(Branch(layer, shape, chance).to(weight.device))
    return made


@contextmanager
def attached(model: Components, branches: Sequence[Branch]) -> Iterator[None]:
    """Let branches take part in whatever a model computes inside; its weights are not touched."""
    with ExitStack() as undo:
        for branch in branches:
            owner, leaf = _owner(model, branch.layer)
            if isinstance(owner, nn.Linear | nn.Conv2d) and branch.layer.target.share == WHOLE:
                undo.callback(owner.register_forward_hook(branch.beside).remove)
                continue
            if not parametrize.is_parametrized(owner, leaf):
                undo.callback(parametrize.remove_parametrizations, owner, leaf, leave_parametrized=False)
            parametrize.register_parametrization(owner, leaf, branch)
        yield


def _owner(model: Components, layer: Layer) -> tuple[nn.Module, str]:
    """Return the module that holds a layer's weight, and the weight's name in it."""
    path, _, leaf = layer.target.weight.rpartition(".")
    return {"unet": model.unet, "text": model.text}[layer.target.part].get_submodule(path), leaf
