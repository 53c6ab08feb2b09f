"""A1111's global callbacks: who registered which, and how they are called."""

import inspect
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.compat.host import host
from modules.extending.discover import in_order
from modules.extending.metadata import Order

if TYPE_CHECKING:
    from modules.extending.discover import Extension

logger = logging.getLogger(__name__)

NAMES = (
    "app_started", "before_reload", "model_loaded", "ui_tabs", "ui_train_tabs", "ui_settings", "before_image_saved",
    "image_saved", "extra_noise", "cfg_denoiser", "cfg_denoised", "cfg_after_cfg", "before_component",
    "after_component", "image_grid", "infotext_pasted", "script_unloaded", "before_ui", "list_optimizers",
    "list_unets", "before_token_counter",
)  # fmt: skip
"""All of them; `on_` before each is the function that registers one."""
BACKWARDS = frozenset({"before_reload", "script_unloaded"})
"""Called in the opposite order, since they undo what was done."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Callback:
    """One function that somebody registered."""

    kind: str
    call: Callable[..., Any]
    script: str
    """Path of the file that registered it."""
    extension: str
    """Canonical name of its extension, empty for others."""
    name: str
    """Unique among those of one kind."""


@dataclass(slots=True, eq=False)
class Callbacks:
    """The callbacks that are registered."""

    by_kind: dict[str, list[Callback]] = field(default_factory=lambda: {name: [] for name in NAMES})

    def add(self, kind: str, call: Callable[..., Any], *, name: str | None = None, depth: int = 2) -> None:
        """Register a function; `depth` frames above is the file it belongs to."""
        frame = inspect.stack(context=0)[depth]
        extension = _extension_of(Path(frame.filename))
        owner = extension.canonical if extension else Path(frame.filename).stem
        base = f"{owner}/{Path(frame.filename).name}/{kind}" + (f"/{name}" if name else "")
        taken = {one.name for one in self.by_kind[kind]}
        unique = next(text for text in _numbered(base) if text not in taken)
        self.by_kind[kind].append(
            Callback(
                kind=kind, call=call, script=frame.filename, extension=extension.canonical if extension else "",
                name=unique,
            )
        )  # fmt: skip

    def remove(self, unwanted: Callable[[Callback], bool]) -> None:
        """Forget callbacks."""
        for kind, known in self.by_kind.items():
            self.by_kind[kind] = [one for one in known if not unwanted(one)]

    def has(self, *kinds: str) -> bool:
        """Tell whether anybody registered for one of several."""
        return any(self.by_kind[kind] for kind in kinds)

    def ordered(self, kind: str) -> Sequence[Callback]:
        """Return the callbacks of a kind in the order in which they are called."""
        known = self.by_kind[kind]
        if len(known) < 2:
            return tuple(known)
        orders = {one.name: _order_of(one) for one in known}
        at = {one.name: one for one in known}
        found = [at[name] for name in in_order(list(at), orders)]
        return found[::-1] if kind in BACKWARDS else found

    def call(self, kind: str, *arguments: Any, report: Report | None = None, **more: Any) -> list[Any]:
        """Call all of a kind; one that raises is named in the log and the others are called.

        Returns:
            What they return.
        """
        found: list[Any] = []
        for one in self.ordered(kind):
            with guarded(f"{one.extension or one.script}: {kind}", report):
                found.append(one.call(*arguments, **more))
        return found


@contextmanager
def guarded(where: str, report: Report | None = None) -> Iterator[None]:
    """Keep an error of an extension from reaching anybody else.

    Args:
        where: what failed, in words.
        report: is told of it in a sentence each time. Without one it is noted beside the extension in the tab
            Extensions, and that, like the log, only the first time.
    """
    try:
        yield
    except (Exception, SystemExit) as error:  # parsers of command lines end the program when they are given others
        text = f"{where} failed: {type(error).__name__}: {error}"[:2000]
        known = host().told
        logger.log(logging.DEBUG if text in known else logging.ERROR, "%s failed", where, exc_info=error)
        if report is not None:
            report(text)
        elif text not in known:
            _blame(error)(text)
        known.add(text)


def _blame(error: BaseException) -> Report:
    """Return what notes a fault of the extension in whose files an error arose."""
    passed = [Path(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__)]
    known = host().faults
    found = (known[folder] for path in reversed(passed) for folder in known if path.is_relative_to(folder))
    return next(found, lambda _text: None)


def _extension_of(path: Path) -> "Extension | None":
    bound = host()
    inside = (one for one in bound.extensions if path.is_relative_to(one.folder))
    return next(inside, bound.loading[-1] if bound.loading else None)


def _order_of(one: Callback) -> Order:
    for extension in host().extensions:
        if extension.canonical == one.extension:
            return extension.metadata.callbacks.get(one.name.lower(), Order())
    return Order()


def _numbered(base: str) -> Iterator[str]:
    yield base
    number = 2
    while True:
        yield f"{base}_{number}"
        number += 1
