"""Decide which extra networks the tags of prompts switch on, and tell their hashes."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from modules.adapters.lora.catalog import LoraCatalog, LoraEntry
from modules.domain.errors import BrokenFile
from modules.domain.plan import BatchNetworks, HypernetworkUse, ImagePlan, LoraUse, Networks, Note, Plan
from modules.domain.request import Generation
from modules.library.hashes import Cancelled, HashCache
from modules.prompting.extra_networks import ExtraNetwork, parse_extra_networks
from modules.settings.sections import ExtraNetworks
from modules.settings.snapshot import Snapshot

logger = logging.getLogger(__name__)

LORA, HYPERNETWORK = ("lora", "lyco"), ("hypernet",)
"""First words of tags."""
MISSING = "Lora not found: "


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkShelf:
    """The extra networks on disk."""

    loras: LoraCatalog | None
    hypernetworks: Callable[[], Mapping[str, Path]]

    def lora(self, name: str) -> LoraEntry | None:
        """Look a LoRA up."""
        return self.loras.find(name) if self.loras else None


def with_default_tags(
    images: tuple[ImagePlan, ...], request: Generation, settings: Snapshot, shelf: NetworkShelf
) -> tuple[ImagePlan, ...]:
    """Append the tags that settings ask for to prompts that do not mention those networks."""
    rules = settings.extra_networks
    wanted = [
        (kinds, name)
        for kinds, name, known in (
            (LORA, rules.sd_lora, lambda name: shelf.lora(name) is not None),
            (HYPERNETWORK, rules.sd_hypernetwork, lambda name: name in shelf.hypernetworks()),
        )
        if name not in ("", "None") and request.extra_networks and known(name)
    ]
    if not wanted:
        return images

    def tagged(prompt: str) -> str:
        _, tags = parse_extra_networks(prompt)
        for kinds, name in wanted:
            if not any(tag.name in kinds and tag.target == name for tag in tags):
                prompt += f"<{kinds[0]}:{name}:{rules.extra_networks_default_multiplier}>"
        return prompt

    second = bool(request.hires)
    return tuple(
        replace(
            image,
            prompt=tagged(image.prompt),
            hires_prompt=tagged(image.hires_prompt) if second else image.hires_prompt,
        )
        for image in images
    )


def batch_networks(
    images: Sequence[ImagePlan], request: Generation, rules: ExtraNetworks, shelf: NetworkShelf
) -> tuple[tuple[BatchNetworks, ...], list[Note]]:
    """Find the networks of each batch by the tags of its first picture; what is not there is noted and left out."""
    if not request.extra_networks:
        return (), []
    found, notes = list[BatchNetworks](), dict[str, None]()
    for start in range(0, len(images), request.batch.size):
        image = images[start]
        first = _networks(image.prompt, shelf, notes)
        second = _networks(image.hires_prompt, shelf, notes) if request.hires else Networks()
        found.append(BatchNetworks(first=first, second=second))
    for text in notes:
        if rules.lora_not_found_warning_console and text.startswith(MISSING):
            logger.warning("%s", text)
    return tuple(found), [Note(text=text) for text in notes]


def with_hashes(plan: Plan, hashes: HashCache | None, settings: ExtraNetworks, cancelled: Cancelled) -> Plan:
    """Complete a plan with the hashes of its LoRAs, seconds per gigabyte for new ones.

    Args:
        plan: decided.
        hashes: None while hashing is off; then only hashes that files carry are told.
        settings: whether they are wanted.
        cancelled: asked on the way.
    """
    if not settings.lora_add_hashes_to_infotext:
        return plan
    known = dict[Path, str]()

    def told(batch: BatchNetworks) -> BatchNetworks:
        entries = dict[str, str]()
        for use in (*batch.first.loras, *batch.second.loras):
            if use.path not in known:
                known[use.path] = _hash(use.path, hashes, cancelled)
            if known[use.path]:
                entries[use.name.replace(":", "").replace(",", "")] = known[use.path]
        text = ", ".join(f"{name}: {digest}" for name, digest in entries.items())
        return replace(batch, told=MappingProxyType({"Lora hashes": text})) if text else batch

    return replace(plan, networks=tuple(told(batch) for batch in plan.networks))


def _hash(path: Path, hashes: HashCache | None, cancelled: Cancelled) -> str:
    from modules.library.header import read_header

    try:
        metadata = read_header(path).metadata if path.suffix.lower() == ".safetensors" else {}
        if hashes is None:
            return metadata.get("sshs_model_hash", "")[:12]
        return hashes.lora_hash(path, metadata, cancelled) or ""
    except BrokenFile as error:  # whoever uses it says so
        logger.debug("%s", error)
        return ""


def _networks(prompt: str, shelf: NetworkShelf, notes: dict[str, None]) -> Networks:
    _, tags = parse_extra_networks(prompt)
    loras = _loras([tag for tag in tags if tag.name in LORA], shelf, notes)
    return Networks(
        loras=loras, hypernetworks=_hypernetworks([t for t in tags if t.name in HYPERNETWORK], shelf, notes)
    )


def _loras(tags: Sequence[ExtraNetwork], shelf: NetworkShelf, notes: dict[str, None]) -> tuple[LoraUse, ...]:
    """Each mention is applied once, every time with the strengths of the file's last mention."""
    found, missing = list[LoraUse](), list[str]()
    for tag in tags:
        entry = shelf.lora(tag.target)
        if entry is None:
            missing.append(tag.target[:100])
            continue
        try:
            found.append(_strengths(tag, entry.path))
        except ValueError as error:
            notes[f"<{tag.name}:{tag.target[:100]}> is ignored: {error}"] = None
    if missing:
        notes[f"{MISSING}{', '.join(dict.fromkeys(missing))}"] = None
    last = {use.path: use for use in found}
    return tuple(replace(last[use.path], name=use.name) for use in found)


def _strengths(tag: ExtraNetwork, path: Path) -> LoraUse:
    """Read `<lora:name:te:unet:dyn>`, in which each number may also be given by its name.

    Raises:
        ValueError: something is no number.
    """
    given = dict(zip(("te", "unet", "dyn"), tag.positional[1:], strict=False)) | dict(tag.named)
    text = _number(given.get("te", "1"))
    rank = given.get("dyn")
    if rank is not None and not (rank.strip().isascii() and rank.strip().isdigit()):
        raise ValueError(f"{rank[:40]!r} is no number of ranks")
    return LoraUse(
        name=tag.target,
        path=path,
        text=text,
        unet=_number(given["unet"]) if "unet" in given else text,
        rank=None if rank is None else int(rank[:9]) or None,
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]!r} is no number")
    return value


def _hypernetworks(
    tags: Sequence[ExtraNetwork], shelf: NetworkShelf, notes: dict[str, None]
) -> tuple[HypernetworkUse, ...]:
    found, known = list[HypernetworkUse](), shelf.hypernetworks() if tags else {}
    for tag in tags:
        path = known.get(tag.target)
        if path is None:
            notes[f"Hypernetwork not found: {tag.target[:100]}"] = None
            continue
        try:
            strength = _number(tag.positional[1] if len(tag.positional) > 1 else tag.named.get("mult", "1"))
        except ValueError as error:
            notes[f"<hypernet:{tag.target[:100]}> is ignored: {error}"] = None
            continue
        found.append(HypernetworkUse(name=tag.target, path=path, strength=strength))
    return tuple(found)
