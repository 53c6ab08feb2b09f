"""A model in memory with what is known of it, and the keys that tell models apart."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from modules.domain.plan import ResolvedModel
from modules.library.folders import stamp
from modules.library.sidecars import config_path
from modules.nn.attention.backend import Backend
from modules.residency.loader import Recipe
from modules.residency.model import Model
from modules.residency.placing import Placement
from modules.residency.resident import Resident, Where
from modules.residency.sizes import is_on, parts_of, weight_bytes

Stamps = tuple[tuple[int, ...], ...]
"""Time, size and inode of files, so that a replaced one is loaded anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsKey:
    """What makes the weights of a model, all but the VAE's, different from another's."""

    checkpoint: Path
    stamps: Stamps
    attention: str
    made: tuple[object, ...] = ()
    """What else of the request changes how the files are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaeKey:
    """What makes a VAE different from another."""

    file: Path
    stamps: Stamps


def keys_of(wanted: ResolvedModel, attention: Backend) -> tuple[WeightsKey, VaeKey]:
    """Return what the weights and the VAE of the wanted files are known by."""
    files = [wanted.checkpoint, *wanted.modules, *filter(None, [config_path(wanted.checkpoint)])]
    stamps, source = tuple(stamp(path) for path in files), wanted.vae or wanted.checkpoint
    made = (wanted.modules, wanted.prediction, wanted.fp8, wanted.keep_half)
    return (
        WeightsKey(checkpoint=wanted.checkpoint, stamps=stamps, attention=attention.name, made=made),
        VaeKey(file=source, stamps=(stamp(source), *(() if wanted.vae else map(stamp, wanted.modules)))),
    )


@dataclass(slots=True, kw_only=True, eq=False)
class Kept:
    """Weights of a checkpoint in memory, with one VAE or several."""

    key: WeightsKey
    recipe: Recipe
    """Of the files that were wanted last."""
    placement: Placement
    models: dict[VaeKey, Model]
    """One for each VAE, the last used first; they share all other weights and the texts they have encoded."""
    leases: int = 0
    leaving: bool = False
    """Leaves the device as soon as nobody uses it."""
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    num_bytes: int = field(init=False)
    """Memory that the weights take."""

    @property
    def name(self) -> str:
        """The checkpoint's."""
        return self.recipe.wanted.name

    @property
    def parts(self) -> tuple[nn.Module, ...]:
        """All networks, each once."""
        return tuple(dict.fromkeys(part for model in self.models.values() for part in parts_of(model.components)))

    def __post_init__(self) -> None:
        self._count()

    def use(self, vae: VaeKey, model: Model, recipe: Recipe) -> None:
        """Note what is used now."""
        new = vae not in self.models
        self.models = {vae: model, **{key: one for key, one in self.models.items() if key != vae}}
        self.recipe = recipe
        if new:
            self._count()

    def drop_vaes(self, most: int) -> int:
        """Keep only some of the VAEs, the last used; return how many there are beside the last one."""
        if len(self.models) > most:
            self.models = dict(list(self.models.items())[:most])
            self._count()
        return len(self.models) - 1

    def vae_dtype(self, vae: VaeKey) -> torch.dtype | None:
        """Return the number format of a VAE; it may have changed when the usual one gave no numbers."""
        model = self.models.get(vae)
        return None if model is None else next(model.components.vae.parameters()).dtype

    def undress(self) -> None:
        """Give the networks their own weights back, so that moving them moves all there is."""
        for model in self.models.values():
            model.worn.take_off()

    def _count(self) -> None:
        self.num_bytes = weight_bytes(*self.parts)

    def is_on(self, device: torch.device) -> bool:
        """Tell whether the largest part of the weights lies on a device."""
        return is_on(next(iter(self.models.values())).components.unet, device)

    def told(self, device: torch.device) -> Resident:
        """Describe this for a list."""
        wanted = self.recipe.wanted
        return Resident(
            name=wanted.name, checkpoint=wanted.checkpoint, vae=wanted.vae, num_bytes=self.num_bytes, since=self.since,
            where=Where.DEVICE if self.is_on(device) else Where.RAM, in_use=self.leases > 0,
        )  # fmt: skip
