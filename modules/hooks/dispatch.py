"""Run handlers over hook payloads in a declared order."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from modules.hooks.points import READ_ONLY, Hook, WrapConditioning, WrapDenoise, WrapNetwork, WrapPass, WrapSampling

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)
WRAPS: Mapping[type[Hook], str] = MappingProxyType({
    WrapConditioning: "encode", WrapSampling: "sample", WrapPass: "walk", WrapNetwork: "predict", WrapDenoise: "denoise",
})  # fmt: skip
"""Points where a function may be wrapped, and the field that holds it."""
WRAPPED = tuple(WRAPS)
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
        first: names of handlers that the owner wants called first, in this order, whatever they declare.

    Raises:
        ValueError: the declared order has a cycle, or two handlers of one hook have the same name.
    """

    def __init__(
        self,
        handlers: Iterable[Handler] = (),
        note: Callable[[str], None] = logger.warning,
        first: Sequence[str] = (),
    ) -> None:
        self._handlers = _by_hook(list(handlers), first)
        self._note, self._first = note, tuple(first)
        self._failed: set[tuple[str, type[Hook]]] = set()

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """All of them; those of one point in their order."""
        return tuple(handler for group in self._handlers.values() for handler in group)

    def noting(self, note: Callable[[str], None]) -> "Hooks":
        """Return the same handlers with another place for the notes about failures."""
        other = Hooks(note=note, first=self._first)
        other._handlers = self._handlers
        return other

    def adding(self, handlers: Iterable[Handler]) -> "Hooks":
        """Return these handlers and further ones; notes go to the same place."""
        more = list(handlers)
        return Hooks([*self.handlers, *more], self._note, self._first) if more else self

    def without(self, names: Collection[str]) -> "Hooks":
        """Return these handlers but for some; notes go to the same place."""
        return Hooks([one for one in self.handlers if one.name not in names], self._note, self._first)

    def has(self, hook: type[Hook]) -> bool:
        """Tell whether anyone listens, so that costly payloads need not be built."""
        return bool(self._handlers.get(hook))

    def run(self, payload: H) -> H:
        """Pass a payload through all handlers of its type and return what came out."""
        passing: Any = payload
        for handler in self._handlers.get(type(payload), ()):
            call = self._wrapped if isinstance(passing, WRAPPED) else self._call
            changed = call(handler, passing)
            if isinstance(changed, type(payload)) and not isinstance(payload, READ_ONLY):
                passing = changed
        return cast("H", passing)

    def _call(self, handler: Handler, payload: Hook) -> Hook | None:
        try:
            return handler.call(payload)
        except Exception as error:  # noqa: BLE001 - foreign code; it is named, and essential handlers raise
            self._fail(handler, error)
            return None

    def _wrapped(self, handler: Handler, payload: Hook) -> Hook:
        """Let a handler wrap a function; where its own fails later, the one inside goes on alone."""
        name = WRAPS[type(payload)]
        inner = _Remembered(getattr(payload, name))
        changed = self._call(handler, replace(payload, **{name: inner}))
        if changed is None or type(changed) is not type(payload):
            return payload
        if getattr(changed, name) is inner:
            return replace(changed, **{name: getattr(payload, name)})
        outer, healthy = getattr(changed, name), True

        def call(*given: Any) -> "Tensor":
            nonlocal healthy
            if healthy:
                try:
                    return outer(*given)
                except Exception as error:
                    if error is inner.fault:
                        raise
                    self._fail(handler, error)
                    healthy = False
            return inner.again(*given)

        return replace(changed, **{name: call})

    def _fail(self, handler: Handler, error: Exception) -> None:
        """Tell once that a handler failed; only an essential one takes the job with it."""
        if handler.essential:
            raise error
        if (handler.name, handler.hook) in self._failed:
            return
        self._failed.add((handler.name, handler.hook))
        logger.error("%s failed at %s", handler.name, handler.hook.__name__, exc_info=error)
        self._note(f"{handler.name} failed at {handler.hook.__name__}: {error}")


class _Remembered:
    """A function that knows its latest answer, since asking it once more would count as another step."""

    def __init__(self, call: "Callable[..., Tensor]") -> None:
        self._call = call
        self._last: tuple[tuple[Any, ...], Tensor] | None = None
        self.fault: Exception | None = None
        """What it raised itself."""

    def __call__(self, *given: Any) -> "Tensor":
        try:
            found = self._call(*given)
        except Exception as error:
            self.fault = error
            raise
        self._last = (given, found)
        return found

    def again(self, *given: Any) -> "Tensor":
        """Answer; without asking where the question is the latest one."""
        last, self._last = self._last, None
        if last is not None and all(one is other for one, other in zip(last[0], given, strict=True)):
            return last[1]
        return self._call(*given)


def _by_hook(handlers: list[Handler], first: Sequence[str]) -> Mapping[type[Hook], Sequence[Handler]]:
    grouped: dict[type[Hook], list[Handler]] = {}
    for handler in sorted(handlers, key=lambda h: h.name):
        grouped.setdefault(handler.hook, []).append(handler)
    place = {name: number for number, name in enumerate(first)}
    return {
        hook: tuple(sorted(_ordered(group), key=lambda handler: place.get(handler.name, len(place))))
        for hook, group in grouped.items()
    }


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
