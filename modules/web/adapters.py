"""What the lower rooms offer, in the form in which the API lists it. Imports nothing heavy until it is called."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from modules.domain.errors import BrokenFile
from modules.library.catalog import Catalog, CheckpointEntry, is_vae_name
from modules.library.folders import is_model_folder, model_files
from modules.library.scan import scan_files
from modules.web.cards.facts import FileFacts
from modules.web.services import (
    CheckpointFacts,
    CheckpointInfo,
    EmbeddingInfo,
    EmbeddingLists,
    LoadedModel,
    SamplerChoice,
    SamplerInfo,
    SchedulerInfo,
    StrayFile,
    VaeInfo,
)

if TYPE_CHECKING:
    from modules.adapters.textual_inversion.folder import Listing
    from modules.residency.resident import Resident
    from modules.sampling.book import SamplerBook


def sampler_infos(book: "SamplerBook") -> list[SamplerInfo]:
    """List the samplers."""
    return [SamplerInfo(name=one.label, aliases=one.aliases, options=one.listing()) for one in book.samplers]


def scheduler_infos(book: "SamplerBook") -> list[SchedulerInfo]:
    """List the noise schedules."""
    return [
        SchedulerInfo(
            name=one.name, label=one.label, aliases=one.aliases or None,
            default_rho=-1.0 if one.default_rho is None else one.default_rho, need_inner_model=one.needs_model,
        )
        for one in book.schedules
    ]  # fmt: skip


def choose_sampler(book: "SamplerBook", sampler_name: str, scheduler: str) -> SamplerChoice:
    """Find the sampler and the schedule that two names stand for."""
    found = book.resolve(sampler_name, scheduler)
    return SamplerChoice(
        sampler=found.sampler.label, scheduler=found.schedule.label, warnings=found.notes, known=found.known
    )


def upscaler_names(upscalers: Iterable[str]) -> list[str]:
    """List what enlarges a picture, the choice of nothing first."""
    from modules.imaging.upscale import NO_UPSCALER

    return [NO_UPSCALER, *upscalers]


def latent_modes() -> list[str]:
    """List the ways of enlarging a latent."""
    from modules.pipeline.hires import LATENT_MODES

    return [*LATENT_MODES]


def checkpoint_infos(entries: Iterable[CheckpointEntry]) -> list[CheckpointInfo]:
    """List the checkpoints."""
    return [
        CheckpointInfo(
            title=one.title, model_name=one.model_name, hash=one.short_hash or None, sha256=one.sha256,
            filename=str(one.path), config=str(one.config) if one.config is not None else None,
        )
        for one in entries
    ]  # fmt: skip


def checkpoint_facts(catalog: Catalog[Any], name: str) -> CheckpointFacts:
    """Look into a checkpoint.

    Args:
        catalog: the checkpoints; its matches are those of families.
        name: any name of one; unknown and empty ones mean the one used when none is configured.
    """
    from modules.families import families
    from modules.families.facts import native_size

    entry = catalog.find(name) or catalog.default()
    if entry is None:
        return CheckpointFacts(native_size=native_size({}))
    found = catalog.inspect(entry)
    known = CheckpointFacts(
        name=entry.name, filename=str(entry.path), size_bytes=_size(entry.path), metadata=found.metadata,
        native_size=native_size({}), fault=found.fault,
    )  # fmt: skip
    if found.match is None:
        return known
    return replace(
        known, family=found.match.family, variant=found.match.variant, prediction=found.match.prediction,
        native_size=native_size(found.match.config),
        label=next((one.label for one in families() if one.id == found.match.family), found.match.family),
    )  # fmt: skip


def checkpoint_card(catalog: Catalog[Any], path: Path) -> FileFacts:
    """Tell what the card of a checkpoint shows of its inside."""
    found = catalog.inspect(CheckpointEntry(path=path, name=path.name))
    family = "" if found.match is None else found.match.family
    return FileFacts(family=family, has_metadata=bool(found.metadata), fault=found.fault)


STRAYS: Mapping[str, str] = MappingProxyType({
    ".gguf": "is in the format GGUF; checkpoints are .safetensors or .ckpt",
    ".sft": "should end in .safetensors",
    ".pt": "is a PyTorch file that is no checkpoint by its name; checkpoints are .safetensors or .ckpt",
    ".pth": "is a PyTorch file that is no checkpoint by its name; upscalers belong in models/ESRGAN",
    ".bin": "is a PyTorch file that is no checkpoint by its name; checkpoints are .safetensors or .ckpt",
    ".part": "is a download that has not ended",
    ".partial": "is a download that has not ended",
    ".crdownload": "is a download that has not ended",
    ".download": "is a download that has not ended",
    ".aria2": "belongs to a download that has not ended",
    ".zip": "is packed; unpack it",
    ".7z": "is packed; unpack it",
    ".rar": "is packed; unpack it",
})  # fmt: skip
"""Ending of a file that people put beside checkpoints -> why it is not one."""


def stray_files(folders: Iterable[Path]) -> list[StrayFile]:
    """List the files below folders of checkpoints that look like models and are not listed as such."""
    scanned = (pair for folder in folders for pair in scan_files(folder, STRAYS.keys(), whole=is_model_folder))
    found = {path: name for name, path in scanned if not path.is_dir()}
    return [
        StrayFile(name=name, size_bytes=_size(path), reason=STRAYS[path.suffix.lower()])
        for path, name in found.items()
        if not is_vae_name(name)
    ]


def loaded_models(residents: "Iterable[Resident]") -> list[LoadedModel]:
    """List the models in memory."""
    return [
        LoadedModel(
            filename=str(one.checkpoint), num_bytes=one.num_bytes, where=str(one.where.value), in_use=one.in_use
        )
        for one in residents
    ]


def _size(path: Path) -> int:
    try:
        return sum(file.stat().st_size for file in model_files(path))
    except (OSError, BrokenFile):
        return 0


def vae_infos(vaes: Mapping[str, Path]) -> list[VaeInfo]:
    """List the VAE files."""
    return [VaeInfo(model_name=name, filename=str(path)) for name, path in vaes.items()]


def embedding_lists(listing: "Listing", encoders: Mapping[str, int] | None) -> EmbeddingLists:
    """Sort embeddings by whether they fit a model, told by its text encoders; without a model all of them may."""
    infos = {
        one.name: EmbeddingInfo(
            step=one.step, sd_checkpoint=one.sd_checkpoint, sd_checkpoint_name=one.sd_checkpoint_name,
            shape=one.width, vectors=one.num_vectors,
        )
        for one in listing.embeddings
    }  # fmt: skip
    fit = {one.name for one in listing.embeddings if encoders is None or one.fitting(encoders) is not None}
    return EmbeddingLists(
        loaded={name: info for name, info in infos.items() if name in fit},
        skipped={name: info for name, info in infos.items() if name not in fit},
    )


def memory_in_use() -> dict[str, Any]:
    """Return the memory of this process and of the graphics card, bytes."""
    return {"ram": _ram(), "cuda": _cuda()}


def _ram() -> dict[str, Any]:
    import psutil

    process = psutil.Process()
    used = process.memory_info().rss
    total = 100 * used / process.memory_percent()
    return {"free": total - used, "used": used, "total": total}


def _cuda() -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        return {"error": "unavailable"}
    free, total = torch.cuda.mem_get_info()
    stats = torch.cuda.memory_stats()
    parts = {"active": "active_bytes", "allocated": "allocated_bytes", "reserved": "reserved_bytes"}
    shown = {name: _both(stats, key) for name, key in {**parts, "inactive": "inactive_split_bytes"}.items()}
    events = {"retries": stats.get("num_alloc_retries", 0), "oom": stats.get("num_ooms", 0)}
    return {"system": {"free": free, "used": total - free, "total": total}, **shown, "events": events}


def _both(stats: Mapping[str, Any], key: str) -> dict[str, int]:
    return {"current": stats.get(f"{key}.all.current", 0), "peak": stats.get(f"{key}.all.peak", 0)}
