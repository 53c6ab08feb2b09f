"""Small networks before the keys and the values of attention, by the width of what they look at.

B rows, S tokens, D width.

Source: the idea is NovelAI's ("NovelAI improvements on Stable Diffusion", 2022); the form of the files is A1111's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.nn.blocks import CrossAttention

Step = Callable[[Tensor], Tensor]

ACTIVATIONS: Mapping[str, Step] = MappingProxyType({
    "linear": lambda x: x, "relu": F.relu, "leakyrelu": F.leaky_relu, "elu": F.elu, "swish": F.hardswish,
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "celu": F.celu, "gelu": F.gelu, "hardshrink": F.hardshrink,
    "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish, "hardtanh": F.hardtanh, "logsigmoid": F.logsigmoid,
    "mish": F.mish, "relu6": F.relu6, "rrelu": F.rrelu, "selu": F.selu, "silu": F.silu, "softplus": F.softplus,
    "softshrink": F.softshrink, "softsign": F.softsign, "tanhshrink": F.tanhshrink,
})  # fmt: skip
"""By the names that files use; `swish` always was the hard one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """A linear layer or, with weights of one dimension, a layer norm."""

    weight: Tensor
    """[out, in] or [D]."""
    bias: Tensor
    activated: bool = False
    """Whether the activation follows."""

    def moved(self, like: Tensor) -> "Layer":
        """Return the layer where and in the type in which a tensor is."""
        return Layer(weight=self.weight.to(like), bias=self.bias.to(like), activated=self.activated)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Net:
    """A network whose result is added to what it gets."""

    layers: tuple[Layer, ...]
    activation: str = "linear"

    def __call__(self, x: Tensor, strength: float) -> Tensor:
        """[B, S, D] -> [B, S, D]."""
        h = x
        for layer in self.layers:
            if layer.weight.ndim == 1:
                h = F.layer_norm(h, layer.weight.shape, layer.weight, layer.bias)
            else:
                h = F.linear(h, layer.weight, layer.bias)
            if layer.activated:
                h = ACTIVATIONS[self.activation](h)
        return x + h * strength

    def moved(self, like: Tensor) -> "Net":
        """Return the network where and in the type in which a tensor is."""
        return Net(layers=tuple(layer.moved(like) for layer in self.layers), activation=self.activation)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hypernetwork:
    """The networks of one file."""

    name: str
    nets: Mapping[int, tuple[Net, Net]]
    """Width of what attention looks at -> networks before its keys and its values."""


@contextmanager
def attached(unet: nn.Module, wanted: Sequence[tuple[Hypernetwork, float]]) -> Iterator[None]:
    """Have the attentions of a network look at what hypernetworks make of their context, for the calls inside.

    Args:
        unet: its attentions may move between devices meanwhile.
        wanted: hypernetworks and their strengths, the first is the first to see the context.
    """
    active = [(one, strength) for one, strength in wanted if strength]
    with ExitStack() as until_end:
        for attention in [part for part in unet.modules() if isinstance(part, CrossAttention)] if active else []:
            for which, layer in enumerate((attention.to_k, attention.to_v)):
                nets = [(one.nets[layer.in_features][which], s) for one, s in active if layer.in_features in one.nets]
                if nets:
                    until_end.callback(layer.register_forward_pre_hook(_changed_by(nets)).remove)
        yield


def _changed_by(nets: Sequence[tuple[Net, float]]) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
    near: dict[tuple[torch.device, torch.dtype], list[tuple[Net, float]]] = {}

    def change(_layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
        (x,) = given
        place = (x.device, x.dtype)
        if place not in near:
            near[place] = [(net.moved(x), strength) for net, strength in nets]
        for net, strength in near[place]:
            x = net(x, strength)
        return (x,)

    return change
