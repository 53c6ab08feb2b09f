"""What a script is: something a person may switch on for a run, or that makes several runs of one request."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from modules.domain.request import Generation
from modules.domain.result import Outcome
from modules.hooks.context import JobContext
from modules.hooks.dispatch import Handler

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
    make: Callable[[Generation], Outcome]
    """Carries out one run and waits until its pictures are saved."""


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
