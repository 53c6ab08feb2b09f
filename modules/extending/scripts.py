"""All scripts of extensions: found by name, their values read, their handlers and infotext made."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from functools import cache, partial
from threading import RLock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from modules.domain.errors import InvalidRequest, WebuiError
from modules.domain.param import ParamPath, walk_params
from modules.domain.request import Generation, ScriptCall
from modules.domain.result import Outcome
from modules.domain.scripts import Argument
from modules.extending.script import (
    ENABLED,
    IMG2IMG,
    TXT2IMG,
    Offer,
    OwnChoices,
    OwnPasting,
    Script,
    ScriptRun,
    SelectableScript,
)
from modules.hooks.context import JobContext
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import PlanMade
from modules.settings.coerce import coerce

if TYPE_CHECKING:
    from modules.pipeline.bench import Bench
    from modules.pipeline.services import Runner

S = TypeVar("S", Script, SelectableScript)
AnyScript = Script | SelectableScript
Values = Mapping[str, Any]
"""Values of a script's parameters by name."""
FIELD, ARGS_FIELD = "alwayson_scripts", "script_args"
SCRIPT_KEY = "Script"
"""Names the script of the drop-down in an infotext."""


class Scripts:
    """The scripts of all extensions that run.

    Args:
        always: always-on scripts; of several with one id the first counts.
        selectable: scripts of the drop-down, likewise.
    """

    def __init__(self, always: Iterable[Script] = (), selectable: Iterable[SelectableScript] = ()) -> None:
        self._always = _by_id(always)
        self._selectable = _by_id(selectable)
        self.building = RLock()
        """Held while controls are built: gradio has one place for the whole process where it keeps what is being built."""

    def every_always(self) -> tuple[Script, ...]:
        """Return the always-on scripts of all tabs."""
        return tuple(self._always.values())

    def every_selectable(self) -> tuple[SelectableScript, ...]:
        """Return the scripts of the drop-downs of all tabs."""
        return tuple(self._selectable.values())

    def listed(self, tab: str) -> "list[tuple[str, bool, list[Argument]]]":
        """Return further scripts that are not declared: title, whether it always runs, arguments."""
        return []

    def watching(self, tab: str) -> AbstractContextManager[Any]:
        """Return what surrounds the building of a tab, for scripts that look at all of its controls."""
        return nullcontext()

    def build_always(self, tab: str) -> list[tuple[str, Any]]:
        """Build the controls of always-on scripts that are not declared; their names and the components."""
        return []

    def build_selectable(self, tab: str) -> "Iterator[tuple[str, Callable[[], list[Any]]]]":
        """Yield titles of scripts that are not declared, and what builds their controls."""
        return iter(())

    def given(self, tab: str, title: str, args: Sequence[Any]) -> tuple[Any, ...]:
        """Read what the page sent for a script of the drop-down that is not declared."""
        return tuple(args)

    def counts(self, tab: str) -> list[tuple[str, int]]:
        """Return titles of the scripts that `build_selectable` yields, and how many values each takes."""
        return []

    def always(self, tab: str) -> tuple[Script, ...]:
        """Return the always-on scripts of a tab."""
        return tuple(script for script in self._always.values() if tab in script.tabs)

    def selectable(self, tab: str) -> tuple[SelectableScript, ...]:
        """Return the scripts in the drop-down of a tab."""
        return tuple(script for script in self._selectable.values() if tab in script.tabs)

    def always_named(self, title: str, tab: str) -> Script | None:
        """Find an always-on script of a tab by its title in any case."""
        return next((script for script in self.always(tab) if script.label.lower() == title.lower()), None)

    def knows(self, title: str, tab: str) -> bool:
        """Tell whether a tab has an always-on script of this title."""
        return self.always_named(title, tab) is not None

    def knows_selectable(self, title: str, tab: str) -> bool:
        """Tell whether the drop-down of a tab offers a script of this title."""
        return self.selectable_named(title, tab) is not None

    def selectable_named(self, title: str, tab: str | None = None) -> SelectableScript | None:
        """Find a script of the drop-down by its title in any case."""
        found = (one for one in self._selectable.values() if tab is None or tab in one.tabs)
        return next((one for one in found if one.label.lower() == title.lower()), None)

    def asked(self, tab: str, given: Mapping[str, Any]) -> Mapping[str, Values]:
        """Read the values of always-on scripts; those that are switched off are left out.

        Args:
            tab: whose scripts they are.
            given: title in any case -> `{"args": [...]}`, as A1111's API has it, or with `args` by name.

        Raises:
            InvalidRequest: an argument that the script cannot take; names it.
        """
        known = ((self.always_named(title, tab), entry) for title, entry in given.items())
        return self._switched_on({
            script.id: read_arguments(script, entry.get("args") or (), FIELD) for script, entry in known if script
        })  # fmt: skip

    def chosen(self, tab: str, given: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Values]:
        """Read the values of always-on scripts by id and name, with the defaults of what is missing.

        Raises:
            InvalidRequest: a value that the script cannot take; names it.
        """
        return self._switched_on({
            script.id: read_values(script, given[script.id]) for script in self.always(tab) if script.id in given
        })  # fmt: skip

    def _switched_on(self, values: Mapping[str, Values]) -> Mapping[str, Values]:
        return MappingProxyType({name: one for name, one in values.items() if one.get(ENABLED, True)})

    def always_running(self, tab: str) -> Mapping[str, Values]:
        """Return the scripts of a tab that run unasked, since nothing switches them, with their defaults."""
        return {one.id: read_values(one, {}) for one in self.always(tab) if ENABLED not in parameters(one.Params)}

    def check_call(self, call: ScriptCall, tab: str) -> bool:
        """Tell whether a call is of an extension's script, and check its arguments.

        Raises:
            InvalidRequest: an argument that it cannot take.
        """
        script = self.selectable_named(call.name, tab)
        if script is not None:
            read_arguments(script, call.args, ARGS_FIELD)
        return script is not None

    def handlers(self, request: Generation) -> list[Handler]:
        """Make the handlers of one job: those of its scripts, and those that tell them in the infotext.

        Raises:
            InvalidRequest: the request comes from another time and its values do not fit any more.
        """
        tab = tab_of(request)
        found: list[Handler] = []
        for name, values in {**self.always_running(tab), **request.scripts}.items():
            script = self._always.get(name)
            if script is None or tab not in script.tabs:
                continue
            found += _of_script(script, values)
        return found

    def runner(self, title: str) -> "Runner | None":
        """Find what carries out a call of a script that makes several runs."""
        script = self.selectable_named(title)
        return None if script is None else partial(self._run, script)

    def _run(self, script: SelectableScript, request: Generation, ctx: JobContext, bench: "Bench") -> Outcome:
        args = request.script.args if request.script is not None else ()
        params, own = params_of(script, read_arguments(script, args, ARGS_FIELD)), replace(request, script=None)

        def hooks_for(part: Generation) -> Hooks:
            of_job = {one.name for one in self.handlers(own)}
            return ctx.hooks.without(of_job).adding(self.handlers(part))

        run = ScriptRun(
            request=own, params=params, ctx=ctx, bench=bench, hooks_for=hooks_for, scripts=self.always(tab_of(request))
        )
        return script.run(run)

    def pasted(self, tab: str, entries: Mapping[str, Any]) -> Mapping[str, Values]:
        """Read the values of always-on scripts from the entries of a parameters text.

        A script that the text tells nothing about is switched off; a value that does not fit is left out.
        """
        return {script.id: _pasted(script, entries) for script in self.always(tab)}

    def pasted_call(self, tab: str, entries: Mapping[str, Any]) -> tuple[str, Values]:
        """Read which script of the drop-down a parameters text names, and the values that it has for it.

        Returns:
            Its title in small letters, empty where the text names none, and values by name.
        """
        script = self.selectable_named(str(entries.get(SCRIPT_KEY, "")), tab)
        if script is None:
            return "", {}
        values = script.pasted(entries) if isinstance(script, OwnPasting) else _pasted(script, entries)
        return script.label.lower(), values

    def infotext_keys(self) -> frozenset[str]:
        """Return all keys that scripts write."""
        every = (*self._always.values(), *self._selectable.values())
        return frozenset(
            item.param.infotext for one in every for item in parameters(one.Params).values() if item.param.infotext
        )


