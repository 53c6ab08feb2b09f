"""Steps of the Extras tab that extensions bring: among the native ones, and native ones as such extensions see them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType, SimpleNamespace
from typing import Any

from modules.compat.callbacks import guarded
from modules.compat.entrance import to_plain, to_value
from modules.compat.host import current_job, host, working_on
from modules.compat.jobs import lone_context
from modules.compat.old_gradio import serving_old_idioms
from modules.compat.postprocessing import PostprocessedImage, ScriptPostprocessing
from modules.compat.postprocessing_runner import ScriptPostprocessingRunner, extra_pictures
from modules.compat.script_controls import apart
from modules.compat.scripts import AlwaysVisible, Script, ScriptClassData
from modules.compat.state import State
from modules.domain.errors import InvalidRequest
from modules.extending.script import ENABLED
from modules.extending.scripts import Values, parameters
from modules.extending.steps import FIELD, Steps
from modules.hooks.context import JobContext
from modules.pipeline.extras.step import EXTRAS, MAIN, Bound, Named, Picture, Step, in_order

PREFIX = "a1111-"
"""Begins the ids of these steps."""


@dataclass(eq=False)
class LegacyStep:
    """A step that an extension brings."""

    id: str
    script: Any
    """A `ScriptPostprocessing`."""
    places: tuple[str, ...] = (EXTRAS, MAIN)

    @property
    def label(self) -> str:
        """What it is called."""
        return str(self.script.name or type(self.script).__name__)

    @property
    def order(self) -> float:
        """Its place among the others."""
        return float(self.script.order)

    @property
    def controls(self) -> Mapping[str, Any]:
        """Its controls by the names of their values; built now if nobody has done so."""
        if self.script.controls is None:
            apart(self.build)
        return self.script.controls or {}

    def build(self) -> Mapping[str, Any]:
        """Build its controls into the block that is open; a step that fails has none."""
        self.script.controls = {}
        with guarded(f"{self.label}: ui"), serving_old_idioms():
            self.script.controls = dict(self.script.ui() or {})
        return self.script.controls

    def filled(self, values: Values) -> dict[str, Any]:
        """Return the arguments of its methods: what a request left out has its default."""
        return {
            name: to_value(values[name]) if name in values else getattr(control, "value", None)
            for name, control in self.controls.items()
        }


class AllSteps(Steps):
    """Native steps and those of extensions for A1111."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        super().__init__(steps)
        self._legacy: dict[str, LegacyStep] = {}

    @classmethod
    def over(cls, native: Steps) -> "AllSteps":
        """Return these and the native ones, and let extensions see both."""
        made = cls(native.declared())
        book = host().scripts
        book.postproc = ScriptPostprocessingRunner()
        book.postproc.initialize_scripts(book.postprocessing_data)
        for script in book.postproc.scripts:
            step = LegacyStep(id=made._free_id(script), script=script)
            made._legacy[step.id] = step
        book.postproc.scripts += [NativeView(one) for one in native.declared()]
        book.scripts_data += _main_classes(book.postprocessing_data)
        return made

    def _free_id(self, script: Any) -> str:
        words = re.sub(r"[^a-z0-9]+", "-", str(script.name or type(script).__name__).lower()).strip("-")
        numbered = (f"{PREFIX}{words}-{number}" for number in range(2, len(self._legacy) + 3))
        return next(one for one in (f"{PREFIX}{words}", *numbered) if one not in self._legacy)

    def every(self) -> Sequence[Named]:
        """Return all steps."""
        return (*super().every(), *self._legacy.values())

    def build(self, step: Named) -> Mapping[str, Any] | None:
        """Build the controls of a step that brings its own."""
        return self._legacy[step.id].build() if step.id in self._legacy else super().build(step)

    def picture_changed(self) -> None:
        """Tell the steps that another picture is in the tab."""
        host().scripts.postproc.image_changed()

    def read_one(self, step: Named, values: Values) -> Values:
        """Check the values of one step.

        Raises:
            InvalidRequest: an unknown name, or a value that cannot be used.
        """
        legacy = self._legacy.get(step.id)
        if legacy is None:
            return super().read_one(step, values)
        unknown = next((name for name in values if name not in legacy.controls), None)
        if unknown is not None:
            raise InvalidRequest(f"{legacy.label} has no value {str(unknown)[:80]!r}", field=FIELD)
        return {name: to_plain(value) for name, value in values.items()}

    def bind(self, step: Named, values: Values) -> Bound | None:
        """Give a step its values."""
        legacy = self._legacy.get(step.id)
        return super().bind(step, values) if legacy is None else _bound(legacy, legacy.filled(values))


