"""Buttons of extensions that send pictures and parameters to tabs: connected when all of the page is there."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from modules.compat.callbacks import guarded
from modules.compat.host import host
from modules.compat.infotexts import image_from_url_text, parse_generation_parameters
from modules.domain.param import walk_params
from modules.domain.request import Generation, HiresSpec, InitSpec
from modules.hooks.points import PageBuilt

NATIVE = ("txt2img", "img2img", "inpaint", "extras")
COPIED: Mapping[str, str] = {
    "prompt": "Prompt", "negative_prompt": "Negative prompt", "steps": "Steps", "sampler_name": "Sampler",
    "scheduler": "Schedule type", "cfg_scale": "CFG scale", "seed": "Seed",
}  # fmt: skip
"""Parameters that go from one tab to another with a picture, and what texts call them."""
USUALLY = ("prompt", "negative_prompt", "steps")


def page_built(payload: PageBuilt) -> None:
    """Connect the buttons that wait, and tell extensions of the controls of both tabs."""
    _fill_paste_fields(payload.controls)
    for binding in list(host().bindings):
        with guarded(f"a button that sends to {binding.tabname}"):
            if binding.tabname in NATIVE:
                _connect(binding, payload)
            elif binding.tabname in host().paste_fields:
                _connect_own(binding, host().paste_fields[binding.tabname])


def _fill_paste_fields(controls: Mapping[str, Mapping[str, Any]]) -> None:
    labels = {
        item.name: item.param.infotext for part in (Generation, HiresSpec, InitSpec) for item in walk_params(part)
    }
    for tab, made in controls.items():
        fields = [(one, {**labels, **COPIED}.get(name)) for name, one in made.items()]
        host().paste_fields.setdefault(
            tab,
            {
                "init_img": None, "fields": [pair for pair in fields if pair[1]],
                "override_settings_component": made.get("override_settings"),
            },
        )  # fmt: skip


def add_paste_fields(
    tabname: str, init_img: Any, fields: Any, override_settings_component: Any = None, modules: Any = None
) -> None:
    """Let buttons send to a tab of an extension.

    Args:
        tabname: what buttons call it.
        init_img: takes the picture, or None.
        fields: pairs of a component and the key of a parameters text, or a function of all entries; or None.
        override_settings_component: takes settings for one run.
        modules: not used.
    """
    host().paste_fields[tabname] = {
        "init_img": init_img, "fields": list(fields or ()), "override_settings_component": override_settings_component,
    }  # fmt: skip


def _connect(binding: Any, payload: PageBuilt) -> None:
    """Connect a button with a tab of the program."""
    source = payload.controls.get(binding.source_tabname or "", {})
    copied = [name for name in COPIED if name in source]
    picture, inputs = _picture_inputs(binding.source_image_component)
    texts = [] if binding.source_text_component is None else [binding.source_text_component]
    only = _only(binding) if copied and not texts else None

    def make(*values: Any) -> tuple[str, bytes | None, tuple[str, ...] | None]:
        pictures, rest = values[: len(inputs)], values[len(inputs) :]
        text = str(rest[0] or "") if texts else text_of(dict(zip(copied, rest, strict=True)))
        return text, picture(*pictures), only

    payload.send(binding.paste_button, binding.tabname, [*inputs, *(texts or [source[name] for name in copied])], make)


def _only(binding: Any) -> tuple[str, ...]:
    """Return the parameters that go with a picture from tab to tab."""
    if binding.paste_field_names:
        return tuple(name for name, label in COPIED.items() if label in binding.paste_field_names)
    settings = host().settings.snapshot().ui
    return (*USUALLY, *(("seed",) if settings.send_seed else ()))


def text_of(values: Mapping[str, Any]) -> str:
    """Write the values of controls as a parameters text."""
    if not values:
        return ""
    line = ", ".join(f"{COPIED[name]}: {value}" for name, value in values.items() if name not in USUALLY[:2])
    return f"{values.get('prompt', '')}\nNegative prompt: {values.get('negative_prompt', '')}\n{line}"


def _picture_inputs(component: Any) -> tuple[Callable[..., bytes | None], list[Any]]:
    """Return what makes a file of the values of some components, and those components."""
    import gradio as gr

    if component is None:
        return lambda: None, []
    if not isinstance(component, gr.Gallery):
        return as_file, [component]
    chosen = gr.State(0)

    def choose(event: gr.SelectData) -> int:
        """Remember which picture is selected."""
        return int(event.index)

    component.select(choose, None, [chosen], queue=False, show_progress="hidden", api_visibility="private")
    return lambda shown, at: as_file(shown[min(at, len(shown) - 1)] if shown else None), [component, chosen]


def as_file(value: Any) -> bytes | None:
    """Return a picture as a file: as it is where it is one, encoded otherwise; None for none."""
    if isinstance(value, tuple | list) and value:
        return as_file(value[0])
    if isinstance(value, Mapping):
        return as_file(value.get("image", value.get("composite", value.get("background"))))
    if isinstance(value, str) and not value.startswith("data:"):
        path = Path(value)
        return path.read_bytes() if path.is_file() else None
    if value is not None and hasattr(value, "shape"):
        value = Image.fromarray(value)  # pyright: ignore[reportArgumentType]
    picture = image_from_url_text(value)
    if picture is None:
        return None
    from PIL.PngImagePlugin import PngInfo

    data, told = io.BytesIO(), PngInfo()
    if isinstance(text := picture.info.get("parameters"), str):
        told.add_text("parameters", text)
    picture.save(data, "png", pnginfo=told)
    return data.getvalue()


def _connect_own(binding: Any, target: Mapping[str, Any]) -> None:
    """Connect a button with a tab of an extension."""
    picture, inputs = _picture_inputs(binding.source_image_component)
    texts = [one for one in (binding.source_text_component,) if one is not None]
    shown = [target["init_img"]] if target["init_img"] is not None and inputs else []
    fields: Sequence[Any] = target["fields"] if texts else ()

    def send(*values: Any) -> Any:
        pictures, rest = values[: len(inputs)], values[len(inputs) :]
        entries = parse_generation_parameters(str(rest[0] or "")) if rest else {}
        data = picture(*pictures)
        found = [None if data is None else Image.open(io.BytesIO(data))] if shown else []
        found += [_entry(component, key, entries) for component, key, *_ in fields]
        return found if len(found) != 1 else found[0]

    binding.paste_button.click(
        send, [*inputs, *texts], [*shown, *(one[0] for one in fields)], show_progress="hidden"
    ).then(None, None, None, js=f"() => window['switch_to_{binding.tabname}']?.()")


def _entry(component: Any, key: Any, entries: Mapping[str, Any]) -> Any:
    """Return what a parameters text changes of a component."""
    import gradio as gr

    from modules.compat.entrance import pasted_value

    value = pasted_value(component, key, entries)
    return gr.skip() if value is None else gr.update(value=value)
