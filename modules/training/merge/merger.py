"""One merge from the request to the file."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.domain.errors import InvalidRequest, StorageFault, UnknownName
from modules.domain.events import Progressed, Stage
from modules.domain.merge import NO_MODEL, Merged, MergeRequest
from modules.families.family import Files
from modules.families.opening import OpenModel, open_checkpoint, open_vae
from modules.files import atomic
from modules.files.numbering import remove_leftovers
from modules.hooks.cancel import CancelReason
from modules.hooks.context import JobContext
from modules.library.catalog import Catalog, CheckpointEntry
from modules.library.hashes import HashCache
from modules.library.sidecars import config_path
from modules.training.merge.plan import MergePlan, plan_merge
from modules.training.merge.recipe import Ingredient, metadata_of, own_metadata, result_path
from modules.training.merge.source import model_of, vae_of
from modules.training.merge.stream import check_room, file_pieces, in_file_order, total_bytes

FIELDS = ("primary_model_name", "secondary_model_name", "tertiary_model_name")
PROGRESS_STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Pantry:
    """Where the models of a merge come from and where its result goes."""

    catalog: Catalog[Any]
    hashes: HashCache | None
    """None when files are not to be hashed."""
    vaes: Mapping[str, Path]
    folder: Path
    allow_unsafe: bool = False


class _Stopped(Exception):
    """Somebody asked the merge to end."""


def merge(pantry: Pantry, request: MergeRequest, ctx: JobContext) -> Merged:
    """Make a checkpoint of others and list it. An interrupted merge leaves no file.

    Raises:
        UnknownName: a model or the VAE is not there.
        InvalidRequest: the models do not fit together, or the name is taken.
        ModelError: a file cannot be used.
        StorageFault: the disk has no room or refuses.
    """
    chosen = [pantry.catalog.get(name, field=field) for name, field in zip(request.models, FIELDS, strict=False)]
    try:
        path = _merge(pantry, request, chosen, ctx)
    except _Stopped:
        return Merged(path=None)
    notes = _copy_config(request, chosen, path)
    pantry.catalog.refresh()
    return Merged(path=path, notes=notes)


def _merge(pantry: Pantry, request: MergeRequest, chosen: Sequence[CheckpointEntry], ctx: JobContext) -> Path:
    with ExitStack() as opened:
        ctx.emit(Stage(job_id=ctx.job_id, text="reading models"))
        wanted = [Files(checkpoint=entry.path, allow_unsafe=pantry.allow_unsafe) for entry in chosen]
        files = [opened.enter_context(open_checkpoint(one)) for one in wanted]
        baked = _vae_path(pantry, request)
        vae = baked and vae_of(opened.enter_context(open_vae(baked, allow_unsafe=pantry.allow_unsafe)))
        plan = plan_merge(request, [model_of(file) for file in files], vae)
        path = result_path(request, [entry.model_name for entry in chosen], plan.variant, pantry.folder)
        remove_leftovers(pantry.folder)
        check_room(pantry.folder, total_bytes(plan.entries))
        models = [_ingredient(pantry, *pair, ctx) for pair in zip(chosen, files, strict=True)]
        _write(path, plan, metadata_of(request, models, plan.variant), ctx)
    return path


def _vae_path(pantry: Pantry, request: MergeRequest) -> Path | None:
    name = request.bake_in_vae
    if name in ("", NO_MODEL):
        return None
    if name not in pantry.vaes:
        raise UnknownName("VAE", name, pantry.vaes, field="bake_in_vae")
    return pantry.vaes[name]


def _ingredient(pantry: Pantry, entry: CheckpointEntry, file: OpenModel, ctx: JobContext) -> Ingredient:
    """Describe a model; the first time this reads all of its file."""
    ctx.emit(Stage(job_id=ctx.job_id, text=f"hashing {entry.path.name}"))
    sha256 = pantry.hashes and pantry.hashes.sha256(entry.path, lambda: _is_stopped(ctx))
    if _is_stopped(ctx):
        raise _Stopped
    return Ingredient(
        name=entry.name, model_name=entry.model_name, sha256=sha256,
        old_hash=pantry.hashes.old_hash(entry.path) if pantry.hashes and entry.path.is_file() else None,
        metadata=own_metadata(file.header),
    )  # fmt: skip


def _write(path: Path, plan: MergePlan, metadata: Mapping[str, str], ctx: JobContext) -> None:
    entries = in_file_order(plan.entries)
    whole, told = max(1, total_bytes(entries)), 0
    ctx.emit(Stage(job_id=ctx.job_id, text="merging"))

    def tell(done: int) -> None:
        nonlocal told
        if _is_stopped(ctx):
            raise _Stopped
        step = PROGRESS_STEPS * done // whole
        if step > told:
            told = step
            ctx.emit(Progressed(job_id=ctx.job_id, batch=0, num_batches=1, step=step, num_steps=PROGRESS_STEPS))

    if not atomic.create_from(path, file_pieces(entries, metadata, tell)):
        raise InvalidRequest(f"{path.name} exists already; choose another name", field="custom_name")


def _is_stopped(ctx: JobContext) -> bool:
    return ctx.cancel.reason is CancelReason.INTERRUPT


def _copy_config(request: MergeRequest, chosen: Sequence[CheckpointEntry], path: Path) -> tuple[str, ...]:
    """Copy the yaml file that says how a model is built beside the result; answer with what went wrong."""
    wanted = {0: chosen, 1: chosen[1:2], 2: chosen[2:3], 3: ()}[request.config_source]
    source = next((found for entry in wanted if (found := config_path(entry.path)) is not None), None)
    if source is None:
        return ()
    target = path.with_suffix(".yaml")
    try:
        if atomic.create(target, source.read_bytes()):
            return ()
    except (OSError, StorageFault) as error:
        return (f"the config {source.name} could not be copied: {error}",)
    return (f"{target.name} was there already and stays as it is",)
