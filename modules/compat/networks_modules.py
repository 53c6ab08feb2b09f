"""What a LoRA does to each layer, as A1111's own extension for them shows it."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from modules.nn.patches.low_rank import Generalised, Hadamard, Kronecker, LowRank
from modules.nn.patches.rotations import Butterfly, Rotation
from modules.nn.patches.whole import Difference, Replacement, Rescaling

TOLERANCE = 1e-3
"""How far a changed tensor may be from a multiple of the original one, relative to that."""


class NetworkModule:
    """What a LoRA does to one layer. Its tensors are those of the file; a multiple of the main one changes the strength.

    Args:
        network: the LoRA.
        key: layer of the model, as `layer_key` names it.
        patch: of the file.
    """

    main = ""
    """Name of the attribute that extensions multiply."""

    def __init__(self, network: Any, key: str, patch: Any) -> None:
        self.network, self.layer_key, self.patch = network, key, patch
        self.scale: Any = getattr(patch, "scale", 1.0)
        self.alpha, self.dim = None, None
        self._fill(patch)
        self._own = self._value()

    def _fill(self, patch: Any) -> None:
        """Show the tensors of the patch."""

    def _value(self) -> Any:
        return getattr(self, self.main, None)

    def multiplier(self) -> float:
        """Return the strength of the LoRA in this layer's network."""
        text = self.layer_key.startswith("text.")
        return self.network.te_multiplier if text else self.network.unet_multiplier

    def calc_scale(self) -> float:
        """Return what products are multiplied by."""
        return float(self.scale)

    def factor(self) -> float | None:
        """Return by what the main tensor was multiplied; None when it was changed in another way."""
        now, own = self._value(), self._own
        if now is own or own is None:
            return 1.0
        if not isinstance(now, Tensor) or not isinstance(own, Tensor):
            return float(now) / float(own) if own else 1.0
        now, own = now.detach().float().cpu(), own.detach().float().cpu()
        size = float(own.square().sum())
        if now.shape != own.shape or size == 0:
            return None if now.shape != own.shape else 1.0
        times = float((now * own).sum()) / size
        return times if float((now - times * own).norm()) <= TOLERANCE * max(size**0.5, float(now.norm())) else None


class NetworkModuleLora(NetworkModule):
    """Two narrow matrices."""

    def _fill(self, patch: LowRank) -> None:
        self.up_model, self.down_model = _holder(patch.up), _holder(patch.down)
        self.mid_model = None if patch.mid is None else _holder(patch.mid)
        self.dim = patch.down.shape[0]
        self.alpha = patch.scale * self.dim

    def _value(self) -> Any:
        return self.up_model.weight


class NetworkModuleHada(NetworkModule):
    """The elementwise product of two products."""

    main = "w1a"

    def _fill(self, patch: Hadamard) -> None:
        (self.w1a, self.w2a), (self.w1b, self.w2b) = patch.a, patch.b
        self.t1, self.t2 = patch.cores or (None, None)


class NetworkModuleLokr(NetworkModule):
    """A Kronecker product."""

    main = "w1"

    def _fill(self, patch: Kronecker) -> None:
        self.w1 = patch.first[0] if len(patch.first) == 1 else patch.first[0] @ patch.first[1]
        self.w2 = patch.second[0] if len(patch.second) == 1 else None
        self.t2 = patch.core


class NetworkModuleGLora(NetworkModule):
    """A low-rank part, and another one that the weight is multiplied with."""

    main = "w1a"

    def _fill(self, patch: Generalised) -> None:
        (self.w1a, self.w2a), (self.w1b, self.w2b) = patch.inner, patch.outer


class NetworkModuleFull(NetworkModule):
    """A whole difference."""

    main = "weight"

    def _fill(self, patch: Any) -> None:
        self.weight = patch.diff if isinstance(patch, Difference) else patch.value


class NetworkModuleIa3(NetworkModule):
    """Factors of rows or columns."""

    main = "w"

    def _fill(self, patch: Rescaling) -> None:
        self.w = patch.factors


class NetworkModuleOFT(NetworkModule):
    """A rotation."""

    main = "scale"

    def _fill(self, patch: Any) -> None:
        self.oft_blocks, self.scale = patch.blocks, 1.0


KINDS: Mapping[type, type[NetworkModule]] = {
    LowRank: NetworkModuleLora, Hadamard: NetworkModuleHada, Kronecker: NetworkModuleLokr,
    Generalised: NetworkModuleGLora, Difference: NetworkModuleFull, Replacement: NetworkModuleFull,
    Rescaling: NetworkModuleIa3, Rotation: NetworkModuleOFT, Butterfly: NetworkModuleOFT,
}  # fmt: skip
"""Kind of patch -> what shows it."""


def _holder(weight: Tensor) -> SimpleNamespace:
    return SimpleNamespace(weight=nn.Parameter(weight, requires_grad=False))
