"""Run handlers over hook payloads in a declared order."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from modules.hooks.points import AfterStep, Hook

logger = logging.getLogger(__name__)
H = TypeVar("H", bound=Hook)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One function that an extension wants to be called at one hook point."""

    name: str
    """Shown when it fails, and what `before` and `after` of others refer to."""
    hook: type[Hook]
    call: Callable[[Any], Hook | None]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    essential: bool = False
    """True when the job must fail if this handler does."""


class Hooks:
    """An ordered, immutable set of handlers.

    Args:
        handlers: in any order; sorted by `before`/`after`, ties by name.
        note: called with a sentence for the person when a handler fails.

    Raises:
        ValueError: the declared order has a cycle, or two handlers of one hook have the same name.
    """

    def __init__(self, handlers: Iterable[Handler] = (), note: Callable[[str], None] = logger.warning) -> None:
        self._handlers = _by_hook(list(handlers))
        self._note = note

    def noting(self, note: Callable[[str], None]) -> "Hooks":
        """Return the same handlers with another place for the notes about failures."""
        other = Hooks(note=note)
        other._handlers = self._handlers
        return other

    def has(self, hook: type[Hook]) -> bool:
        """Tell whether anyone listens, so that costly payloads need not be built."""
        return bool(self._handlers.get(hook))

    def run(self, payload: H) -> H:
        """Pass a payload through all handlers of its type and return what came out."""
        for handler in self._handlers.get(type(payload), ()):
            try:
                changed = handler.call(payload)
            except Exception as error:
                if handler.essential:
                    raise
                logger.exception("%s failed at %s", handler.name, type(payload).__name__)
                self._note(f"{handler.name} failed at {type(payload).__name__}: {error}")
                continue
            if isinstance(changed, type(payload)) and not isinstance(payload, AfterStep):
                payload = changed
        return payload


def _by_hook(handlers: list[Handler]) -> Mapping[type[Hook], Sequence[Handler]]:
    grouped: dict[type[Hook], list[Handler]] = {}
    for handler in sorted(handlers, key=lambda h: h.name):
        grouped.setdefault(handler.hook, []).append(handler)
    return {hook: _ordered(group) for hook, group in grouped.items()}


def _ordered(group: list[Handler]) -> Sequence[Handler]:
    names = {h.name: h for h in group}
    if len(names) != len(group):
        raise ValueError(f"two handlers of {group[0].hook.__name__} have the same name: {[h.name for h in group]}")
    graph: dict[str, set[str]] = {name: set() for name in names}
    for handler in group:
        graph[handler.name] |= {name for name in handler.after if name in names}
        for later in handler.before:
            if later in graph:
                graph[later].add(handler.name)
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ValueError(f"handlers wait for each other: {error.args[1]}") from error
    return tuple(names[name] for name in order)
