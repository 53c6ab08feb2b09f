"""What a script is: something a person may switch on for a run, or that makes several runs of one request."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from modules.domain.request import Generation
from modules.domain.result import Outcome
from modules.hooks.context import JobContext
from modules.hooks.dispatch import Handler, Hooks

if TYPE_CHECKING:
    from modules.pipeline.bench import Bench

TXT2IMG, IMG2IMG = "txt2img", "img2img"
BOTH = (TXT2IMG, IMG2IMG)
ENABLED = "enabled"
"""Name of the parameter that switches a script on; a script without one always runs."""


class Script(Protocol):
    """Looks at and changes runs through hooks; shown as an accordion in its tabs.

    Controls, API arguments and infotext follow from `Params`, a frozen dataclass of `param(...)`.
    """

    @property
    def id(self) -> str:
        """Small letters, digits, `_` and `-`; names its values in requests and its elements in the page."""
        ...

    @property
    def label(self) -> str:
        """Title of the accordion; in any case also its name in `alwayson_scripts`."""
        ...

    @property
    def tabs(self) -> tuple[str, ...]:
        """Where it is offered: `BOTH`, or one of its names."""
        ...

    @property
    def Params(self) -> type:  # noqa: N802 - a class
        """Its parameters."""
        ...

    def hooks(self, params: Any) -> Iterable[Handler]:
        """Return what runs at which point of one job, for these parameters. Only asked for while switched on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScriptRun:
    """What a selectable script works with."""

    request: Generation
    """As it was sent, without the call of the script."""
    params: Any
    ctx: JobContext
    bench: "Bench"
    """Decides runs without making them, and encodes and saves what is put together of several."""
    hooks_for: Callable[[Generation], Hooks]
    """Returns the handlers of a run whose always-on scripts have other values than those of the job."""
    scripts: tuple[Script, ...] = ()
    """The always-on scripts of the tab."""

    def make(self, request: Generation, *, first: int = 0, total: int = 0, shown: bool = True) -> Outcome:
        """Carry out one run and wait until its pictures are saved.

        Args:
            request: of this run; its overrides and the values of always-on scripts may differ from those of the job.
            first: how many runs of the sampler came before, for the progress of the whole.
            total: how many there will be in all; 0 where nobody knows.
            shown: whether its pictures are results of the job.
        """
        hooks = None if request.scripts == self.request.scripts else self.hooks_for(request)
        return self.bench.make(request, first=first, total=total, shown=shown, hooks=hooks)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offer:
    """What there is to choose from when the controls of a script are made."""

    tab: str
    lists: Mapping[str, Sequence[str]]
    """The lists of the program, by the names that `choices` of a parameter may have."""
    hooks: Hooks = field(default_factory=Hooks)
    scripts: tuple[Script, ...] = ()
    """The always-on scripts of the tab."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """Where a selectable script with controls of its own builds them."""

    offer: Callable[[], Offer]
    """Returns what there is to choose from at this moment."""
    element: str
    """Begins the ids of elements."""
    control: Callable[..., Any]
    """Makes the control of a parameter here, by its name; further words are for the gradio component."""
    keep: Callable[[str, Any], Any]
    """Takes a component in place of the control of a parameter."""


class SelectableScript(Protocol):
    """Takes the place of a single run; chosen in the drop-down of its tabs."""

    @property
    def id(self) -> str:
        """See `Script.id`; must differ from those of other selectable scripts."""
        ...

    @property
    def label(self) -> str:
        """Entry of the drop-down; in any case also its `script_name`."""
        ...

    @property
    def tabs(self) -> tuple[str, ...]:
        """See `Script.tabs`."""
        ...

    @property
    def Params(self) -> type:  # noqa: N802 - a class
        """Its parameters, in the order of `script_args`."""
        ...

    def run(self, run: ScriptRun) -> Outcome:
        """Make the pictures of the request. Ends early when `run.ctx.cancel.ends_job`."""
        ...


@runtime_checkable
class OwnControls(Protocol):
    """A selectable script that builds its controls itself: one for each parameter, made or kept by the panel."""

    def build(self, panel: Panel) -> None:
        """Build the controls with gradio."""
        ...


@runtime_checkable
class OwnChoices(Protocol):
    """A selectable script whose parameters have choices that are known only when somebody asks."""

    def choices(self, offer: Offer) -> Mapping[str, Sequence[str]]:
        """Return the choices of parameters, by name."""
        ...


@runtime_checkable
class OwnPasting(Protocol):
    """A selectable script that reads parameters texts itself."""

    def pasted(self, entries: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values that a text has for its parameters, by name."""
        ...
