"""Parameters texts: written for a `p`, read, and sent between parts of the page."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from modules.compat.host import current_job, host
from modules.imaging.infotext import infotext
from modules.imaging.infotext import quote as _quote
from modules.imaging.infotext_parse import parse_infotext
from modules.settings.infotext_keys import setting_of_infotext_key


def program_version() -> str:
    """Return what pictures carry under `Version`."""
    return host().workshop().version


def create_infotext(
    p: Any, all_prompts: Any, all_seeds: Any, all_subseeds: Any, comments: Any = None, iteration: int = 0,
    position_in_batch: int = 0, use_main_prompt: bool = False, index: int | None = None, all_negative_prompts: Any = None,
) -> str:  # fmt: skip
    """Describe a picture of a job.

    Raises:
        ModelError: the checkpoint that the job asks for cannot be found.
    """
    from dataclasses import replace

    from modules.compat import fold
    from modules.pipeline.plan import make_plan

    bound, job = host(), current_job()
    place = position_in_batch + iteration * p.batch_size if index is None else index
    own = job if job is not None and job.p is p else None
    settings = own.ctx.settings if own else bound.settings.snapshot()
    plan = own.plan if own and own.plan else make_plan(fold.request_of(p), settings, bound.workshop().shelf())
    first = plan.images[min(place, len(plan.images) - 1)]
    image = replace(
        first, prompt=_at(all_prompts, 0 if use_main_prompt else place, first.prompt),
        negative_prompt=_at(all_negative_prompts, 0 if use_main_prompt else place, first.negative_prompt),
        seed=int(_at(all_seeds, place, first.seed)), subseed=int(_at(all_subseeds, place, first.subseed)),
    )  # fmt: skip
    told = {key: value for key, value in (p.extra_generation_params or {}).items() if value is not None and not callable(value)}  # fmt: skip
    plan = replace(plan, infotext_extra={**plan.infotext_extra, **told})
    return infotext(plan, image, settings.infotext, version=bound.workshop().version)


def _at(values: Any, place: int, otherwise: Any) -> Any:
    if isinstance(values, str):
        return values
    return values[min(place, len(values) - 1)] if values else otherwise


def quote(text: Any) -> str:
    """Write a value so that its commas do not end it."""
    return _quote(text)


def unquote(text: str) -> str:
    """Read a value that may be quoted."""
    import json

    try:
        return json.loads(text) if text[:1] == text[-1:] == '"' else text
    except ValueError:
        return text


def parse_generation_parameters(x: str, skip_fields: list[str] | None = None) -> dict[str, Any]:
    """Read a parameters text.

    Raises:
        LimitExceeded: it is too long.
    """
    rules = host().settings.snapshot()
    skip = rules.infotext.infotext_skip_pasting if skip_fields is None else tuple(skip_fields)
    return dict(
        parse_infotext(
            x, styles=host().services().styles(), styles_mode=rules.infotext.infotext_styles, skip=skip,
            backcompat=rules.compatibility.auto_backcompat,
        )
    )  # fmt: skip


def create_override_settings_dict(text_pairs: list[str]) -> dict[str, Any]:
    """Read texts such as `Clip skip: 2`; unknown ones are left out."""
    current, found = host().settings.snapshot(), dict[str, Any]()
    for pair in text_pairs:
        label, _, value = pair.partition(":")
        key = setting_of_infotext_key(label.strip(), current)
        if key is not None:
            found[key] = host().options.cast_value(key, value.strip())
    return found


def get_override_settings(params: dict[str, Any], *, skip_fields: Any = None) -> list[tuple[str, str, Any]]:
    """Return the settings that a parameters text asks for and that are others now: label, key, value."""
    current, found = host().settings.snapshot(), list[tuple[str, str, Any]]()
    for label, value in params.items():
        key = setting_of_infotext_key(label, current)
        if key is None or (skip_fields and label in skip_fields):
            continue
        typed = host().options.cast_value(key, value)
        if typed != host().options.value(key):
            found.append((label, key, typed))
    return found


def image_from_url_text(filedata: Any) -> Image.Image | None:
    """Return a picture from what a gallery sends: a list, a record, a data address or a path."""
    from modules.compat.results import opened

    if isinstance(filedata, list | tuple):
        return image_from_url_text(filedata[0]) if filedata else None
    if isinstance(filedata, dict):
        inner = filedata.get("image") or filedata
        return image_from_url_text(inner.get("path") or inner.get("name") or inner.get("url") or inner.get("data"))
    if isinstance(filedata, Image.Image) or filedata is None:
        return filedata
    if filedata.startswith("data:"):
        return opened(base64.b64decode(filedata.partition(",")[2]))
    path = Path(filedata.partition("?")[0].partition("file=")[2] or filedata)
    return opened(io.BytesIO(path.read_bytes()).getvalue()) if path.is_file() else None


@dataclass
class ParamBinding:
    """A button that applies a parameters text or sends a picture."""

    paste_button: Any
    tabname: str
    source_text_component: Any = None
    source_image_component: Any = None
    source_tabname: str | None = None
    override_settings_component: Any = None
    paste_field_names: list[str] | None = None


class PasteField(tuple[Any, Any]):
    """A component, and the key of a parameters text that fills it or a function that says how."""

    def __new__(cls, component: Any, target: Any, *, api: str | None = None) -> "PasteField":
        """Make one."""
        return super().__new__(cls, (component, target))

    def __init__(self, component: Any, target: Any, *, api: str | None = None) -> None:
        self.component, self.api = component, api
        self.label = target if isinstance(target, str) else None
        self.function = target if callable(target) else None


def create_buttons(tabs_list: list[str]) -> dict[str, Any]:
    """Make a button for each tab."""
    import gradio as gr

    return {tab: gr.Button(f"Send to {tab}", elem_id=f"{tab}_tab") for tab in tabs_list}


def register_paste_params_button(binding: ParamBinding) -> None:
    """Have a button connected when the page is complete."""
    host().bindings.append(binding)


def bind_buttons(buttons: dict[str, Any], send_image: Any, send_generate_info: Any) -> None:
    """Have the buttons of `create_buttons` connected when the page is complete."""
    for tab, button in buttons.items():
        text = send_generate_info if not isinstance(send_generate_info, str) else None
        source = send_generate_info if isinstance(send_generate_info, str) else None
        register_paste_params_button(
            ParamBinding(
                paste_button=button, tabname=tab, source_text_component=text, source_image_component=send_image,
                source_tabname=source,
            )
        )  # fmt: skip


def connect_paste_params_buttons() -> None:
    """Connect the buttons that wait; the page does so by itself when it is complete."""


def bindings() -> list[Any]:
    """Return the buttons that wait."""
    return host().bindings