@dataclass(eq=False)
class StepJob:
    """An Extras job as legacy names see it: there is no `p`, but it can be interrupted and has settings."""

    ctx: JobContext
    p: Any = None
    plan: Any = None
    moment: Any = None
    run_folder: Any = None
    assigned: dict[str, Any] = field(default_factory=dict[str, Any])
    overrides: dict[str, Any] = field(default_factory=dict[str, Any])
    state: Any = None

    def __post_init__(self) -> None:
        self.state = State(self.ctx.cancel)
        self.state.job = "extras"

    def hook(self, method: str, *arguments: Any, **more: Any) -> None:
        """Call nothing: scripts of txt2img and img2img take no part in Extras."""

    def activate_hires(self) -> None:
        """Do nothing: there is no hires pass."""

    def report(self, text: str) -> None:
        """Tell the person what an extension did wrong."""
        self.ctx.note(text)

    def carry_out(self) -> Any:
        """Refuse: there is nothing to generate.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("an Extras job generates nothing")


@contextmanager
def _job(ctx: JobContext) -> Iterator[None]:
    """Let legacy names see the job that a step works for."""
    running = current_job()
    if running is not None and running.ctx.job_id == ctx.job_id:
        yield
        return
    with working_on(StepJob(ctx)):
        yield


def _bound(step: LegacyStep, values: Mapping[str, Any]) -> Bound:
    def prepare(picture: Picture, ctx: JobContext) -> Picture:
        pp = to_pp(picture)
        with _job(ctx):
            step.script.process_firstpass(pp, **values)
        return to_pictures(pp, picture)[0]

    def process(picture: Picture, ctx: JobContext) -> list[Picture]:
        pp = to_pp(picture)
        with _job(ctx):
            step.script.process(pp, **values)
        return to_pictures(pp, picture)

    looks_first = type(step.script).process_firstpass is not ScriptPostprocessing.process_firstpass
    return Bound(label=step.label, process=process, prepare=prepare if looks_first else None)


def to_pp(picture: Picture) -> PostprocessedImage:
    """Return a picture as extensions see it."""
    pp = PostprocessedImage(picture.image)
    pp.info, pp.nametags, pp.disable_processing = dict(picture.told), list(picture.tags), picture.is_done
    pp.caption = picture.caption or None
    pp.shared.target_width, pp.shared.target_height = picture.target or (None, None)
    return pp


def to_pictures(pp: PostprocessedImage, before: Picture) -> list[Picture]:
    """Return what an extension made of a picture, and what it added."""
    return [_picture(one, before) for one in (pp, *extra_pictures(pp))]


def _picture(pp: PostprocessedImage, before: Picture) -> Picture:
    width, height = pp.shared.target_width, pp.shared.target_height
    told = {str(key): _told(value) for key, value in pp.info.items() if value is not None}
    return replace(
        before, image=pp.image, told=MappingProxyType(told), tags=tuple(map(str, pp.nametags)),
        target=(int(width), int(height)) if width and height else None, caption=str(pp.caption or ""),
        is_done=bool(pp.disable_processing),
    )  # fmt: skip


def _told(value: Any) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else str(value)


class NativeView(ScriptPostprocessing):
    """A native step as extensions see it among theirs.

    Args:
        step: which.
    """

    def __init__(self, step: Step) -> None:
        self._step, self.name, self.order = step, step.label, step.order  # pyright: ignore[reportAttributeAccessIssue]
        # A1111's switch of this step is named after it.
        self._switch = f"{step.id}_{ENABLED}"

    def ui(self) -> dict[str, Any]:
        """Return what stands for its controls: they are built with the tab."""
        items = parameters(self._step.Params)
        return {self._theirs(name): SimpleNamespace(value=item.default) for name, item in items.items()}

    def process_firstpass(self, pp: PostprocessedImage, **args: Any) -> None:
        """Look at a picture before any step."""
        self._run(pp, args, lambda bound, picture, ctx: [bound.prepare(picture, ctx)] if bound.prepare else [picture])

    def process(self, pp: PostprocessedImage, **args: Any) -> None:
        """Change a picture."""
        self._run(pp, args, lambda bound, picture, ctx: bound.process(picture, ctx))

    def _run(
        self, pp: PostprocessedImage, args: Mapping[str, Any],
        call: Callable[[Bound, Picture, JobContext], Sequence[Picture]],
    ) -> None:  # fmt: skip
        given = {self._ours(name): value for name, value in args.items() if value is not None}
        if not given:
            return
        steps = Steps([self._step])
        bound = steps.bind(self._step, steps.read_one(self._step, given))
        if bound is None:
            return
        running = current_job()
        before = _picture(pp, Picture(image=pp.image))
        first, *others = call(bound, before, running.ctx if running is not None else lone_context())
        changed = to_pp(first)
        pp.image, pp.info, pp.nametags, pp.caption = changed.image, changed.info, changed.nametags, changed.caption
        pp.shared.target_width, pp.shared.target_height = changed.shared.target_width, changed.shared.target_height
        pp.extra_images += [to_pp(one) for one in others]

    def _theirs(self, name: str) -> str:
        return self._switch if name == ENABLED else name

    def _ours(self, name: str) -> str:
        return ENABLED if name == self._switch else name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """The class of a step that is wanted where pictures are made."""

    id: str
    label: str
    order: float
    data: ScriptClassData


def _main_classes(known: Iterable[ScriptClassData]) -> list[ScriptClassData]:
    """Return scripts of txt2img and img2img for the steps that the settings want there, in their order."""
    settings = host().settings.snapshot().postprocessing
    found = [
        _Wanted(id="", label=str(data.script_class.name), order=float(data.script_class.order), data=data)
        for data in known
        if data.script_class.name in settings.postprocessing_enable_in_main_ui
    ]
    order = settings.postprocessing_operation_order
    return [_main_class(one.data, place) for place, one in enumerate(in_order(found, order))]


def _main_class(data: ScriptClassData, place: int) -> ScriptClassData:
    """Return the class of a script that runs one step on every picture."""

    class MainStep(Script):
        sorting_priority = place

        def __init__(self) -> None:
            self.step = data.script_class()
            self.names: list[str] = []

        def title(self) -> str:
            return str(self.step.name)

        def show(self, is_img2img: bool) -> Any:
            return AlwaysVisible

        def ui(self, is_img2img: bool) -> list[Any]:
            found = dict(self.step.ui() or {})
            self.names = list(found)
            return list(found.values())

        def postprocess_image(self, p: Any, pp: Any, *args: Any) -> None:
            made, values = PostprocessedImage(pp.image), dict(zip(self.names, args, strict=False))
            self.step.process_firstpass(made, **values)
            self.step.process(made, **values)
            p.extra_generation_params.update(made.info)
            pp.image = made.image

    return ScriptClassData(MainStep, data.path, data.basedir, data.module)
