"""All steps over finished pictures: those of the program and those of extensions; their values read, their order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, cast

from modules.domain.errors import InvalidRequest, UnknownName
from modules.domain.request import Generation
from modules.extending.script import BOTH, ENABLED
from modules.extending.scripts import Scripts, Values, parameters, params_of, read_values, told
from modules.hooks.context import JobContext
from modules.hooks.dispatch import Handler
from modules.hooks.points import BeforeSave
from modules.imaging.infotext import with_entries
from modules.pipeline.extras.refine import refine
from modules.pipeline.extras.step import EXTRAS, MAIN, Bound, Named, Picture, Step, bind, in_order, places_of
from modules.settings.snapshot import Snapshot

FIELD = "steps"


class Steps:
    """The steps of this run of the program.

    Args:
        steps: of several with one id the first counts.
    """

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self._declared: dict[str, Step] = {}
        for step in steps:
            self._declared.setdefault(step.id, step)

    def declared(self) -> tuple[Step, ...]:
        """Return the steps whose parameters are declared."""
        return tuple(self._declared.values())

    def every(self) -> Sequence[Named]:
        """Return all steps, whoever wrote them in whatever way."""
        return self.declared()

    def of_extras(self, settings: Snapshot) -> list[Any]:
        """Return the steps that the Extras tab offers, in the order in which they run."""
        chosen = settings.postprocessing
        found = [one for one in self.every() if EXTRAS in places_of(one)]
        shown = [one for one in found if one.label not in chosen.postprocessing_disable_in_extras]
        return in_order(shown, chosen.postprocessing_operation_order)

    def names(self, place: str) -> list[str]:
        """Return the labels of the steps of a place, in their usual order."""
        return [one.label for one in in_order(self.every(), ()) if place in places_of(one)]

    def build(self, step: Named) -> Mapping[str, Any] | None:
        """Build the controls of a step that brings its own: value name -> component; None where they are declared."""
        return None

    def picture_changed(self) -> None:
        """Tell the steps that another picture is in the tab."""

    def find(self, name: str) -> Named:
        """Find a step by its id, or by its label in any case.

        Raises:
            UnknownName: there is none.
        """
        found = next((one for one in self.every() if name in (one.id, one.label)), None)
        found = found or next((one for one in self.every() if one.label.lower() == name.lower()), None)
        if found is None:
            raise UnknownName("Step", name, [one.label for one in self.every()], field=FIELD)
        return found

    def read(self, given: Mapping[str, Any]) -> Mapping[str, Values]:
        """Check the steps of a request.

        Args:
            given: id or label of a step -> values by name; what is missing has its default. A step that is named is
                switched on unless it says otherwise.

        Raises:
            UnknownName: there is no such step.
            InvalidRequest: a value that cannot be used.
        """
        found: dict[str, Values] = {}
        for name, values in given.items():
            if not isinstance(values, Mapping):
                raise InvalidRequest(f"expected the values of {name[:80]!r} by name", field=FIELD)
            step = self.find(name)
            found[step.id] = self.read_one(step, cast("Values", values))
        return MappingProxyType(found)

    def read_one(self, step: Named, values: Values) -> Values:
        """Check the values of one step.

        Raises:
            InvalidRequest: a value that cannot be used.
        """
        declared = self._declared[step.id]
        switch = {ENABLED: True} if ENABLED in parameters(declared.Params) else {}
        given = {name: value for name, value in values.items() if value is not None}
        return read_values(cast("Any", declared), {**switch, **given}, FIELD)

    def bound(self, given: Mapping[str, Values], settings: Snapshot) -> list[Bound]:
        """Return the steps of a request that are switched on, in order.

        Raises:
            UnknownName: a step that is no longer there.
            InvalidRequest: a value that does not fit any more.
        """
        steps = [self.find(name) for name in given]
        order = settings.postprocessing.postprocessing_operation_order
        made = [self.bind(one, given[one.id]) for one in in_order(steps, order)]
        return [one for one in made if one is not None]

    def bind(self, step: Named, values: Values) -> Bound | None:
        """Give a step its values; None when it is switched off."""
        declared = self._declared[step.id]
        params = params_of(cast("Any", declared), values)
        return bind(declared, params, _told(params)) if getattr(params, ENABLED, True) else None

    def handlers(self, request: Generation, ctx: JobContext) -> list[Handler]:
        """Return what runs the steps that are switched on for pictures that are being made."""
        scripts = {script_id(one): one.id for one in self.declared()}
        always = [one for one in self.main_scripts(ctx.settings) if ENABLED not in parameters(one.Params)]
        given: dict[str, Values] = {scripts[one.id]: {} for one in always}
        given |= {scripts[name]: values for name, values in request.scripts.items() if name in scripts}
        steps = self.bound(given, ctx.settings)
        return [Handler(name="postprocessing", hook=BeforeSave, call=partial(_refined, steps, ctx))] if steps else []

    def main_scripts(self, settings: Snapshot) -> "list[MainStep]":
        """Return the steps that the settings want in txt2img and img2img, as scripts of these tabs."""
        wanted = settings.postprocessing.postprocessing_enable_in_main_ui
        order = settings.postprocessing.postprocessing_operation_order
        found = [one for one in self.declared() if one.label in wanted and MAIN in places_of(one)]
        return [MainStep(one) for one in in_order(found, order)]


class MainStep:
    """A step among the always-on scripts of txt2img and img2img; it has no hooks there, its step is run before saving.

    Args:
        step: which.
    """

    tabs = BOTH

    def __init__(self, step: Step) -> None:
        self.id, self.label, self.Params = script_id(step), step.label, step.Params

    def hooks(self, params: Any) -> Iterable[Handler]:
        """Return nothing; see `Steps.handlers`."""
        return ()


def with_main_steps(scripts: Scripts, steps: Steps, settings: Snapshot) -> Scripts:
    """Return the scripts of extensions, and the steps that the settings want where pictures are made."""
    return Scripts([*scripts.every_always(), *steps.main_scripts(settings)], scripts.every_selectable())


def script_id(step: Named) -> str:
    """Return the id of the script that stands for a step."""
    return f"step-{step.id}"


def _told(params: Any) -> dict[str, Any]:
    return {key: value for key, value in told(params).items() if value != ""}


def _refined(steps: Sequence[Bound], ctx: JobContext, payload: BeforeSave) -> BeforeSave:
    """Pass a finished picture through the steps; what they add to it is left out."""
    made = refine(Picture(image=payload.image), steps, ctx)[0]
    return replace(payload, image=made.image, infotext=with_entries(payload.infotext, made.told))
