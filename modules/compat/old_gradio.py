"""Idioms of gradio 3 and 4, served while code of extensions builds its part of the page or handles its events.

Gradio's classes are wrapped once, when the first extension for A1111 is loaded. Outside of `serving_old_idioms` the
wrappers hand everything through, but for what extensions see of the whole page: classes of components, accordions whose
content is there while they are closed, and the callbacks around components.
"""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from modules.compat.callbacks import guarded
from modules.compat.host import host, is_bound
from modules.compat.old_components import add_old_names
from modules.compat.old_events import wrap_chains, wrap_events, wrap_page
from modules.compat.old_keywords import keywords_of, translated, updated
from modules.compat.old_values import begin_with_old_default, mark_lenient, with_range, wrap_values
from modules.compat.serving import is_serving, is_telling, mark_patched, serving, telling, was_patched

_INSTALLED = "_serves_old_idioms"
CLASSES: Mapping[str, tuple[str, ...]] = {
    "button": ("gr-button",), "form": ("gr-form",), "column": ("gap",), "row": ("gap",), "textbox": ("gr-text-input",),
}  # fmt: skip
"""Part of the front end -> classes that page scripts and style sheets know it by, beside `gradio-<part>`."""
HOST_CLASSES: Mapping[str, str] = {
    f"{tab}_{name}": "prompt" for tab in ("txt2img", "img2img") for name in ("prompt", "neg_prompt")
}
"""Element of the host -> a class that A1111's has."""
ADDED_BUTTONS: Mapping[str, str] = {
    f"html_log_{tab}": f"{tab}_generation_info_button" for tab in ("txt2img", "img2img")
}
"""Element of the host -> a hidden button that A1111 has after it."""


@contextmanager
def serving_old_idioms() -> Iterator[None]:
    """Serve the idioms on this thread."""
    install()
    with serving():
        yield


def install() -> None:
    """Wrap gradio's classes; only the first call does something."""
    import gradio as gr
    from gradio import blocks

    if getattr(gr, _INSTALLED, False):
        return
    setattr(gr, _INSTALLED, True)
    write_no_stubs()
    blocks.Block.get_block_name = _block_name  # pyright: ignore[reportAttributeAccessIssue]
    _wrap_config(blocks.Block)
    for cls in _all_blocks(blocks.Block):
        _wrap_constructor(cls)
        wrap_events(cls)
    wrap_chains()
    wrap_page(gr.Blocks)
    wrap_values(gr)
    _wrap_update(gr)
    add_old_names(gr)


def write_no_stubs() -> None:
    """Keep gradio from writing a .pyi file beside the source of every class that derives from a component."""
    from gradio import component_meta

    component_meta.create_or_modify_pyi = lambda *_arguments, **_more: None  # pyright: ignore[reportAttributeAccessIssue]


def _all_blocks(base: type) -> list[type]:
    found = [base]
    for cls in base.__subclasses__():
        found += _all_blocks(cls)
    return list(dict.fromkeys(found))


def _own_class(cls: type) -> Any:
    """Return gradio's own class that a class is or derives from."""
    return next(one for one in cls.__mro__ if one.__module__.startswith("gradio."))


def _block_name(self: Any) -> str:
    """Return the name of the front end's part; that of the nearest class of gradio's own for classes of extensions."""
    cls = type(self)
    if cls.__module__.startswith("gradio."):
        return (cls.__base__ or cls).__name__.lower() if hasattr(self, "is_template") else cls.__name__.lower()
    own = _own_class(cls)
    return (own.__base__ or own).__name__.lower() if "is_template" in vars(own) else own.__name__.lower()


def _wrap_config(block: Any) -> None:
    """Tell the front end all about classes of extensions; gradio looks at keywords, which these hand on unnamed."""
    original = block.get_config

    @functools.wraps(original)
    def get_config(self: Any, cls: Any = None) -> dict[str, Any]:
        return original(self, cls or _own_class(type(self)))

    block.get_config = get_config


def _wrap_constructor(cls: Any) -> None:
    if "__init__" not in vars(cls) or was_patched(cls.__init__):
        return
    original = cls.__init__
    known, takes_all = keywords_of(original)

    @functools.wraps(original)
    def construct(self: Any, *arguments: Any, **given: Any) -> None:
        outermost = not getattr(self, "_being_built", False)
        wanted = translated(cls, given, known, takes_all) if is_serving() else given
        if outermost:
            self._being_built = True
            _call("before_component", self, given)
        if cls.__name__ == "Slider":
            arguments, wanted = with_range(arguments, wanted)
        try:
            original(self, *arguments, **wanted)
        finally:
            if outermost:
                del self._being_built
        if outermost:
            _finish(self, given)
            _call("after_component", self, given)
            _add_parts(self)

    mark_patched(construct)
    cls.__init__ = construct
    if not hasattr(cls, "update"):
        cls.update = staticmethod(_update)
    if not hasattr(cls, "style"):
        cls.style = _style


def _finish(component: Any, given: Mapping[str, Any]) -> None:
    """Give a component what page scripts and extensions expect of it."""
    if is_serving():
        mark_lenient(component)
        begin_with_old_default(component, given)
        if "tooltip" in given and not hasattr(component, "tooltip"):
            component.tooltip = given["tooltip"]
    if getattr(component, "elem_classes", None) is None or not is_bound():
        return
    part = component.get_block_name()
    extra = HOST_CLASSES.get(str(getattr(component, "elem_id", None)))
    named = (f"gradio-{part}", *CLASSES.get(part, ()), *((extra,) if extra else ()))
    component.elem_classes = [*dict.fromkeys([*component.elem_classes, *named])]
    if getattr(component, "visible", None) is False:
        component.visible = "hidden"
    if part == "accordion" and component.open is False:
        # Neither open nor what the front end takes as a reason to make the content later.
        component.open = 0


def _add_parts(component: Any) -> None:
    """Build what A1111's page has after an element and ours has no use for; extensions put their own parts beside it."""
    wanted = ADDED_BUTTONS.get(str(getattr(component, "elem_id", None)))
    if wanted and is_bound():
        import gradio as gr

        gr.Button(visible="hidden", elem_id=wanted)


def _call(kind: str, component: Any, given: Mapping[str, Any]) -> None:
    """Tell callbacks and scripts of a component; not of those that they make themselves meanwhile."""
    if not is_bound() or is_telling():
        return
    bound, runner = host(), host().scripts.current
    scripts = runner.scripts if runner is not None else ()
    if not scripts and not bound.callbacks.has(kind):
        return
    with telling(), serving_old_idioms():
        bound.callbacks.call(kind, component, **given)
        for script in scripts:
            with guarded(f"{type(script).__name__}: {kind}"):
                _tell_script(script, kind, component, given)


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


def _wrap_update(gr: Any) -> None:
    original = gr.update
    known, takes_all = keywords_of(original)

    @functools.wraps(original)
    def update(*arguments: Any, **given: Any) -> Any:
        if is_serving():
            wanted = updated(given)
            given = wanted if takes_all else {name: value for name, value in wanted.items() if name in known}
        return original(*arguments, **given)

    gr.update = update
