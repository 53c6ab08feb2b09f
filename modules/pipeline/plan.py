"""Decide everything a request leaves open: seeds, names, files, numbers. What comes out runs the same way twice."""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modules.adapters.lora.catalog import LoraCatalog
from modules.domain.errors import InvalidRequest, ModelError, UnsupportedCheckpoint
from modules.domain.plan import ImagePlan, Note, Plan, ResolvedModel, TextOptions
from modules.domain.request import MAX_SEED, Generation, HiresSpec
from modules.families import identify_files
from modules.families.family import Files
from modules.imaging.upscale import PLAIN, Upscaler
from modules.library.catalog import Catalog, CheckpointEntry
from modules.library.hashes import Cancelled, HashCache
from modules.library.vaes import VaeChoice, vae_for
from modules.pipeline import facts
from modules.pipeline.faces import Restore, restorer_for
from modules.pipeline.files import chosen_modules, stated_prediction, wants_fp8
from modules.pipeline.hires import is_latent
from modules.pipeline.networks import NetworkShelf, batch_networks, with_default_tags
from modules.pipeline.options import (
    coding_options,
    guidance_options,
    image_options,
    merge_ratio,
    noise_options,
    sampler_options,
    schedule_options,
    text_options,
)
from modules.pipeline.passes import hires_plan, pass_of, refiner_plan, with_old_hires_size
from modules.pipeline.unets import OfferedUnet, missing_unet
from modules.prompting.prepare import PreparedPrompt, prepare
from modules.prompting.styles import Style
from modules.prompting.wildcards import Wildcards, expand_wildcards
from modules.sampling.book import BOOK, SamplerBook
from modules.settings.snapshot import Snapshot

DrawSeed = Callable[[], int]


def draw_seed() -> int:
    """Draw a random seed from A1111's range."""
    return random.SystemRandom().randint(0, MAX_SEED)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shelf:
    """The named things that a request may refer to."""

    catalog: Catalog[Any]
    hashes: HashCache | None
    """None with `--no-hashing`."""
    vaes: Mapping[str, Path]
    forced_vae: Path | None = None
    modules: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """VAEs and text encoders that may be put beside a checkpoint, by file name."""
    loras: LoraCatalog | None = None
    hypernetworks: Callable[[], Mapping[str, Path]] = dict[str, Path]
    """Returns the hypernetworks that are there now, by name."""
    styles: Sequence[Style] = ()
    wildcards: Callable[[], Wildcards] | None = None
    """Looks for wildcard files; asked only when a prompt may use one."""
    book: SamplerBook = BOOK
    """Samplers and schedules."""
    upscalers: Mapping[str, Upscaler] = field(default_factory=lambda: PLAIN)
    """What enlarges pictures, by name."""
    face_restorers: Mapping[str, Restore] = field(default_factory=dict[str, Restore])
    """What restores faces, by name."""
    unets: Sequence[OfferedUnet] = ()
    """Networks that may stand in the place of a checkpoint's own."""

    def choose_vae(self, asked: str | None, checkpoint: Path, settings: Snapshot) -> VaeChoice:
        """Choose the VAE of a checkpoint: the request's, else by the settings."""
        setting = asked or settings.vae.sd_vae
        overrides = bool(asked) or settings.vae.sd_vae_overrides_per_model_preferences
        return vae_for(checkpoint, self.vaes, setting=setting, setting_overrides=overrides, forced=self.forced_vae)

    def resolved(self, entry: CheckpointEntry, vae: str | None, settings: Snapshot) -> tuple[ResolvedModel, list[Note]]:
        """Find the files that go with a checkpoint, and say what had to be replaced. Hashes may still be missing."""
        chosen = self.choose_vae(vae, entry.path, settings)
        missing = f"VAE {chosen.missing!r} not found, the checkpoint's own is used" if chosen.missing else None
        modules = chosen_modules(settings.vae.forge_additional_modules, self.modules)
        fp8 = wants_fp8(settings.optimizations.fp8_storage, lambda: self._is_sdxl(entry, modules))
        model = ResolvedModel(
            checkpoint=entry.path,
            name=entry.base,
            short_hash=entry.short_hash or None,
            vae=chosen.path,
            modules=modules,
            prediction=stated_prediction(entry.path, settings.sd.sd_prediction_type),
            fp8=fp8,
            keep_half=bool(fp8) and settings.optimizations.cache_fp16_weight,
        )
        return model, [Note(text=missing)] if missing else []

    def _is_sdxl(self, entry: CheckpointEntry, modules: tuple[Path, ...]) -> bool:
        if not modules:
            match = self.catalog.inspect(entry).match
            return match is not None and match.family == "sdxl"
        with suppress(ModelError):  # whoever loads it says what is wrong
            files = Files(checkpoint=entry.path, modules=modules, config=entry.config)
            return identify_files(files)[1].family == "sdxl"
        return False

    def hashed(self, model: ResolvedModel, cancelled: Cancelled = lambda: False) -> ResolvedModel:
        """Hash the files of a model, seconds per gigabyte for new ones; unchanged while hashing is off.

        Raises:
            BrokenFile: a file cannot be read.
        """
        entry = next((entry for entry in self.catalog.entries if entry.path == model.checkpoint), None)
        if self.hashes is None or entry is None:
            return model
        entry = self.catalog.hash(entry, cancelled)
        vae_hash = self.hashes.short_hash(model.vae, cancelled) if model.vae else None
        return replace(model, short_hash=entry.short_hash or None, vae_hash=vae_hash)