def tab_of(request: Generation) -> str:
    """Return the tab that a request belongs to."""
    return TXT2IMG if request.init is None else IMG2IMG


def choices_of(script: AnyScript, offer: Offer) -> Mapping[str, Sequence[str]]:
    """Return the choices of a script's parameters that are known only now, by name."""
    return script.choices(offer) if isinstance(script, OwnChoices) else {}


@cache
def parameters(params: type) -> Mapping[str, ParamPath]:
    """Return name -> declaration of a script's parameters, in the order of its fields."""
    return MappingProxyType({item.path[-1]: item for item in walk_params(params)})


def read_arguments(script: AnyScript, given: Any, field: str) -> Values:
    """Read values by position, or by name.

    Args:
        script: whose they are.
        given: a list, shorter ones keep defaults at the end; or an object.
        field: of the request, for errors.

    Raises:
        InvalidRequest: too many, unknown names, or a value that does not fit.
    """
    known = list(parameters(script.Params))
    if isinstance(given, Mapping):
        return read_values(script, cast("Values", given), field)
    if not isinstance(given, list | tuple):
        raise InvalidRequest(f"the args of {script.label} must be a list, or an object of values by name", field=field)
    args = cast("Sequence[Any]", given)
    if len(args) > len(known):
        raise InvalidRequest(f"{len(args)} arguments for {script.label}, which takes {len(known)}", field=field)
    return read_values(script, dict(zip(known, args, strict=False)), field)


