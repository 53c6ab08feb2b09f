"""Checkpoints made of others."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component
from markupsafe import Markup
from pydantic import ValidationError

from modules.domain.errors import InvalidRequest, WebuiError
from modules.domain.merge import (
    ADD_DIFFERENCE,
    CONFIG_SOURCES,
    METHODS,
    NO_INTERPOLATION,
    NO_MODEL,
    WEIGHTED_SUM,
    Merged,
    MergeRequest,
)
from modules.domain.param import walk_params
from modules.engine.job import JobHandle, JobState
from modules.library.header import read_safetensors_header
from modules.library.sidecars import shown_metadata
from modules.training.merge.recipe import copied_metadata
from modules.web.rest.merge import FIELDS, KIND, merge_model, request_of
from modules.web.services import CheckpointInfo, Services
from modules.web.ui import html, results
from modules.web.ui.choices import checkpoint_lists, checkpoint_named
from modules.web.ui.context import UiContext
from modules.web.ui.controls import parameter_control
from modules.web.ui.results import error_line, log_of, time_taken
from modules.web.ui.tabs.generation import PROGRESS
from modules.web.ui.tabs.tab import QUIET, Made, Tab, page_owner, tool

DESCRIPTIONS: Mapping[str, str] = MappingProxyType({
    NO_INTERPOLATION: "Model A alone is written again: to change its precision, bake in a VAE or discard weights.",
    WEIGHTED_SUM: "Models A and B are mixed. The result is A * (1 - M) + B * M.",
    ADD_DIFFERENCE: "What B has learned beyond C is added to A. The result is A + (B - C) * M.",
})  # fmt: skip
ITEMS = MappingProxyType({item.name: item for item in walk_params(MergeRequest)})


def build(context: UiContext, made: Mapping[str, Made]) -> Made:
    """Build the tab."""
    with gr.Row(elem_classes=["workspace"]):
        with gr.Column(elem_id="modelmerger_settings", elem_classes=["settings-column"], min_width=320):
            controls, parts = _models(context.services)
            _recipe(context.services, controls)
            parts |= _metadata(controls)
        with gr.Column(elem_id="modelmerger_results_container", elem_classes=["results-column"], min_width=320):
            parts |= _results()
    _connect_choices(context, controls, parts)
    _connect_merge(context, controls, parts)
    _connect_results(context, controls, parts, made)
    return Made(controls=controls, parts=parts)


def _models(services: Services) -> tuple[dict[str, Component], dict[str, Any]]:
    """Build what is merged and how."""
    controls, parts = dict[str, Component](), dict[str, Any]()
    parts["description"] = gr.HTML(describe(WEIGHTED_SUM), elem_id="modelmerger_interp_description")
    with gr.Column(elem_id="modelmerger_models"):
        for field, letter in zip(FIELDS, "ABC", strict=True):
            with gr.Row(elem_classes=["copy-row"]):
                about = ITEMS[field].param
                controls[field] = gr.Dropdown(
                    choices=_titles(services), value=None, label=about.label, elem_id=about.elem_id, scale=6
                )
                parts[f"refresh_{letter}"] = tool("⟳", f"refresh_checkpoint_{letter}")
    controls["custom_name"] = _control("custom_name")
    controls["multiplier"] = _control("multiplier")
    controls["interp_method"] = _radio("interp_method", METHODS)
    return controls, parts


def _recipe(services: Services, controls: dict[str, Component]) -> None:
    """Build what the file of the result is like."""
    with gr.Row():
        # ckpt files are read and never written, so there is nothing to choose; scripts look for the element.
        controls["checkpoint_format"] = _radio("checkpoint_format", ["safetensors"])
        controls["precision"] = _control("precision", info="What the result is stored in")
        controls["save_as_half"] = gr.Checkbox(label="Save as float16", elem_id="modelmerger_save_as_half")
    with gr.Row():
        choices = [(word, number) for number, word in enumerate(CONFIG_SOURCES)]
        controls["config_source"] = _radio("config_source", choices)
    with gr.Row(elem_classes=["copy-row"]):
        controls["bake_in_vae"] = gr.Dropdown(
            choices=_vaes(services), value=NO_MODEL, label=ITEMS["bake_in_vae"].param.label,
            elem_id=ITEMS["bake_in_vae"].param.elem_id, scale=6,
        )  # fmt: skip
        controls["refresh_vae"] = tool("⟳", "modelmerger_refresh_bake_in_vae")
    controls["discard_weights"] = _control("discard_weights", info="Regular expression")


def _metadata(controls: dict[str, Component]) -> dict[str, Any]:
    """Build what the result says about itself."""
    with gr.Accordion("Metadata", open=False, elem_id="modelmerger_metadata_editor"):
        with gr.Row():
            for name in ("save_metadata", "add_merge_recipe", "copy_metadata_fields"):
                controls[name] = _control(name)
        controls["metadata_json"] = _control("metadata_json", lines=4, max_lines=20)
        read = gr.Button("Read metadata from selected checkpoints", elem_id="modelmerger_read_metadata")
    return {"read_metadata": read}


def _results() -> dict[str, Any]:
    with gr.Row(elem_id="modelmerger_generate_box", elem_classes=["generate-box"]):
        merge = gr.Button("Merge", variant="primary", elem_id="modelmerger_merge")
        interrupt = gr.Button("Interrupt", elem_id="modelmerger_interrupt", elem_classes=["while-running"], min_width=0)
    gr.HTML(PROGRESS, elem_id="modelmerger_progress", elem_classes=["progress"], apply_default_css=False)
    with gr.Column(elem_id="modelmerger_results_panel", elem_classes=["results-panel"]):
        result = gr.HTML("", elem_id="modelmerger_result")
        log = gr.HTML("", elem_id=f"html_log_{KIND}", elem_classes=["html-log"])
    return {
        "merge": merge, "interrupt": interrupt, "result": result, "log": log,
        "job": gr.Textbox(visible="hidden", elem_id="modelmerger_job"),
        "show_request": gr.Textbox(visible="hidden", elem_id="modelmerger_show_request"),
        "show": gr.Button("Show", visible="hidden", elem_id="modelmerger_show"),
    }  # fmt: skip


def _control(name: str, **more: Any) -> Component:
    return parameter_control(ITEMS[name], KIND, {}, **more)


def _radio(name: str, choices: Sequence[Any]) -> Component:
    item = ITEMS[name]
    return gr.Radio(list(choices), value=item.default, label=item.param.label, elem_id=item.param.elem_id)


def _titles(services: Services) -> list[str]:
    return [NO_MODEL, *(one.title for one in services.checkpoints())]


def offered(chosen: Sequence[str | None], services: Services) -> list[Any]:
    """Offer the checkpoints of this moment; what was chosen stays, under the title that it has now."""
    found = [_named(title, services) for title in chosen]
    return [gr.update(choices=_titles(services), value=one.title if one else None) for one in found]


def _named(title: str | None, services: Services) -> CheckpointInfo | None:
    """Find a checkpoint by a title that the page got before its hash was known."""
    known, name = services.checkpoints(), (title or "").partition(" [")[0]
    exact = checkpoint_named(title, known) if title else None
    return exact or next((one for one in known if one.title.partition(" [")[0] == name), None)


def connect_lists(context: UiContext, event: Any, made: Made) -> None:
    """Offer the checkpoints of this moment when the page is loaded: `page.load` is the event."""
    models = [made.controls[field] for field in FIELDS]
    # No values: somebody may have chosen a model before the answer comes.
    event(lambda: [gr.update(choices=_titles(context.services)) for _ in models], None, models, **QUIET)


def _vaes(services: Services) -> list[str]:
    return [NO_MODEL, *(one.model_name for one in services.vaes())]


def describe(method: str) -> Markup:
    """Say what a method does."""
    return html.element("p", DESCRIPTIONS.get(method, ""), class_="note")


def _connect_choices(context: UiContext, controls: dict[str, Component], parts: Mapping[str, Any]) -> None:
    services, models = context.services, [controls[field] for field in FIELDS]
    refresh_vae: Any = controls.pop("refresh_vae")

    def look_again(*chosen: str | None) -> list[Any]:
        """Look for checkpoints on disk."""
        services.refresh_checkpoints()
        return offered(chosen, services)

    def look_for_vaes() -> Any:
        """Look for VAE files on disk."""
        services.refresh_vaes()
        return gr.update(choices=_vaes(services))

    for letter in "ABC":
        parts[f"refresh_{letter}"].click(look_again, models, models, preprocess=False, **QUIET)
    refresh_vae.click(look_for_vaes, None, [controls["bake_in_vae"]], **QUIET)
    method: Any = controls["interp_method"]
    method.change(describe, [method], [parts["description"]], **QUIET)

    def read(*titles: str | None) -> tuple[Any, Markup]:
        """Show what the chosen models say about themselves."""
        try:
            return json.dumps(metadata_of(titles, services), indent=4, ensure_ascii=False), Markup("")
        except WebuiError as error:
            return gr.skip(), error_line(type(error).__name__, str(error))

    parts["read_metadata"].click(read, models, [controls["metadata_json"], parts["log"]], preprocess=False, **QUIET)


def metadata_of(titles: Sequence[str | None], services: Services) -> dict[str, Any]:
    """Return the metadata of the models with these titles, A before B before C where they differ.

    Raises:
        BrokenFile: a file cannot be read.
    """
    chosen = [_named(title, services) for title in titles]
    paths = [Path(one.filename) for one in chosen if one is not None]
    headers = [read_safetensors_header(path) for path in paths if path.suffix == ".safetensors"]
    return shown_metadata(copied_metadata([header.metadata for header in headers]))


def _connect_merge(context: UiContext, controls: Mapping[str, Component], parts: Mapping[str, Any]) -> None:
    names = list(controls)

    def submit(request: gr.Request, *sent: Any) -> tuple[str, Markup]:
        """Queue the merge; answer with the id of the job."""
        try:
            wanted = request_of(checked(dict(zip(names, sent, strict=False))), context.services)
            return context.services.desk.accept(wanted, page_owner(request), kind=KIND).id, Markup("")
        except WebuiError as error:
            gr.Warning(html.text(error), title="Not accepted")
            return "", error_line(type(error).__name__, str(error))

    parts["merge"].click(
        submit, list(controls.values()), [parts["job"], parts["log"]], preprocess=False, show_progress="hidden",
        api_visibility="private", concurrency_limit=None,
    ).then(None, [parts["job"]], None, js=f'(id) => window.webui.accepted("{KIND}", id)', **QUIET)  # fmt: skip
    parts["interrupt"].click(None, None, None, js=f'() => window.webui.interrupt("{KIND}")', **QUIET)


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check the types of what the page sent.

    Raises:
        InvalidRequest: names the first field at fault.
    """
    try:
        return merge_model().model_validate(dict(values)).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(str(first["msg"]), field=str(first["loc"][0])) from None


