"""Where A1111's scripts join the program: requests of the API, controls of the page, jobs of the queue."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from modules.compat import fold
from modules.compat.additions import any_added
from modules.compat.callbacks import guarded
from modules.compat.control_values import by_place, read_all, read_call, to_plain, to_value
from modules.compat.host import facade, host, working_on
from modules.compat.jobs import LegacyJob
from modules.compat.out_folders import show_folders
from modules.compat.scripts import ScriptRunner, flat_values, values_by_title
from modules.compat.xyz import apply_axes
from modules.domain.errors import InvalidRequest
from modules.domain.request import Generation, ScriptCall
from modules.domain.result import Outcome
from modules.domain.scripts import Argument
from modules.extending.script import IMG2IMG, TXT2IMG, Script, SelectableScript
from modules.extending.scripts import Scripts, Values, tab_of
from modules.hooks.context import JobContext
from modules.hooks.dispatch import Handler
from modules.pipeline.services import Runner

logger = logging.getLogger(__name__)

KEY = "a1111"
"""Under which a request carries the values of these scripts: title in small letters -> list of values."""


class AllScripts(Scripts):
    """Native scripts and A1111's."""

    def __init__(self, always: Iterable[Script] = (), selectable: Iterable[SelectableScript] = ()) -> None:
        super().__init__(always, selectable)
        self.building = host().building

    @classmethod
    def over(cls, native: Scripts) -> "AllScripts":
        """Return these and the native ones."""
        return cls(native.every_always(), native.every_selectable())

    def knows(self, title: str, tab: str) -> bool:
        """Tell whether a tab has an always-on script of this title."""
        return super().knows(title, tab) or _find(tab, title, always=True) is not None

    def knows_selectable(self, title: str, tab: str) -> bool:
        """Tell whether the drop-down of a tab offers a script of this title."""
        return super().knows_selectable(title, tab) or _find(tab, title, always=False) is not None

    def asked(self, tab: str, given: Mapping[str, Any]) -> Mapping[str, Values]:
        """Read the values of always-on scripts of a request of the API.

        Raises:
            InvalidRequest: an argument that a native script cannot take, or too many for one of A1111's.
        """
        own = values_by_title(runner_of(tab), given)
        for title, values in own.items():
            script = _find(tab, title, always=True)
            if script is not None and len(values) > script.args_to - script.args_from:
                wanted = script.args_to - script.args_from
                raise InvalidRequest(f"{len(values)} arguments for {title}, which takes {wanted}", field="alwayson_scripts")  # fmt: skip
        return MappingProxyType({**super().asked(tab, given), **({KEY: own} if own else {})})

    def chosen(self, tab: str, given: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Values]:
        """Read the values of always-on scripts from the controls of the page."""
        rest = {name: values for name, values in given.items() if name != KEY}
        sent: Mapping[str, Any] = given.get(KEY, {})
        lists: dict[str, list[Any]] = {}
        for script in runner_of(tab).alwayson_scripts if sent else ():
            title = script.title().lower()
            own = by_place(sent, title)
            if own is not None:
                lists[title] = read_all(script, own)
        return MappingProxyType({**super().chosen(tab, rest), **({KEY: lists} if lists else {})})

    def check_call(self, call: ScriptCall, tab: str) -> bool:
        """Tell whether a call is of an extension's script, and check its arguments.

        Raises:
            InvalidRequest: an argument that it cannot take, or too many.
        """
        if super().check_call(call, tab):
            return True
        script = _find(tab, call.name, always=False)
        if script is None:
            return False
        if len(call.args) > script.args_to - script.args_from:
            wanted = script.args_to - script.args_from
            raise InvalidRequest(f"{len(call.args)} arguments for {call.name}, which takes {wanted}", field="script_args")  # fmt: skip
        return True

    def runner(self, title: str) -> Runner | None:
        """Find what carries out a call of a script that makes several runs."""
        native = super().runner(title)
        if native is not None:
            return native
        return _run if any(_find(tab, title, always=False) for tab in (TXT2IMG, IMG2IMG)) else None

    def handlers(self, request: Generation) -> list[Handler]:
        """Make the handlers of the native scripts; A1111's are called around the run."""
        rest = {name: values for name, values in request.scripts.items() if name != KEY}
        return super().handlers(replace(request, scripts=MappingProxyType(rest)))

    def listed(self, tab: str) -> list[tuple[str, bool, list[Argument]]]:
        """Return titles in small letters, whether they always run, and their arguments."""
        runner = runner_of(tab)
        return [(one.title().lower(), one.alwayson, [_argument(item) for item in one.controls or ()]) for one in runner.scripts]  # fmt: skip

    def watching(self, tab: str) -> AbstractContextManager[Any]:
        """Return what lets A1111's scripts see the controls of a tab while they are built."""
        from modules.compat.script_controls import watching

        return watching(tab) if tab in (TXT2IMG, IMG2IMG) else nullcontext()

    def build_always(self, tab: str) -> list[tuple[str, Any]]:
        """Build the controls of A1111's always-on scripts; their names, as `chosen` reads them, and the components."""
        from modules.compat.script_controls import build_one

        runner, made = host().scripts.runner(tab), list[tuple[str, Any]]()
        for script in runner.alwayson_scripts:
            build_one(runner, script)
            title = script.title().lower()
            made += [(f"{KEY}/{title}/{number}", one) for number, one in enumerate(script.controls or ())]
        return made

    def build_selectable(self, tab: str) -> Iterator[tuple[str, Callable[[], list[Any]]]]:
        """Yield titles of A1111's scripts for the drop-down, and what builds their controls."""
        from modules.compat.script_controls import build_one

        runner = host().scripts.runner(tab)
        for script in runner.selectable_scripts:

            def build(script: Any = script) -> list[Any]:
                build_one(runner, script)
                return list(script.controls or ())

            yield script.title(), build

    def given(self, tab: str, title: str, args: Sequence[Any]) -> tuple[Any, ...]:
        """Read what the page sent for a script of the drop-down."""
        script = _find(tab, title, always=False)
        return super().given(tab, title, args) if script is None else read_call(script, args)

    def counts(self, tab: str) -> list[tuple[str, int]]:
        """Return titles of A1111's scripts of the drop-down, and how many values each takes."""
        return [(one.title(), one.args_to - one.args_from) for one in runner_of(tab).selectable_scripts]

    def pasted(self, tab: str, entries: Mapping[str, Any]) -> Mapping[str, Values]:
        """Read the values of always-on scripts from the entries of a parameters text."""
        runner, own = runner_of(tab), dict[str, Any]()
        names = {id(one): f"{script.title().lower()}/{number}" for script in runner.alwayson_scripts for number, one in enumerate(script.controls or ())}  # fmt: skip
        for component, key in runner.infotext_fields:
            name = names.get(id(component))
            value = pasted_value(component, key, entries)
            if name is not None and value is not None:
                own[name] = value
        return {**super().pasted(tab, entries), **({KEY: own} if own else {})}


