"""Decide the passes of a run: the walk of the sampler, the hires pass, the change to a refiner."""

from collections.abc import Callable, Collection
from dataclasses import replace

from modules.domain.hires import hires_size, old_first_pass
from modules.domain.plan import HiresPlan, Pass, RefinerPlan, ResolvedModel
from modules.domain.request import Generation, Size
from modules.pipeline.hires import check_upscaler
from modules.pipeline.options import merge_ratio, sampler_options
from modules.sampling.book import Resolved, SamplerBook
from modules.settings.snapshot import Snapshot

FindModel = Callable[[str, str], ResolvedModel]
"""(name, field that asks) -> the files of that checkpoint; raises `UnknownName`."""

LATENT_UPSCALER = "Latent"
SAME = frozenset({"", "None", "Use same checkpoint", "Use same sampler", "Use same scheduler"})
"""What stands for the first pass's choice in requests and infotexts."""


def pass_of(chosen: Resolved, size: Size, steps: int, *, merge_ratio: float = 0.0) -> Pass:
    """Describe one run of a sampler."""
    return Pass(
        size=size,
        steps=steps,
        sampler=chosen.sampler.label,
        scheduler=chosen.schedule.label,
        schedule_label=chosen.schedule_type,
        uses_ensd=chosen.sampler.uses_ensd,
        merge_ratio=merge_ratio,
    )


def with_old_hires_size(request: Generation, settings: Snapshot) -> Generation:
    """Read width and height as those of the finished picture when the setting asks for it."""
    hires = request.hires
    if hires is None or not settings.compatibility.use_old_hires_fix_width_height:
        return request
    final = request.size
    hires = replace(hires, resize_x=final.width, resize_y=final.height)
    return replace(request, size=old_first_pass(final), hires=hires)


def hires_plan(
    request: Generation, settings: Snapshot, find: FindModel, model: ResolvedModel, main: Pass, book: SamplerBook,
    upscalers: Collection[str],
) -> HiresPlan | None:  # fmt: skip
    """Decide the second pass.

    Raises:
        UnknownName: no checkpoint or upscaler of that name.
    """
    spec = request.hires
    if spec is None:
        return None
    upscaler = spec.upscaler or LATENT_UPSCALER
    check_upscaler(upscaler, upscalers)
    chosen = book.resolve(_own(spec.sampler) or main.sampler, _own(spec.scheduler) or request.sampling.scheduler)
    sizes = hires_size(request.size, spec)
    if checkpoint := _own(spec.checkpoint):
        model = find(checkpoint, "hr_checkpoint_name")
    return HiresPlan(
        run=pass_of(
            chosen, sizes.target, spec.steps or main.steps, merge_ratio=merge_ratio(request, settings, hires=True)
        ),
        options=sampler_options(request, settings, chosen.sampler),
        upscaler=upscaler,
        upscaled=sizes.upscaled,
        denoising_strength=spec.denoising_strength,
        cfg_scale=spec.cfg_scale or request.guidance.cfg_scale,
        model=model,
        first_pass_texts=settings.compatibility.hires_fix_use_firstpass_conds,
    )


def refiner_plan(request: Generation, settings: Snapshot, find: FindModel) -> RefinerPlan | None:
    """Decide the change to a refiner.

    Raises:
        UnknownName: no checkpoint of that name.
    """
    spec = request.refiner
    if spec is None:
        return None
    return RefinerPlan(
        model=find(spec.checkpoint, "refiner_checkpoint"),
        switch_at=spec.switch_at,
        by_steps=settings.compatibility.refiner_switch_by_sample_steps,
        passes=settings.sd.hires_fix_refiner_pass,
    )


def _own(name: str | None) -> str | None:
    return None if name is None or name in SAME else name
