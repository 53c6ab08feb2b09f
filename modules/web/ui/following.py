"""Controls follow the checkpoint: its own size, what suits it, and what somebody saved for it."""

import json
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import gradio as gr

from modules.domain.errors import WebuiError
from modules.web.services import CheckpointFacts
from modules.web.ui import html
from modules.web.ui.choices import lists_of
from modules.web.ui.context import UiContext
from modules.web.ui.quick import CHECKPOINT, Quick, current
from modules.web.ui.suggestions import NAMES, suggest
from modules.web.ui.tabs.tab import QUIET, Made
from modules.web.ui.values import DEPTH_MAP, IMG2IMG, parameters

Tabs = Mapping[str, Made]
OF_VARIANT: Mapping[str, str] = MappingProxyType({"pix2pix": "image_cfg_scale", "unclip": "noise", "depth": DEPTH_MAP})
"""Variants of models -> the control of img2img that only they use."""


def connect_following(context: UiContext, page: gr.Blocks, quick: Quick, tabs: Tabs) -> None:
    """Let the controls of tabs follow the checkpoint, as long as nobody typed other values into them.

    The server tells what suits a checkpoint; the page puts it where it may. It alone knows the values of that very
    moment: an answer of the server would overwrite what was typed while it was on its way.

    Args:
        context: what the page works with.
        page: its load is the first time that there is a checkpoint.
        quick: may have the selector.
        tabs: whose controls follow.
    """
    told = gr.Textbox(visible="hidden", elem_id="checkpoint_facts")
    defaults = {tab: {name: made.controls[name].value for name in NAMES} for tab, made in tabs.items()}
    own = {variant: tabs[IMG2IMG].controls[name] for variant, name in OF_VARIANT.items()}
    notes = [made.parts["preset_note"] for made in tabs.values()]

    def tell(title: str | None = None) -> list[Any]:
        """Tell what suits the checkpoint in use, or one that was just chosen."""
        name = str(current(CHECKPOINT, context) if title is None else title)
        facts = context.services.checkpoint_facts(name)
        shown = [gr.update(visible=facts.variant == variant) for variant in own]
        presets = _presets(context, facts, tabs)
        return [describe(context, facts, presets, defaults), *shown, *(_note(facts, tab in presets) for tab in tabs)]

    outputs = [told, *own.values(), *notes]
    events = [page.load(tell, None, outputs, **QUIET), quick.reload.click(tell, None, outputs, **QUIET)]
    if CHECKPOINT in quick.controls:
        selector = quick.controls[CHECKPOINT]
        events.append(selector.change(tell, [selector], outputs, trigger_mode="always_last", **QUIET))
    for event in events:
        for tab, made in tabs.items():
            controls = [made.controls[name] for name in NAMES]
            follow = f'(told, ...values) => window.webui.follow("{tab}", told, values)'
            event.then(None, [told, *controls], controls, js=follow, **QUIET)
    for tab, made in tabs.items():
        _connect_preset(context, tab, made)


def describe(
    context: UiContext, facts: CheckpointFacts, presets: Mapping[str, Any], defaults: Mapping[str, Any]
) -> str:
    """Write what `assets/follow.js` reads: the names of controls and their values by tab."""
    settings = context.services.settings.snapshot().ui
    offered = _offered(suggest(facts), context) if settings.model_defaults else {}
    # What the owner wrote into ui-config.json is a wish, what a control begins with by itself is not.
    suggested = {
        tab: {name: value for name, value in offered.items() if own[name] == parameters(tab)[name].default}
        for tab, own in defaults.items()
    }
    wanted = defaults if settings.model_defaults else {tab: {} for tab in defaults}
    told = {
        "title": facts.name, "names": NAMES, "defaults": defaults, "wanted": wanted, "suggested": suggested,
        "presets": presets,
    }  # fmt: skip
    return json.dumps(told)


def _offered(suggested: Mapping[str, Any], context: UiContext) -> dict[str, Any]:
    """Leave out what drop-downs do not offer, such as a sampler that the owner hides."""
    lists = lists_of(context.services)
    offered = {"sampler_name": lists["samplers"], "scheduler": lists["schedulers"]}
    return {name: value for name, value in suggested.items() if name not in offered or value in offered[name]}


def _presets(context: UiContext, facts: CheckpointFacts, tabs: Tabs) -> dict[str, Any]:
    if not context.services.settings.snapshot().ui.model_presets:
        return {}
    found = {tab: context.presets.get(facts.name, tab) for tab in tabs}
    return {tab: dict(values) for tab, values in found.items() if values is not None}


def _note(facts: CheckpointFacts, is_saved: bool) -> str:
    if not is_saved:
        return ""
    return html.element("span", "Values saved for ") + html.element("strong", facts.name)


def _connect_preset(context: UiContext, tab: str, made: Made) -> None:
    """Connect the buttons that save and forget what belongs to the checkpoint in use."""
    note, controls = made.parts["preset_note"], [made.controls[name] for name in NAMES]

    def facts() -> CheckpointFacts:
        return context.services.checkpoint_facts(str(current(CHECKPOINT, context) or ""))

    def attempt(change: Any, *values: Any) -> str:
        """Change the presets, and say what is kept now or what went wrong."""
        found = facts()
        try:
            change(found.name, *values)
        except WebuiError as error:
            gr.Warning(html.text(error), title="Not saved")
        return _note(found, context.presets.get(found.name, tab) is not None)

    def save(*values: Any) -> str:
        """Keep the values of this moment for the checkpoint in use."""
        kept: dict[str, Any] = dict(zip(NAMES, values, strict=True))
        return attempt(partial(context.presets.save, tab=tab, values=kept))

    def forget() -> str:
        """Remove what is kept for the checkpoint in use."""
        return attempt(partial(context.presets.forget, tab=tab))

    loud = {**QUIET, "queue": True}
    made.parts["preset_save"].click(save, controls, [note], preprocess=False, **loud)
    made.parts["preset_forget"].click(forget, None, [note], **loud)
