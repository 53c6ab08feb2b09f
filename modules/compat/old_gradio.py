"""Idioms of gradio 3 and 4, served while code of extensions builds its part of the page or handles its events.

Gradio's classes are wrapped once, when the first extension for A1111 is loaded. Outside of `serving_old_idioms` the
wrappers hand everything through.
"""

import functools
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from modules.compat.callbacks import guarded
from modules.compat.host import host, is_bound

logger = logging.getLogger(__name__)

_PATCHED = "_serves_old_idioms"
_FILE_TYPES = {"file": "filepath", "bytes": "binary"}


class _Depth(threading.local):
    active = 0
    building = 0


_depth = _Depth()


@contextmanager
def serving_old_idioms() -> Iterator[None]:
    """Serve the idioms on this thread."""
    install()
    _depth.active += 1
    try:
        yield
    finally:
        _depth.active -= 1


def is_serving() -> bool:
    """Tell whether code of an extension runs on this thread."""
    return _depth.active > 0


def install() -> None:
    """Wrap gradio's classes; only the first call does something."""
    import gradio as gr
    from gradio import blocks

    if getattr(gr, _PATCHED, False):
        return
    setattr(gr, _PATCHED, True)
    write_no_stubs()
    blocks.Block.get_block_name = _block_name  # pyright: ignore[reportAttributeAccessIssue]
    for cls in _all_blocks(blocks.Block):
        _wrap_constructor(cls)
        for event in getattr(cls, "EVENTS", ()):
            _wrap_event(cls, str(event))
    _wrap_dependency()
    _wrap_update(gr)
    _add_old_names(gr)


def write_no_stubs() -> None:
    """Keep gradio from writing a .pyi file beside the source of every class that derives from a component."""
    from gradio import component_meta

    component_meta.create_or_modify_pyi = lambda *_arguments, **_more: None  # pyright: ignore[reportAttributeAccessIssue]


def _all_blocks(base: type) -> list[type]:
    found = [base]
    for cls in base.__subclasses__():
        found += _all_blocks(cls)
    return list(dict.fromkeys(found))


def _block_name(self: Any) -> str:
    """Return the name of the front end's part; that of the nearest class of gradio's own for classes of extensions."""
    cls = type(self)
    if cls.__module__.startswith("gradio."):
        return (cls.__base__ or cls).__name__.lower() if hasattr(self, "is_template") else cls.__name__.lower()
    own = next(one for one in cls.__mro__ if one.__module__.startswith("gradio."))
    return (own.__base__ or own).__name__.lower() if "is_template" in vars(own) else own.__name__.lower()


def _wrap_constructor(cls: Any) -> None:
    if "__init__" not in vars(cls) or getattr(cls.__init__, _PATCHED, False):
        return
    original = cls.__init__
    known = set(inspect.signature(original).parameters)
    takes_all = any(one.kind is one.VAR_KEYWORD for one in inspect.signature(original).parameters.values())

    @functools.wraps(original)
    def construct(self: Any, *arguments: Any, **given: Any) -> None:
        outermost = not getattr(self, "_being_built", False)
        wanted = translated(cls, given, known, takes_all) if is_serving() else given
        if outermost:
            self._being_built = True
            _call("before_component", self, given)
        try:
            original(self, *arguments, **wanted)
        finally:
            if outermost:
                del self._being_built
        if "tooltip" in given and not hasattr(self, "tooltip"):
            self.tooltip = given["tooltip"]
        if outermost:
            _call("after_component", self, given)

    setattr(construct, _PATCHED, True)
    cls.__init__ = construct
    if not hasattr(cls, "update"):
        cls.update = staticmethod(_update)
    if not hasattr(cls, "style"):
        cls.style = _style


def translated(cls: Any, given: Mapping[str, Any], known: set[str], takes_all: bool) -> dict[str, Any]:
    """Turn keywords of older versions into those that a constructor takes; unknown ones are left out."""
    wanted, name = dict(given), cls.__name__
    if "source" in wanted and "sources" in known:
        source = wanted.pop("source")
        wanted["sources"] = [source] if source in ("upload", "webcam", "microphone", "clipboard") else ["upload"]
    if wanted.get("visible") is False and _is_component(cls):
        wanted["visible"] = "hidden"
    if name == "Dropdown" and "value" not in wanted and wanted.get("choices"):
        wanted["value"] = None
    if wanted.get("type") in _FILE_TYPES and name in ("File", "UploadButton"):
        wanted["type"] = _FILE_TYPES[wanted["type"]]
    if "default" in wanted and "default" not in known:
        wanted["value"] = wanted.pop("default")
    if name == "Blocks" and wanted.get("css"):
        host().css.append(str(wanted.pop("css")))
    unknown = [] if takes_all else [key for key in wanted if key not in known]
    for key in unknown:
        logger.debug("%s(%s=) is not known to this version of gradio; it is left out", name, key)
        del wanted[key]
    return wanted


