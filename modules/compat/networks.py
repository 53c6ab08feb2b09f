"""Kinds of tags: those of this program as A1111's registry has them, and what extensions put beside or over them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from modules.compat.callbacks import guarded
from modules.compat.extra_networks import ExtraNetwork, ExtraNetworkParams, parse_prompts
from modules.compat.host import facade, own_job
from modules.domain.plan import BatchNetworks, BatchPlan, Networks

Data = Mapping[str, list[ExtraNetworkParams]]
Report = Callable[[str], None]

KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType({"lora": ("lora", "lyco"), "hypernet": ("hypernet",)})
"""Name in the registry of a kind that the pipeline serves -> first words of its tags."""


class OwnNetwork(ExtraNetwork):
    """A kind that the pipeline serves. What an extension stands in its place may still hand tags on to it."""

    def activate(self, p: Any, params_list: list[ExtraNetworkParams]) -> None:
        """Take the tags that are to count, where they do not come straight from the prompts."""
        job = own_job()
        if job is not None and is_replaced(self.name):
            handed(job)[self.name] = list(params_list)

    def deactivate(self, p: Any) -> None:
        """Leave it to the pipeline."""


def own_kinds() -> dict[str, ExtraNetwork]:
    """Return the registry as it is without extensions."""
    return {name: OwnNetwork(name) for name in KINDS}


def is_replaced(name: str) -> bool:
    """Tell whether an extension stands in the place of a kind of this program."""
    return not isinstance(facade("extra_networks").extra_network_registry.get(name), OwnNetwork)


def handed(job: Any) -> dict[str, list[ExtraNetworkParams]]:
    """Return what was handed on to kinds of this program since tags were activated last."""
    return vars(job.p).setdefault("_handed_networks", {})


def any_of_extensions() -> bool:
    """Tell whether there is any kind that is not this program's own."""
    module = facade("extra_networks")
    kinds = (*module.extra_network_registry.values(), *module.extra_network_aliases.values())
    return any(not isinstance(one, OwnNetwork) for one in kinds)


def lookup(data: Data) -> list[tuple[ExtraNetwork, list[ExtraNetworkParams]]]:
    """Return the kinds that tags name, by name or alias, with all their tags; unknown ones are left out."""
    module, found = facade("extra_networks"), dict[int, tuple[ExtraNetwork, list[ExtraNetworkParams]]]()
    for name, tags in data.items():
        kind = module.extra_network_registry.get(name) or module.extra_network_aliases.get(name)
        if kind is not None:
            found.setdefault(id(kind), (kind, []))[1].extend(tags)
    return list(found.values())


def activate(p: Any, data: Data | None, report: Report | None = None) -> None:
    """Have every kind do what the tags ask for; those that no tag names get an empty list."""
    job = own_job()
    if job is not None:
        handed(job).clear()
    named = lookup(data or {})
    known = {id(kind) for kind, _ in named}
    others = [one for one in facade("extra_networks").extra_network_registry.values() if id(one) not in known]
    for kind, tags in (*named, *((one, list[ExtraNetworkParams]()) for one in others)):
        with _guarded(kind, "activate", report):
            kind.activate(p, list(tags))


def deactivate(p: Any, data: Data | None, report: Report | None = None) -> None:
    """Have every kind undo it."""
    kinds = {id(kind): kind for kind, _ in lookup(data or {})}
    kinds |= {id(one): one for one in facade("extra_networks").extra_network_registry.values()}
    for kind in kinds.values():
        with _guarded(kind, "deactivate", report):
            kind.deactivate(p)


def hires_data(prompts: Sequence[str] | None) -> Data:
    """Return the tags of the prompts of a hires pass."""
    return parse_prompts(list(prompts or ()))[1]


def with_handed(batch: BatchPlan, hires: Data | None, find: Callable[[str], Networks]) -> BatchPlan:
    """Return a batch whose networks are those that reach this program past the extensions that stand before them.

    Args:
        batch: what is to be made.
        hires: the tags of the hires pass, None where there is none.
        find: reads tags and finds their files.
    """
    gone = [name for name in KINDS if is_replaced(name)]
    if not gone:
        return batch
    job = own_job()
    given = handed(job) if job is not None else {}
    tags = "".join(f"<{name}:{':'.join(one.items)}>" for name in gone for one in given.get(name, ()))
    found = find(tags)
    networks = BatchNetworks(
        first=_merged(batch.networks.first, found, gone),
        second=_merged(batch.networks.second, found if hires is not None else Networks(), gone),
        told={} if "lora" in gone else batch.networks.told,
    )
    return replace(batch, networks=networks)


def _merged(planned: Networks, found: Networks, gone: Sequence[str]) -> Networks:
    return Networks(
        loras=found.loras if "lora" in gone else planned.loras,
        hypernetworks=found.hypernetworks if "hypernet" in gone else planned.hypernetworks,
    )


def _guarded(kind: ExtraNetwork, what: str, report: Report | None) -> Any:
    where = f"tags of the kind {kind.name}: {what}"
    return guarded(where) if report is None else guarded(where, report)
