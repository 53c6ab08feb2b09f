"""The script: every combination of the parts of a prompt, as a table of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from PIL import Image

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.domain.param import param
from modules.domain.request import Generation
from modules.domain.result import Outcome
from modules.extending.script import BOTH, ScriptRun
from modules.hooks.dispatch import Handler
from modules.hooks.points import PlanMade
from modules.imaging.labels import Label, Lettering, labelled_grid

FILE_NAME = "prompt_matrix"
POSITIVE, NEGATIVE = "positive", "negative"
DELIMITERS = {"comma": ", ", "space": " "}
MAX_PARTS = 16
"""More make more pictures than anybody can look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixParams:
    """The arguments, in A1111's order."""

    put_at_start: bool = param(False, label="Put variable parts at start of prompt")
    different_seeds: bool = param(False, label="Use different seed for each picture")
    prompt_type: str = param(POSITIVE, label="Select prompt", choices=(POSITIVE, NEGATIVE))
    variations_delimiter: str = param("comma", label="Select joining char", choices=tuple(DELIMITERS))
    margin_size: int = param(0, label="Grid margins (px)", ge=0, le=500, slider=(0, 500), step=2)


class PromptMatrix:
    """Splits a prompt at `|`: the first part is always there, each other one in half of the pictures."""

    id, label, tabs, Params = "prompt_matrix", "Prompt matrix", BOTH, MatrixParams

    def run(self, run: ScriptRun) -> Outcome:
        """Make all pictures in one run, and the table.

        Raises:
            InvalidRequest: there are too many parts.
        """
        params: MatrixParams = run.params
        name = "prompt" if params.prompt_type == POSITIVE else "negative_prompt"
        text = getattr(run.request, name)
        if not isinstance(text, str):
            raise InvalidRequest("the prompt matrix takes one prompt, not a list", field=name)
        first, *parts = text.split("|")
        if len(parts) > MAX_PARTS:
            raise LimitExceeded(name, f"{len(parts)} parts that vary", MAX_PARTS)
        texts = combinations(first, parts, DELIMITERS[params.variations_delimiter], at_start=params.put_at_start)
        request = _with_texts(run.request, name, texts)
        run.bench.plan(request)
        hooks = run.ctx.hooks if params.different_seeds else run.ctx.hooks.adding([_ONE_SEED])
        outcome = run.bench.make(request, hooks=hooks)
        if not outcome.images:
            return outcome
        image = _table(run, outcome, parts, len(texts), params.margin_size)
        grid = run.bench.grid(image, outcome.plan, save=run.request.output.save_grid, name=FILE_NAME)
        return replace(outcome, images=(grid, *outcome.images))


def combinations(first: str, parts: Sequence[str], delimiter: str, *, at_start: bool) -> list[str]:
    """Return a prompt for each set of parts, the empty one first; of two that follow each other the first part changes.

    Args:
        first: what is always there.
        parts: what is there in half of the prompts.
        delimiter: put between parts.
        at_start: whether the parts come before what is always there.
    """
    found: list[str] = []
    for number in range(1 << len(parts)):
        chosen = [part.strip().strip(",") for place, part in enumerate(parts) if number & 1 << place]
        found.append(delimiter.join([*chosen, first] if at_start else [first, *chosen]))
    return found


def _with_texts(request: Generation, name: str, texts: Sequence[str]) -> Generation:
    other = "negative_prompt" if name == "prompt" else "prompt"
    shared = getattr(request, other)
    if not isinstance(shared, str):
        raise InvalidRequest("the prompt matrix takes one prompt, not a list", field=other)
    texts_of = {name: tuple(texts), other: (shared,) * len(texts)}
    return replace(request, output=replace(request.output, save_grid=False), **texts_of)


def _same_seed(payload: PlanMade) -> PlanMade:
    """Let all pictures have the seed of the first one."""
    seed = payload.plan.images[0].seed
    return PlanMade(
        plan=replace(payload.plan, images=tuple(replace(image, seed=seed) for image in payload.plan.images))
    )


_ONE_SEED = Handler(name="prompt_matrix:one seed", hook=PlanMade, call=_same_seed, essential=True)


def _table(run: ScriptRun, outcome: Outcome, parts: Sequence[str], count: int, margin: int) -> Image.Image:
    """Lay the pictures out; parts that are not there are struck out."""
    made = [run.bench.picture(one) for one in outcome.images if not one.extra][:count]
    across = ceil(len(parts) / 2)
    return labelled_grid(
        [*made, *[None] * (count - len(made))], _labels(parts[:across]), _labels(parts[across:]), margin=margin,
        lettering=Lettering.of(run.ctx.settings.saving),
    )  # fmt: skip


def _labels(parts: Sequence[str]) -> list[list[Label]]:
    """Return the labels of all columns, or rows."""
    return [
        [Label(text=part.strip(), active=bool(number & 1 << place)) for place, part in enumerate(parts)]
        for number in range(1 << len(parts))
    ]
