"""The script: what one run makes is what the next one starts from."""

from dataclasses import dataclass, replace
from math import cos, pi, sin

from modules.domain.errors import InvalidRequest
from modules.domain.param import param
from modules.domain.plan import Plan
from modules.domain.request import BatchSpec, Generation, ImageRef
from modules.domain.result import Outcome, Produced
from modules.extending.script import IMG2IMG, Panel, ScriptRun
from modules.hooks.dispatch import Handler
from modules.hooks.points import PlanMade
from modules.imaging.grid import make_grid

CURVES = ("Aggressive", "Linear", "Lazy")
ORIGINAL = 1
"""Value of `MaskSpec.fill` with which a run starts from the picture itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackParams:
    """The arguments, in A1111's order."""

    loops: int = param(4, label="Loops", ge=1, le=1000, slider=(1, 32), step=1)
    final_denoising_strength: float = param(
        0.5, label="Final denoising strength", infotext="Final denoising strength", ge=0, le=1, slider=(0, 1), step=0.01
    )
    denoising_curve: str = param("Linear", label="Denoising strength curve", infotext="Denoising curve", choices=CURVES)
    append_interrogation: str = param("None", label="Append interrogated prompt at each iteration", choices=("None",))


class Loopback:
    """Runs img2img on its own results."""

    id, label, tabs, Params = "loopback", "Loopback", (IMG2IMG,), LoopbackParams

    def build(self, panel: Panel) -> None:
        """Build the controls; there is nothing that could describe a picture."""
        for name in ("loops", "final_denoising_strength", "denoising_curve"):
            panel.control(name)
        panel.control("append_interrogation", visible=False)

    def run(self, run: ScriptRun) -> Outcome:
        """Make the runs; with several batches each begins with the original again.

        Raises:
            InvalidRequest: there is no init image, or there are prompts for several pictures.
        """
        request, params = _single(run.request), run.params
        original = run.bench.starting_from(request, _images(request))
        seed = run.bench.plan(request).images[0].seed
        total = params.loops * run.request.batch.count
        hooks = run.ctx.hooks.adding([_telling(params)])
        made: list[Outcome] = []
        grids: list[Produced] = []
        for _ in range(run.request.batch.count):
            history, source = list[Outcome](), original
            for loop in range(params.loops):
                if made and run.ctx.cancel.ends_job:
                    break
                part = _part(source, loop, params, seed=seed)
                outcome = run.bench.make(part, first=len(made), total=total, hooks=hooks)
                if not outcome.images:
                    break
                history.append(outcome)
                made.append(outcome)
                source = run.bench.starting_from(original, [run.bench.picture(outcome.images[0])])
                seed = outcome.plan.images[0].seed + 1
            grids += _grid(run, history)
        if not made:
            return Outcome(plan=run.bench.plan(request), images=(), interrupted=True)
        return run.bench.joined(made, [*grids, *(image for one in made for image in one.images)])


def strength(loop: int, loops: int, first: float, last: float, curve: str) -> float:
    """Return the denoising strength of a loop.

    Args:
        loop: counted from 0.
        loops: how many there are.
        first: strength of the first one.
        last: strength of the last one.
        curve: Aggressive gets close to the last one early, Lazy late.
    """
    if loops == 1:
        return first
    way = loop / (loops - 1)
    share = {"Aggressive": sin(way * pi / 2), "Lazy": 1 - cos(way * pi / 2)}.get(curve, way)
    return first + (last - first) * share


def _single(request: Generation) -> Generation:
    if not isinstance(request.prompt, str) or not isinstance(request.negative_prompt, str):
        raise InvalidRequest("the loopback takes one prompt, not a list", field="prompt")
    return replace(request, batch=BatchSpec(), output=replace(request.output, save_grid=False))


def _images(request: Generation) -> tuple[ImageRef, ...]:
    return request.init.images if request.init is not None else ()


def _part(source: Generation, loop: int, params: LoopbackParams, *, seed: int) -> Generation:
    """Return the request of one loop."""
    assert source.init is not None
    start = source.init
    denoising = strength(
        loop, params.loops, start.denoising_strength, params.final_denoising_strength, params.denoising_curve
    )
    # What lies under a mask was painted by the loop before, so only the first one may start from something else.
    mask = replace(source.mask, fill=ORIGINAL) if source.mask is not None and loop else source.mask
    return replace(
        source, init=replace(start, denoising_strength=denoising), mask=mask, seed=replace(source.seed, seed=seed)
    )


def _telling(params: LoopbackParams) -> Handler:
    told = {"Final denoising strength": params.final_denoising_strength, "Denoising curve": params.denoising_curve}

    def tell(payload: PlanMade) -> PlanMade:
        plan: Plan = payload.plan
        return PlanMade(plan=replace(plan, infotext_extra={**plan.infotext_extra, **told}))

    return Handler(name="loopback:infotext", hook=PlanMade, call=tell, essential=True)


def _grid(run: ScriptRun, history: list[Outcome]) -> list[Produced]:
    """Lay the pictures of one batch out in a row, where grids are wanted."""
    if len(history) < 2 or not run.request.output.save_grid:
        return []
    row = make_grid(
        [run.bench.picture(one.images[0]) for one in history], 1, run.ctx.settings.saving.grid_background_color
    )
    grid = run.bench.grid(row, history[0].plan, save=True)
    return [grid] if run.ctx.settings.ui.return_grid else []
