"""`networks.loaded_networks`: the LoRAs of the batch that runs, whose strengths extensions may change.

What they change is folded back into the plan of the batch: the strength in text encoders and in the rest, and, where the
tensors of a layer were multiplied by a number, a factor of that layer.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from modules.adapters.lora.bind import bind, layer_key
from modules.adapters.lora.catalog import LoraEntry
from modules.compat.host import current_job, host
from modules.compat.lent import lent_model
from modules.compat.networks_files import Available, NetworkOnDisk, ambiguous, entries
from modules.compat.networks_modules import KINDS, TOLERANCE, NetworkModule
from modules.compat.networks_names import name_of
from modules.domain.plan import BatchPlan, LoraUse, Networks
from modules.nn.patches.decomposed import Decomposed
from modules.nn.patches.patch import Patch
from modules.nn.patches.whole import Corrected


class Network:
    """A LoRA in use.

    Args:
        name: as prompts have it.
        network_on_disk: its file.
        use: how the plan uses it; None for one that an extension loads by itself.
    """

    def __init__(self, name: str, network_on_disk: NetworkOnDisk, use: LoraUse | None = None) -> None:
        self.name, self.network_on_disk, self.mentioned_name = name, network_on_disk, name
        self.use = use or LoraUse(name=name, path=Path(network_on_disk.filename))
        self.te_multiplier, self.unet_multiplier, self.dyn_dim = self.use.text, self.use.unet, self.use.rank
        self.multiplier = self.unet_multiplier
        self.bundle_embeddings: dict[str, Any] = {}
        self.mtime = None

    @cached_property
    def modules(self) -> dict[str, NetworkModule]:
        """What it does to each layer, by A1111's name of the layer.

        Raises:
            BrokenFile: its file cannot be read.
        """
        components = lent_model().components
        _, file = host().workshop().networks.lora(self.use.path)
        found: dict[str, NetworkModule] = {}
        for one in bind(file, components.family.key_map(components), _shapes(components)).placed:
            if one.name == one.target.weight:
                name = name_of(one.target.part, one.target.weight, components.text)
                inner = _inner(one.patch)
                found.setdefault(name, KINDS[type(inner)](self, layer_key(one.target), inner))
        return found

    def folded(self) -> LoraUse:
        """Return how it is to be used now, factors of its layers included; remembered as how it is used."""
        if "modules" in vars(self):
            self.use = replace(self.use, layers=tuple(_factors(self.name, self.modules.values())))
        return self.with_strengths()

    def with_strengths(self) -> LoraUse:
        """Return how it is to be used by its strengths now; remembered as how it is used."""
        text, unet = float(self.te_multiplier), float(self.unet_multiplier)
        self.use = replace(self.use, text=text, unet=unet, rank=self.dyn_dim)
        return self.use

    @property
    def is_changed(self) -> bool:
        """Whether its strengths are others than when it was looked at last."""
        return (self.te_multiplier, self.unet_multiplier, self.dyn_dim) != (self.use.text, self.use.unet, self.use.rank)


def _inner(patch: Patch) -> Patch:
    while isinstance(patch, Decomposed | Corrected):
        patch = patch.inner
    return patch


def _factors(name: str, found: Iterable[NetworkModule]) -> Iterable[tuple[str, float]]:
    """Yield the layers whose strength was changed; other changes are told and left out."""
    job = current_job()
    for one in found:
        times = one.factor()
        if times is None and job is not None:
            job.report(f"Lora {name}: an extension changed the tensors of single layers by more than a factor; that is left out")  # fmt: skip
        elif times is not None and abs(times - 1) > TOLERANCE * TOLERANCE:
            yield one.layer_key, times


def _shapes(components: Any) -> Any:
    def shape_of(part: str, name: str) -> tuple[int, ...] | None:
        try:
            return tuple(getattr(components, part).get_parameter(name).shape)
        except AttributeError:
            return None

    return shape_of


def load_network(name: str, network_on_disk: NetworkOnDisk) -> Network:
    """Return a LoRA with full strength."""
    return Network(name, network_on_disk)


def load_networks(
    loaded: list[Any], names: Any, te_multipliers: Any = None, unet_multipliers: Any = None, dyn_dims: Any = None
) -> None:
    """Have the running batch use these LoRAs and no others; what is not there is left out.

    Args:
        loaded: `loaded_networks`.
        names: as prompts have them.
        te_multipliers: strengths in text encoders.
        unet_multipliers: strengths elsewhere.
        dyn_dims: how many ranks of each are used.
    """
    exact, known, refused = Available(aliases=False), Available(aliases=True), ambiguous()
    loaded.clear()
    for place, name in enumerate(names):
        found = (exact if name.lower() in refused else known).get(name)
        if found is None:
            continue
        made = Network(name, found)
        made.te_multiplier = te_multipliers[place] if te_multipliers else 1.0
        made.unet_multiplier = made.multiplier = unet_multipliers[place] if unet_multipliers else 1.0
        made.dyn_dim = dyn_dims[place] if dyn_dims else None
        loaded.append(made)


def current() -> list[Network]:
    """Return the LoRAs of the batch that runs."""
    job = current_job()
    batch = getattr(job, "batch", None)
    return [] if batch is None else _shown(batch)


def show(batch: BatchPlan) -> tuple[LoraUse, ...]:
    """Let extensions see the LoRAs of a batch, if any of them looks; return what is shown."""
    loaded = _list()
    if loaded is not None:
        loaded[:] = _shown(batch)
    return batch.networks.first.loras


def folded(batch: BatchPlan, shown: tuple[LoraUse, ...]) -> BatchPlan:
    """Return a batch with the LoRAs as extensions left them.

    Args:
        batch: as it is after all hooks.
        shown: what `show` returned before them.
    """
    loaded = _list()
    if loaded is None or not all(isinstance(one, Network) for one in loaded):
        return batch
    uses, before = tuple(one.folded() for one in loaded), batch.networks
    if uses == shown:
        return batch
    changed = dict(zip(before.first.loras, uses, strict=False)) if len(uses) == len(before.first.loras) else {}
    second = tuple(changed.get(one, one) for one in before.second.loras)
    first = replace(before.first, loras=uses)
    return replace(batch, networks=replace(before, first=first, second=replace(before.second, loras=second)))


def follow(report: Callable[[str], None]) -> None:
    """Have the model wear the LoRAs with the strengths that extensions gave them between steps.

    Args:
        report: told what cannot be used.
    """
    loaded, batch = _list(), getattr(current_job(), "batch", None)
    if batch is None or not loaded or not all(isinstance(one, Network) for one in loaded):
        return
    if any(one.is_changed for one in loaded):
        uses = tuple(one.with_strengths() for one in loaded)
        lent_model().worn.wear(replace(batch.networks.first, loras=uses), host().workshop().networks, report)


def _list() -> list[Any] | None:
    """Return `networks.loaded_networks`, None while no extension has imported it."""
    module = sys.modules.get("networks")
    # An extension may bring a module of this name itself.
    return module.loaded_networks if module is not None and getattr(module, "originals", None) is ORIGINALS else None


def _shown(batch: BatchPlan) -> list[Network]:
    networks: Networks = batch.networks.first
    return [Network(use.name, NetworkOnDisk(_entry(use)), use) for use in networks.loras]


def _entry(use: LoraUse) -> LoraEntry:
    found = next((one for one in entries() if one.path == use.path), None)
    return found or LoraEntry(name=use.path.stem, path=use.path, alias=use.name, metadata={}, relative=use.path.stem)


def plain_forward(org_module: Any, input: Tensor, original_forward: Any) -> Tensor:
    """Run a layer; its weights wear the LoRAs already."""
    return original_forward(org_module, input)


def unchanged(self: Any, *_more: Any) -> None:
    """Leave a layer as it is; its weights wear the LoRAs of the batch by themselves."""


ORIGINALS = SimpleNamespace(
    **{
        f"{kind}_{method}": getattr(getattr(nn, kind), own)
        for kind in ("Linear", "Conv2d", "GroupNorm", "LayerNorm", "MultiheadAttention")
        for method, own in (("forward", "forward"), ("load_state_dict", "_load_from_state_dict"))
    }
)
"""Torch's own methods, under A1111's names."""
