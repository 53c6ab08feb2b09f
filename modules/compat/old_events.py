"""Events as gradio 3 had them: `_js=`, chained handlers, lists of handlers, files with a name."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modules.compat.serving import is_serving, mark_patched, serving, was_patched

KEPT_FROM_QUEUE = ("status_update_rate", "api_open", "max_size", "default_concurrency_limit")
ALIASES: Mapping[str, str] = {"edit": "apply", "style": ""}
"""Event that is gone -> the one that comes closest."""


def wrap_events(cls: Any) -> None:
    """Let the events of a class take what they took once."""
    for event in (str(one) for one in getattr(cls, "EVENTS", ())):
        original = getattr(cls, event, None)
        if original is not None and not was_patched(original):
            setattr(cls, event, listening(original))


def listening(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what registers a handler."""

    @functools.wraps(original)
    def listen(*arguments: Any, **given: Any) -> Any:
        if not is_serving():
            return original(*arguments, **given)
        every = given.pop("every", None)
        given = {("js" if name == "_js" else name): value for name, value in given.items()}
        arguments = tuple(handling(one) for one in arguments)
        if "fn" in given:
            given["fn"] = handling(given["fn"])
        made = original(*arguments, **given)
        if isinstance(every, int | float):
            _again(every, arguments[1:], given)
        return made

    mark_patched(listen)
    return listen


def _again(seconds: float, arguments: tuple[Any, ...], given: Mapping[str, Any]) -> None:
    """Call a handler in regular intervals, too."""
    import gradio as gr

    gr.Timer(seconds).tick(*arguments, **{name: value for name, value in given.items() if name != "js"})


def handling(function: Any) -> Any:
    """Serve the idioms inside of a handler, too."""
    if not (inspect.isfunction(function) or inspect.ismethod(function)) or inspect.iscoroutinefunction(function):
        return function
    if inspect.isasyncgenfunction(function):
        return function
    if inspect.isgeneratorfunction(function):
        return _handling_many(function)

    @functools.wraps(function)
    def handle(*arguments: Any, **more: Any) -> Any:
        with serving():
            return function(*arguments, **more)

    return handle


def _handling_many(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    @functools.wraps(function)
    def handle(*arguments: Any, **more: Any) -> Iterator[Any]:
        steps = function(*arguments, **more)
        while True:
            with serving():
                try:
                    found = next(steps)
                except StopIteration:
                    return
            yield found

    return handle


def wrap_chains() -> None:
    """Let what an event returns take old keywords in `then`, `success` and `failure`."""
    from gradio.events import Dependency

    original: Any = Dependency.__init__

    @functools.wraps(original)
    def construct(self: Any, *arguments: Any, **given: Any) -> None:
        original(self, *arguments, **given)
        for name in ("then", "success", "failure"):
            setattr(self, name, listening(_named(getattr(self, name))))

    Dependency.__init__ = construct  # pyright: ignore[reportAttributeAccessIssue]


def _named(inner: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **given: Any) -> Any:
        return inner(*arguments, **given)

    return call


def wrap_page(blocks: Any) -> None:
    """Let pages of extensions be queued and looked at in the old ways."""
    original = blocks.queue

    @functools.wraps(original)
    def queue(self: Any, *arguments: Any, **given: Any) -> Any:
        known = {name: value for name, value in given.items() if name in KEPT_FROM_QUEUE}
        return original(self, *(() if is_serving() else arguments), **(known if is_serving() else given))

    blocks.queue = queue
    blocks.dependencies = property(_dependencies)


def _dependencies(self: Any) -> list[dict[str, Any]]:
    """Return handlers as dictionaries: what each listens to, what it reads and writes."""
    return [
        {
            **function.get_config(), "trigger": event, "targets": [block], "backend_fn": function.fn is not None,
            "js": function.js, "inputs": [one._id for one in function.inputs],
            "outputs": [one._id for one in function.outputs],
        }
        for function in self.fns.values()
        for block, event in function.targets
    ]  # fmt: skip
