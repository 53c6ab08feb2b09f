"""What happens when somebody uses the Extras tab."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from modules.domain.errors import InvalidRequest, WebuiError
from modules.domain.extras import KIND, ExtrasRequest, NamedPicture
from modules.domain.request import ImageRef
from modules.extending.script import ENABLED
from modules.pipeline.extras.builtin import factor_in
from modules.web.ui import drawings, html
from modules.web.ui.context import UiContext
from modules.web.ui.controls import Controls
from modules.web.ui.results import error_line
from modules.web.ui.sending import uploaded_folder
from modules.web.ui.tabs.gallery import connect_tools
from modules.web.ui.tabs.generation_events import Parts, connect_results
from modules.web.ui.tabs.img2img_events import limits_of
from modules.web.ui.tabs.tab import QUIET, page_owner

SINGLE, FILES, FOLDER = "single", "files", "folder"
"""Ids of the inner tabs."""


def connect_extras(context: UiContext, controls: Controls, parts: Parts) -> None:
    """Connect the tab."""
    for name in (SINGLE, FILES, FOLDER):
        parts[f"tab_{name}"].select(None, None, [parts["mode"]], js=f"() => '{name}'", **QUIET)
    for name in ("interrupt", "skip"):
        parts[name].click(None, None, None, js=f'() => window.webui.{name}("{KIND}")', **QUIET)
    parts["image"].change(context.services.steps.picture_changed, None, None, **QUIET)
    if "upscale_mode" in parts:
        _connect_upscale(context, parts)
    _connect_generate(context, controls, parts)
    connect_results(context, KIND, parts)
    connect_tools(context, KIND, parts)


def _connect_upscale(context: UiContext, parts: Parts) -> None:
    for number, name in enumerate(("by_factor", "to_size")):
        parts[name].select(None, None, [parts["upscale_mode"]], js=f"() => {number}", **QUIET)
    parts["swap"].click(None, parts["sides"], parts["sides"], js="(width, height) => [height, width]", **QUIET)

    def follow(name: str) -> Any:
        """Take the factor from the name of an upscaler, if the settings want that."""
        wanted = context.services.settings.snapshot().upscaling.set_scale_by_when_changing_upscaler
        found = factor_in(str(name)) if wanted else None
        return gr.skip() if found is None else float(found)

    parts["upscaler_1"].input(follow, [parts["upscaler_1"]], [parts["upscale_by"]], **QUIET)


def _connect_generate(context: UiContext, controls: Controls, parts: Parts) -> None:
    names, inputs = list(controls.made), list(controls.made.values())
    given = [parts[name] for name in ("mode", "image", "files", "input", "output", "show_results")]

    def submit(request: gr.Request, *sent: Any) -> tuple[str, str]:
        """Queue what the tab asks for; answer with the id of the job."""
        try:
            values = by_step(dict(zip(names, sent[len(given) :], strict=False)))
            wanted = request_of(context, sent[: len(given)], values)
            return context.services.desk.accept(wanted, page_owner(request), kind=KIND).id, ""
        except WebuiError as error:
            gr.Warning(html.text(error), title="Not accepted")
            return "", error_line(type(error).__name__, str(error))

    # Steps of extensions have controls of any kind, so gradio turns what the page sends into values.
    parts["generate"].click(
        submit, [*given, *inputs], [parts["job"], parts["log"]], show_progress="hidden", api_visibility="private",
        concurrency_limit=None,
    ).then(None, [parts["job"]], None, js=f'(id) => window.webui.accepted("{KIND}", id)', **QUIET)  # fmt: skip


def by_step(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return id of a step -> values by name, for the steps that are switched on."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        step, _, parameter = name.partition("/")
        found.setdefault(step, {})[parameter] = value
    return {step: given for step, given in found.items() if given.get(ENABLED, True)}


def request_of(context: UiContext, given: Sequence[Any], values: Mapping[str, Mapping[str, Any]]) -> ExtrasRequest:
    """Make a request of what the tab holds.

    Args:
        context: of the page.
        given: the inner tab in front, its picture, files, folders, and whether results are shown.
        values: id of a step -> values by name.

    Raises:
        InvalidRequest: there is no picture, or a value cannot be used.
    """
    mode, image, files, folder, output, show = given
    steps = context.services.steps.read(values)
    if mode == FOLDER:
        if not str(folder or "").strip():
            raise InvalidRequest("name the folder of the pictures", field="input")
        return ExtrasRequest(folder=folder.strip(), output=str(output or "").strip(), steps=steps, show=bool(show))
    if mode == FILES:
        uploads = [{"path": str(one), "orig_name": Path(one).name} for one in files or ()]
        if not uploads:
            raise InvalidRequest(drawings.NO_PICTURE, field="image")
        return ExtrasRequest(folder=str(uploaded_folder(uploads, context.temp, context.uploads)), steps=steps)
    if image is None:
        raise InvalidRequest(drawings.NO_PICTURE, field="image")
    data = drawings.given(Path(image).read_bytes(), limits_of(context))
    return ExtrasRequest(pictures=(NamedPicture(image=ImageRef.of(data), name=Path(image).stem),), steps=steps)