def make_plan(request: Generation, settings: Snapshot, shelf: Shelf, draw: DrawSeed = draw_seed) -> Plan:
    """Decide a request.

    Raises:
        UnknownName: no checkpoint or VAE of that name, or no checkpoint at all.
        InvalidRequest: prompt lists of different lengths.
        LimitExceeded: a prompt is too long or has too many parts.
    """
    request = with_old_hires_size(request, settings)
    chosen = shelf.book.resolve(request.sampling.sampler, request.sampling.scheduler)
    text = text_options(settings)
    sampler = sampler_options(request, settings, chosen.sampler)
    schedule = schedule_options(settings)
    styles, notes = _styles(request, shelf)
    model, model_notes = resolve_model(request, settings, shelf)

    def find(name: str, field: str) -> ResolvedModel:
        # Their titles are written into the infotext by what follows, so their hashes are needed at once.
        return shelf.hashed(shelf.resolved(shelf.catalog.get(name, field=field), request.model.vae, settings)[0])

    library = NetworkShelf(loras=shelf.loras, hypernetworks=shelf.hypernetworks)
    images = with_default_tags(_images(request, settings, shelf, styles, draw), request, settings, library)
    networks, network_notes = batch_networks(images, request, settings.extra_networks, library)
    ratio = merge_ratio(request, settings)
    main = pass_of(chosen, request.run_size, request.sampling.steps, merge_ratio=ratio)
    hires = hires_plan(request, settings, find, model, main, shelf.book, shelf.upscalers)
    image, coding = image_options(request, settings), coding_options(settings)
    faces, face_notes = restorer_for(request, settings, shelf.face_restorers)
    extra = {
        **facts.of_sampler(chosen.sampler, sampler, settings),
        **facts.of_schedule(chosen, schedule),
        **facts.of_prompts(images, text, chosen.sampler.calls(main.steps)),
        **facts.of_image(request, image),
        **facts.of_model(model),
        **({"Face restoration": faces} if faces else {}),
        **facts.of_coding(coding, encodes=bool(request.init or (hires and not is_latent(hires.upscaler)))),
    }
    return Plan(
        request=request,
        images=images,
        model=model,
        main=main,
        sampler=sampler,
        schedule=schedule,
        text=text,
        guidance=guidance_options(request, settings),
        noise=noise_options(settings),
        image=image,
        coding=coding,
        hires=hires,
        refiner=refiner_plan(request, settings, find),
        tiling=settings.sd.tiling if request.post.tiling is None else request.post.tiling,
        networks=networks,
        infotext_extra=extra,
        notes=(
            *notes,
            *model_notes,
            *network_notes,
            *face_notes,
            *missing_unet(shelf.unets, settings.sd.sd_unet),
            *(Note(text=line) for line in chosen.notes),
        ),
    )


def prepared(image: ImagePlan, steps: int, text: TextOptions, *, hires_steps: int | None = None) -> PreparedPrompt:
    """Take the finished prompts of a planned picture apart.

    Args:
        image: its prompts already hold styles and have lost comments.
        steps: model calls of the first pass.
        text: says how schedules are read.
        hires_steps: model calls of the hires pass when this is for the hires pass.
    """
    return prepare(
        image.prompt,
        image.negative_prompt,
        steps=steps,
        hires_steps=hires_steps,
        old_scheduling=text.old_scheduling,
        comments=False,
    )