def _connect_results(
    context: UiContext, controls: Mapping[str, Component], parts: Mapping[str, Any], made: Mapping[str, Made]
) -> None:
    """Show how a merge ended, and offer its result wherever checkpoints are chosen."""
    services, models = context.services, [controls[field] for field in FIELDS]
    selectors = [
        (name, tab.controls[name])
        for tab in made.values()
        for name in checkpoint_lists(services)
        if name in tab.controls
    ]

    def show_job(request: gr.Request, asked: str, *chosen: str | None) -> tuple[Any, ...]:
        """Say how a merge ended."""
        try:
            handle = services.desk.find(results.request_of(asked)["job"])
            if handle is None or handle.job.owner.user != page_owner(request).user:
                result, log = Markup(""), error_line("Gone", "this job is no longer remembered; its file remains")
            else:
                result, log = told(handle)
        except WebuiError as error:
            result, log = Markup(""), error_line(type(error).__name__, str(error))
        lists = checkpoint_lists(services)
        return (
            result, log, *offered(chosen, services),
            *(gr.update(choices=lists[name]) for name, _ in selectors),
        )  # fmt: skip

    parts["show"].click(
        show_job, [parts["show_request"], *models],
        [parts["result"], parts["log"], *models, *(control for _, control in selectors)], preprocess=False,
        trigger_mode="multiple", js=f'(_, ...chosen) => [window.webui.wanted("{KIND}"), ...chosen]', **QUIET,
    ).then(None, None, None, js="() => window.webui.settingsChanged()", **QUIET)  # fmt: skip


def told(handle: JobHandle) -> tuple[Markup, Markup]:
    """Return what a merge left and how it ended."""
    if handle.state in (JobState.FAILED, JobState.NOT_RUN):
        return Markup(""), log_of(handle)
    merged = handle.result_as(Merged)
    taken = html.element("p", time_taken((handle.ended_at or 0) - (handle.started_at or 0)), class_="performance")
    if merged.path is None:
        return Markup(""), html.element("p", "Interrupted; nothing was written.", class_="note") + taken
    notes = Markup("").join(html.element("p", note, class_="note") for note in merged.notes)
    return html.element("p", f"Checkpoint saved as {merged.path.name}"), taken + notes


TAB = Tab(id=KIND, label="Checkpoint Merger", build=build)