def _is_component(cls: type) -> bool:
    from gradio.components.base import Component

    return issubclass(cls, Component)


def _call(kind: str, component: Any, given: Mapping[str, Any]) -> None:
    """Tell callbacks and scripts of a component; not of those that they make themselves meanwhile."""
    if not is_bound() or _depth.building:
        return
    bound, runner = host(), host().scripts.current
    scripts = runner.scripts if runner is not None else ()
    if not scripts and not bound.callbacks.has(kind):
        return
    _depth.building += 1
    try:
        with serving_old_idioms():
            bound.callbacks.call(kind, component, **given)
            for script in scripts:
                with guarded(f"{type(script).__name__}: {kind}"):
                    _tell_script(script, kind, component, given)
    finally:
        _depth.building -= 1


def _tell_script(script: Any, kind: str, component: Any, given: Mapping[str, Any]) -> None:
    from modules.compat.callback_params import OnComponent

    getattr(script, kind)(component, **given)
    for elem_id, callback in getattr(script, f"on_{kind}_elem_id", None) or ():
        if given.get("elem_id") == elem_id:
            callback(OnComponent(component=component))


def _update(*_arguments: Any, **given: Any) -> Any:
    """Return what changes a component: `gr.Textbox.update(...)` of older versions."""
    import gradio as gr

    return gr.update(**given)


def _style(self: Any, **options: Any) -> Any:
    """Set what a component looks like, where this version still knows of it."""
    for name, value in options.items():
        if hasattr(self, name):
            setattr(self, name, value)
    return self


def _wrap_event(cls: Any, event: str) -> None:
    original = getattr(cls, event, None)
    if original is None or getattr(original, _PATCHED, False):
        return
    setattr(cls, event, _listening(original))


def _listening(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what registers a handler."""

    @functools.wraps(original)
    def listen(*arguments: Any, **given: Any) -> Any:
        if is_serving():
            given = {("js" if name == "_js" else name): value for name, value in given.items() if name != "every"}
            arguments = tuple(_handling(one) for one in arguments)
            if "fn" in given:
                given["fn"] = _handling(given["fn"])
        return original(*arguments, **given)

    setattr(listen, _PATCHED, True)
    return listen


def _handling(function: Any) -> Any:
    """Serve the idioms inside of a handler, too."""
    plain = inspect.isfunction(function) or inspect.ismethod(function)
    if not plain or inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        return function

    @functools.wraps(function)
    def handle(*arguments: Any, **more: Any) -> Any:
        with serving_old_idioms():
            return function(*arguments, **more)

    return handle


def _wrap_dependency() -> None:
    from gradio.events import Dependency

    original: Any = Dependency.__init__

    @functools.wraps(original)
    def construct(self: Any, *arguments: Any, **given: Any) -> None:
        original(self, *arguments, **given)
        for name in ("then", "success", "failure"):
            inner = getattr(self, name)
            setattr(self, name, _listening(_named(inner)))

    Dependency.__init__ = construct  # pyright: ignore[reportAttributeAccessIssue]


def _named(inner: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **given: Any) -> Any:
        return inner(*arguments, **given)

    return call


def _wrap_update(gr: Any) -> None:
    original = gr.update

    @functools.wraps(original)
    def update(*arguments: Any, **given: Any) -> Any:
        if is_serving():
            known = inspect.signature(original).parameters
            takes_all = any(one.kind is one.VAR_KEYWORD for one in known.values())
            given = given if takes_all else {name: value for name, value in given.items() if name in known}
        return original(*arguments, **given)

    gr.update = update


def _add_old_names(gr: Any) -> None:
    """Add classes and modules that are gone."""
    from gradio import components

    class Box(gr.Group):
        """A group with a border."""

        def get_block_name(self) -> str:
            """Return the name of the front end's part."""
            return "group"

    gr.Box, gr.Variable = Box, gr.State
    if not hasattr(components, "Form"):
        components.Form = gr.Group  # pyright: ignore[reportAttributeAccessIssue]
    for name in ("IOComponent", "FormComponent"):
        if not hasattr(components, name):
            setattr(components, name, components.Component)
    for name in ("inputs", "outputs"):
        module = ModuleType(f"gradio.{name}")
        for cls in ("Textbox", "Number", "Slider", "Checkbox", "CheckboxGroup", "Radio", "Dropdown", "Image", "File", "HTML", "JSON", "Label", "Video", "Audio"):  # fmt: skip
            setattr(module, cls, getattr(gr, cls))
        setattr(gr, name, module)
        sys.modules.setdefault(f"gradio.{name}", module)