def _run(request: Generation, ctx: JobContext, _bench: Any) -> Outcome:
    return surround(request, ctx)


def surrounding() -> "Callable[[Generation, JobContext], Outcome] | None":
    """Return what carries out plain runs among A1111's scripts and callbacks; None where there are none, at no cost."""
    bound = host()
    kinds = (
        "cfg_denoiser", "cfg_denoised", "cfg_after_cfg", "before_image_saved", "image_saved", "extra_noise", "image_grid",
        "list_optimizers", "model_loaded",
    )  # fmt: skip
    if not bound.scripts.any_brought and not bound.callbacks.has(*kinds) and not any_added():
        return None
    return surround


def surround(request: Generation, ctx: JobContext) -> Outcome:
    """Carry out a request with the scripts that its tab has; the entrance for jobs of the queue."""
    p = fold.job_object(request)
    show_folders(p, ctx.settings)
    runner, values = script_values(request)
    p.script_args_value = values
    job = LegacyJob(p, ctx)
    with working_on(job):
        p.scripts_value = runner
        p.setup_scripts()
        apply_axes(p, request)
        processed = runner.run(p, *p.script_args) if request.script is not None else None
        if processed is None:
            processed = facade("processing").process_images(p)
        return job.to_outcome(processed)


def runner_of(tab: str) -> ScriptRunner:
    """Return the runner of a tab; its controls are built now if the page has not done so, and waited for if it does."""
    bound = host()
    with bound.building:
        found = bound.scripts.runner(tab)
        if not found.scripts and bound.scripts.any_brought:
            from modules.compat.script_controls import build_apart

            build_apart(tab)
        return found


def script_values(request: Generation) -> tuple[ScriptRunner, list[Any]]:
    """Return the runner of a request and the values of all its controls."""
    runner = runner_of(tab_of(request))
    named = {title: [to_value(one) for one in values] for title, values in request.scripts.get(KEY, {}).items()}
    call = request.script
    chosen = None if call is None else (call.name, [to_value(one) for one in call.args])
    return runner, flat_values(runner, named, chosen)


def _find(tab: str, title: str, *, always: bool) -> Any:
    runner = runner_of(tab)
    known = runner.alwayson_scripts if always else runner.selectable_scripts
    with guarded("script titles"):
        return next((one for one in known if one.title().lower() == title.lower()), None)
    return None


def pasted_value(component: Any, key: Any, entries: Mapping[str, Any]) -> Any:
    """Return the value that a parameters text has for a component, in the type that it shows; None for none."""
    if callable(key):
        with guarded("infotext_fields"):
            found = key(dict(entries))
            return found.get("value") if isinstance(found, dict) else found
        return None
    text = entries.get(key)
    shown = getattr(component, "value", None)
    if text is None or not isinstance(text, str) or shown is None or isinstance(shown, str):
        return text
    with guarded("infotext_fields"):
        if isinstance(shown, bool):
            return text.strip().lower() == "true"
        return int(float(text)) if isinstance(shown, int) else float(text) if isinstance(shown, float) else text
    return None


def _argument(component: Any) -> Argument:
    choices = getattr(component, "choices", None)
    values = tuple(str(one[1] if isinstance(one, tuple) else one) for one in choices) if choices else None
    return Argument(
        label=str(getattr(component, "label", None) or ""), default=_default(component),
        minimum=getattr(component, "minimum", None), maximum=getattr(component, "maximum", None),
        step=getattr(component, "step", None), choices=values,
    )  # fmt: skip


def _default(component: Any) -> Any:
    """Return what a component begins with, if a client could send it: states may hold anything."""
    shown = getattr(component, "value", None)
    is_sent = not getattr(component, "stateful", False) or isinstance(shown, bool | int | float | str)
    return to_plain(shown) if is_sent and not callable(shown) else None
