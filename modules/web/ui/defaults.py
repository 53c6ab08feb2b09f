"""What controls begin with: shows how the values of this moment differ from that, and makes them the new beginning."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from modules.domain.errors import StorageFault
from modules.web.ui import html
from modules.web.ui.results import error_line
from modules.web.ui.tabs.tab import QUIET, Made
from modules.web.ui.ui_config import UiConfig

SAME = "Every control of this tab holds what it begins with."


def defaults_panel(config: UiConfig, tabs: Mapping[str, Made]) -> None:
    """Build the panel here and connect it.

    Args:
        config: what controls begin with.
        tabs: whose controls are covered.
    """
    with gr.Accordion("Defaults", open=False, elem_id="settings_defaults"):
        gr.HTML(
            "<p class='note'>Values and ranges that controls begin with are kept in ui-config.json in the data folder; "
            "a line deleted there is the program's own again. They hold when the page is built anew: Reload UI.</p>",
            apply_default_css=False,
        )
        with gr.Row():
            view = gr.Button("View changes", size="sm", elem_id="ui_defaults_view")
            apply = gr.Button("Apply", size="sm", variant="primary", elem_id="ui_defaults_apply")
        for tab, made in tabs.items():
            shown = gr.HTML("", elem_id=f"ui_defaults_review_{tab}")
            _connect(config, tab, made, view, apply, shown)


def _connect(config: UiConfig, tab: str, made: Made, view: Any, apply: Any, shown: Any) -> None:
    controls, inputs = made.controls, list(made.controls.values())

    def review(*values: Any) -> str:
        """Show what differs."""
        return table(tab, config.changes(tab, controls, values))

    def keep(*values: Any) -> str:
        """Make the values of this moment what controls begin with."""
        changes = config.changes(tab, controls, values)
        try:
            config.write({path: new for path, (_, new) in changes.items()})
        except StorageFault as error:
            return error_line(type(error).__name__, str(error))
        return html.element("p", f"{tab}: {len(changes)} defaults changed.", class_="note")

    for button, run in ((view, review), (apply, keep)):
        button.click(run, inputs, [shown], preprocess=False, **QUIET)


def table(tab: str, changes: Mapping[str, tuple[Any, Any]]) -> str:
    """Write a table of what differs."""
    if not changes:
        return html.element("p", f"{tab}: {SAME}", class_="note")
    head = html.element("tr", *(html.element("th", word) for word in ("Control", "Begins with", "Now")))
    rows = [
        html.element("tr", *(html.element("td", str(cell)) for cell in (path.removesuffix("/value"), old, new)))
        for path, (old, new) in changes.items()
    ]
    return html.element("table", head, *rows)
