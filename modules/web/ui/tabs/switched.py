"""An accordion that is also a switch."""

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from modules.web.ui.controls import Controls
from modules.web.ui.tabs.tab import QUIET


@contextmanager
def switched(
    controls: Controls, switch: str, label: str, elem_id: str, note_id: str | None = None, *, on: bool = False
) -> Iterator[gr.HTML | None]:
    """Build an accordion that is on while it is open; its box also turns it on or off by itself.

    Args:
        controls: the box is counted among them.
        switch: name of the box.
        label: of the accordion.
        elem_id: of the accordion; its box has `-checkbox` at the end.
        note_id: of a note in its header; None makes none.
        on: whether it begins switched on.

    Yields:
        The note.
    """
    with gr.Column(elem_classes=["switched"]):
        box = gr.Checkbox(on, label=f"Use {label}", elem_id=f"{elem_id}-checkbox", container=False, min_width=0)
        controls.keep(switch, box)
        note = gr.HTML("", elem_id=note_id, elem_classes=["size-note"]) if note_id else None
        with gr.Accordion(label, open=on, elem_id=elem_id) as accordion:
            yield note
    accordion.expand(None, None, [box], js="() => true", **QUIET)
    accordion.collapse(None, None, [box], js="() => false", **QUIET)
    box.change(lambda wanted: gr.update(open=wanted), [box], [accordion], **QUIET)
