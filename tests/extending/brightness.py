"""Scripts for tests: one that lightens pictures, one that repeats a run."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from modules.domain.param import param
from modules.domain.result import Outcome
from modules.extending.script import BOTH, TXT2IMG, ScriptRun
from modules.hooks.dispatch import Handler
from modules.hooks.points import AfterDecode


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """Values of `Lighten`."""

    enabled: bool = param(False, label="Enable")
    amount: int = param(10, label="Amount", infotext="Lighten amount", ge=0, le=255, slider=(0, 100), step=1)
    mode: str = param("all", label="Mode", infotext="Lighten mode", choices=("all", "red"))
    places: tuple[str, ...] = param((), label="Places", infotext="Lighten places")


class Lighten:
    """Adds a number to every pixel."""

    id, label, tabs, Params = "lighten", "Lighten it", BOTH, Light

    def hooks(self, params: Light) -> Iterable[Handler]:
        """Lighten each picture."""

        def lighten(payload: AfterDecode) -> AfterDecode:
            more = (params.amount,) * 3 if params.mode == "all" else (params.amount, 0, 0)
            table = [min(value + add, 255) for add in more for value in range(256)]
            return replace(payload, image=payload.image.point(table))

        return [Handler(name="lighten", hook=AfterDecode, call=lighten)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Values of `Repeat`."""

    times: int = param(2, label="Times", ge=1, le=4, slider=(1, 4), step=1)


class Repeat:
    """Makes a request several times."""

    id, label, tabs, Params = "repeat", "Repeat it", (TXT2IMG,), Times

    def run(self, run: ScriptRun) -> Outcome:
        """Make the runs with one seed after another."""
        made: list[Outcome] = []
        for number in range(run.params.times):
            if made and run.ctx.cancel.ends_job:
                break
            seed: Any = run.request.seed
            made.append(run.make(replace(run.request, seed=replace(seed, seed=seed.seed + number))))
        return replace(made[0], images=tuple(image for one in made for image in one.images))
