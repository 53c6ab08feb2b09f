"""The settings at the top of the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from modules.domain.errors import WebuiError
from modules.web.ui import html, settings_form
from modules.web.ui.choices import checkpoint_named
from modules.web.ui.context import UiContext
from modules.web.ui.controls import setting_control
from modules.web.ui.tabs.tab import QUIET, tool

MAX_QUICK = 20
"""Settings offered at the top of the page."""
CHECKPOINT = "sd_model_checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quick:
    """What is at the top of the page."""

    context: UiContext
    controls: Mapping[str, Any]
    """By the key of the setting."""
    reload: Any
    """A hidden button that our scripts press when settings were changed elsewhere."""

    def refresh(self, event: Any) -> None:
        """Let an event such as `button.click` show what holds now."""
        if self.controls:
            event(self._shown, None, list(self.controls.values()), **QUIET)

    def _shown(self) -> list[Any] | Any:
        updates = [_update(key, self.context) for key in self.controls]
        return updates if len(updates) != 1 else updates[0]


def quick_settings(context: UiContext) -> Quick:
    """Put the settings of `quicksettings_list` here; each is saved when it is changed."""
    snapshot = context.services.settings.snapshot()
    keys = dict.fromkeys(key for key in snapshot.ui.quicksettings_list if key in snapshot.declarations())
    made: dict[str, Any] = {}
    with gr.Row(elem_id="quicksettings", elem_classes=["quicksettings"]):
        for key in [key for key in keys if key not in context.hidden][:MAX_QUICK]:
            made[key] = setting_control(snapshot.declarations()[key], current(key, context), context.services)
            if key in REFRESHED:
                _refresh_button(context, key, made[key])
        reload = gr.Button("Reload quick settings", visible="hidden", elem_id="quicksettings_reload")
    for key, control in made.items():
        changed = control.release if isinstance(control, gr.Slider) else control.input
        change = partial(_set, context, key)
        changed(change, [control], None, preprocess=False, show_progress="hidden", api_visibility="private")
    quick = Quick(context=context, controls=made, reload=reload)
    quick.refresh(reload.click)
    return quick


REFRESHED: Mapping[str, str] = {CHECKPOINT: "refresh_checkpoints", "sd_vae": "refresh_vaes"}
"""Setting with files to choose from -> the service that looks for them."""


def _refresh_button(context: UiContext, key: str, selector: Any) -> None:
    def look_again() -> Any:
        """Look for files on disk."""
        getattr(context.services, REFRESHED[key])()
        return _update(key, context)

    tool("⟳", f"refresh_{key}").click(look_again, None, [selector], **QUIET)


def _set(context: UiContext, key: str, value: Any) -> None:
    """Change one setting from the top of the page."""
    try:
        refused: Mapping[str, str] = settings_form.save({key: value}, context)["refused"]
    except WebuiError as error:
        refused = {key: str(error)}
    for reason in refused.values():
        gr.Warning(html.text(reason), title="Not saved")


def _update(key: str, context: UiContext) -> Any:
    known = context.services.settings.snapshot().declarations()
    choices = settings_form.choices_of(known[key], context.services)
    value = current(key, context)
    return gr.update(value=value) if choices is None else gr.update(value=value, choices=choices)


def current(key: str, context: UiContext) -> Any:
    """Return the value of a setting as its control shows it; a checkpoint by its title."""
    value = context.services.settings.snapshot().flat()[key]
    if isinstance(value, tuple):
        return list(value)
    if key != CHECKPOINT:
        return value
    checkpoints = context.services.checkpoints()
    used = value or context.services.checkpoint_facts("").filename
    found = checkpoint_named(used, checkpoints)
    return found.title if found is not None else value