def read_values(script: AnyScript, given: Values, field: str = "scripts") -> Values:
    """Check values by name; what is missing has its default.

    Raises:
        InvalidRequest: an unknown name, or a value that does not fit.
    """
    known = parameters(script.Params)
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        raise InvalidRequest(f"{script.label} has no parameter {str(unknown)[:80]!r}", field=field)
    try:
        typed = {name: coerce(known[name], value) for name, value in given.items()}
    except InvalidRequest as error:
        raise InvalidRequest(f"{script.label}: {error}", field=field) from None
    return {name: _plain(typed.get(name, item.default)) for name, item in known.items()}


def params_of(script: AnyScript, values: Values) -> Any:
    """Make a script's parameters of checked values.

    Raises:
        InvalidRequest: a value that does not fit any more.
    """
    known = parameters(script.Params)
    return script.Params(**{name: coerce(known[name], value) for name, value in values.items() if name in known})


def told(params: Any) -> dict[str, Any]:
    """Return the infotext entries of parameters."""
    known = parameters(type(params))
    named = ((known[item.name].param.infotext, getattr(params, item.name)) for item in fields(params))
    return {key: _as_text(value) for key, value in named if key and value is not None}


def _of_script(script: Script, values: Values) -> list[Handler]:
    """Make the handlers of one script, under names that nobody else has.

    One that cannot make them gets a handler that says so, so that its failure is treated and told like all others.
    """
    try:
        params = params_of(script, values)
        own = list(script.hooks(params))
    except WebuiError:
        raise
    except Exception as error:  # noqa: BLE001 - foreign code; the handler raises it where failures are told
        return [Handler(name=f"{script.id}:hooks", hook=PlanMade, call=partial(_raise, error))]
    found = [Handler(name=f"{script.id}:infotext", hook=PlanMade, call=partial(_tell, params))]
    for one in own:
        taken = {other.name for other in found if other.hook is one.hook}
        names = (f"{script.id}:{one.name}", *(f"{script.id}:{one.name} {number}" for number in range(2, len(own) + 3)))
        found.append(replace(one, name=next(name for name in names if name not in taken)))
    return found


def _raise(error: Exception, _payload: PlanMade) -> None:
    raise error


def _tell(params: Any, payload: PlanMade) -> PlanMade:
    extra = {**payload.plan.infotext_extra, **told(params)}
    return replace(payload, plan=replace(payload.plan, infotext_extra=extra))


def _pasted(script: AnyScript, entries: Mapping[str, Any]) -> dict[str, Any]:
    known = parameters(script.Params)
    found: dict[str, Any] = {}
    for name, item in known.items():
        key = item.param.infotext
        if not key or (key not in entries and f"{key}-1" not in entries):
            continue
        text = entries.get(key, f"{entries.get(f'{key}-1')}x{entries.get(f'{key}-2')}")
        try:
            found[name] = _plain(coerce(item, text.split(", ") if item.annotation == tuple[str, ...] else text))
        except InvalidRequest:
            continue
    if ENABLED in known:
        found.setdefault(ENABLED, bool(found))
    return found


def _as_text(value: Any) -> str | int | float | bool:
    return ", ".join(value) if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _by_id(scripts: "Iterable[S]") -> dict[str, S]:
    found: dict[str, S] = {}
    for script in scripts:
        found.setdefault(script.id, script)
    return found