def _images(
    request: Generation, settings: Snapshot, shelf: Shelf, styles: Sequence[Style], draw: DrawSeed
) -> tuple[ImagePlan, ...]:
    prompts, negatives = _texts(request)
    spec = request.seed
    seed = draw() if spec.seed < 0 else spec.seed
    subseed = draw() if spec.subseed < 0 else spec.subseed
    fixed = spec.subseed_strength != 0
    images: list[ImagePlan] = []
    for index, (prompt, negative) in enumerate(zip(prompts, negatives, strict=True)):
        own_seed = seed if fixed else seed + index

        def finished(positive: str, negative: str, own_seed: int = own_seed) -> tuple[str, str]:
            done = prepare(
                _expanded(positive, shelf, own_seed),
                _expanded(negative, shelf, own_seed),
                styles=styles,
                steps=request.sampling.steps,
                comments=settings.sd.enable_prompt_comments,
            )
            return done.prompt, done.negative_prompt

        first = finished(prompt, negative)
        second = finished(*_hires_texts(request.hires, prompt, negative)) if request.hires else ("", "")
        images.append(
            ImagePlan(
                index=index,
                prompt=first[0],
                negative_prompt=first[1],
                seed=own_seed,
                subseed=subseed + index,
                hires_prompt=second[0],
                hires_negative_prompt=second[1],
            )
        )
    return tuple(images)


def _hires_texts(hires: HiresSpec, prompt: str, negative: str) -> tuple[str, str]:
    """Return the prompts of the second pass as typed; an empty one means that of the first."""
    return hires.prompt or prompt, hires.negative_prompt or negative


def _texts(request: Generation) -> tuple[Sequence[str], Sequence[str]]:
    """Return one prompt and one negative prompt per picture."""
    count = request.batch.size * request.batch.count
    lists = [text for text in (request.prompt, request.negative_prompt) if not isinstance(text, str)]
    if lists:
        count = len(lists[0])
        if any(len(texts) != count for texts in lists):
            raise InvalidRequest("prompt and negative_prompt must be lists of the same length", field="negative_prompt")
    prompts, negatives = (
        [text] * count if isinstance(text, str) else text for text in (request.prompt, request.negative_prompt)
    )
    return prompts, negatives


def _expanded(text: str, shelf: Shelf, seed: int) -> str:
    if shelf.wildcards is None or "__" not in text:
        return text
    return expand_wildcards(text, shelf.wildcards(), seed)


def _styles(request: Generation, shelf: Shelf) -> tuple[list[Style], list[Note]]:
    known = {style.name: style for style in shelf.styles}
    missing = [name for name in request.styles if name not in known]
    notes = [Note(text=f"Style {name[:100]!r} not found, ignored") for name in missing]
    return [known[name] for name in request.styles if name in known], notes


def resolve_model(request: Generation, settings: Snapshot, shelf: Shelf) -> tuple[ResolvedModel, list[Note]]:
    """Find the files a request runs on, and say what had to be replaced.

    Raises:
        UnknownName: the request names a checkpoint that is not there.
        UnsupportedCheckpoint: there is no checkpoint at all.
    """
    entry, notes = _checkpoint(request.model.checkpoint, settings.sd.sd_model_checkpoint, shelf.catalog)
    model, more = shelf.resolved(entry, request.model.vae, settings)
    return model, [*notes, *more]


def _checkpoint(asked: str | None, configured: str | None, catalog: Catalog[Any]) -> tuple[CheckpointEntry, list[Note]]:
    """Find the checkpoint: one that a request names must be there, a configured one may have gone."""
    if asked:
        return catalog.get(asked, field="sd_model_checkpoint"), []
    entry = catalog.find(configured) if configured else None
    if entry is not None:
        return entry, []
    entry = catalog.default()
    if entry is None:
        raise UnsupportedCheckpoint(
            Path("models/Stable-diffusion"), hint="There is no checkpoint. Put a .safetensors file into this folder."
        )
    notes = [Note(text=f"Checkpoint {configured!r} not found, {entry.name} is used")] if configured else []
    return entry, notes
