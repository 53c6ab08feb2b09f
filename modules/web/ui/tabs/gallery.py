"""The buttons below a gallery: save, pack, show the folder."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from modules.domain.errors import InvalidRequest, WebuiError
from modules.domain.plan import Plan
from modules.domain.request import Generation
from modules.domain.result import Produced
from modules.engine.job import Owner
from modules.web.ui import html
from modules.web.ui.context import UiContext
from modules.web.ui.opening import open_folder
from modules.web.ui.results import Shown, error_line
from modules.web.ui.tabs.tab import QUIET, page_owner

Parts = Mapping[str, Any]
GONE = "this job is no longer remembered; its files are in the output folder"


def tools(context: UiContext, tab: str) -> Parts:
    """Build the buttons in the current row."""
    made: dict[str, Any] = {}
    if not context.remote and not context.hides_folders:
        made["open_folder"] = gr.Button("Folder", size="sm", min_width=60, elem_id=f"{tab}_open_folder")
    made["save"] = gr.Button("Save", size="sm", min_width=50, elem_id=f"save_{tab}")
    made["save_zip"] = gr.Button("Zip", size="sm", min_width=50, elem_id=f"save_zip_{tab}")
    made["picked"] = gr.Textbox(visible="hidden", elem_id=f"{tab}_picked")
    return made


def connect_tools(context: UiContext, tab: str, parts: Parts) -> None:
    """Connect the buttons. Which picture is meant is read off the page at the moment of the click."""

    def save(request: gr.Request, shown: Shown, picked: str, packed: bool) -> str:
        try:
            return kept(context, page_owner(request), shown, picked, packed=packed)
        except WebuiError as error:
            return error_line(type(error).__name__, str(error))

    def save_files(request: gr.Request, shown: Shown, picked: str) -> str:
        """Save the selected picture, or all."""
        return save(request, shown, picked, packed=False)

    def save_archive(request: gr.Request, shown: Shown, picked: str) -> str:
        """Save the selected picture, or all, and pack them."""
        return save(request, shown, picked, packed=True)

    def show_folder(request: gr.Request, shown: Shown, picked: str) -> str:
        """Show the folder of the selected picture."""
        try:
            found = pictures_of(context, page_owner(request), shown, picked, single=True) if shown.numbers else None
            selected = None if found is None else found[1][0]
            return html.element("p", f"Opened {open_folder(context, tab, selected)}", class_="note")
        except WebuiError as error:
            return error_line(type(error).__name__, str(error))

    js = f'(shown, picked) => [shown, window.webui.picked("{tab}")]'
    for name, run in (("save", save_files), ("save_zip", save_archive), ("open_folder", show_folder)):
        if name in parts:
            parts[name].click(run, [parts["shown"], parts["picked"]], [parts["log"]], js=js, **QUIET)


def kept(context: UiContext, owner: Owner, shown: Shown, picked: str, *, packed: bool) -> Markup:
    """Save pictures of a gallery, and say where they are."""
    settings = context.services.settings.snapshot()
    plan, pictures = pictures_of(context, owner, shown, picked, single=settings.saving.save_selected_only)
    saved = context.keeper.save(plan, pictures, settings, packed=packed)
    names = ", ".join(file.name for file in saved.files)
    said = html.element("p", f"Saved: {names}", class_="note")
    if saved.archive is None:
        return said
    numbers = ",".join(map(str, numbers_of(shown, picked, single=settings.saving.save_selected_only)))
    address = f"internal/ui/archives/{shown.job}/{numbers}/{quote(saved.archive.name)}"
    return said + html.element("p", html.element("a", saved.archive.name, href=address, download=saved.archive.name))


def numbers_of(shown: Shown, picked: str, *, single: bool) -> Sequence[int]:
    """Return the places, among the job's pictures, of those that are meant.

    Raises:
        InvalidRequest: there is no picture.
    """
    if not shown.numbers:
        raise InvalidRequest("there is no picture to save yet")
    if not single:
        return shown.numbers
    at = int(picked) if isinstance(picked, str) and picked.isascii() and picked.isdigit() and len(picked) < 6 else 0
    return [shown.numbers[min(at, len(shown.numbers) - 1)]]


def pictures_of(
    context: UiContext, owner: Owner, shown: Shown, picked: str, *, single: bool
) -> tuple[Plan | None, list[Produced]]:
    """Return the plan of a job, None where nothing was generated, and those of its pictures that are meant.

    Raises:
        InvalidRequest: there is none, or its job is no longer remembered.
    """
    numbers = numbers_of(shown, picked, single=single)
    handle = context.services.desk.find(shown.job)
    if handle is None or handle.job.owner.user != owner.user:
        raise InvalidRequest(GONE)
    images = handle.images()
    plan = handle.result().plan if isinstance(handle.job.payload, Generation) else None
    return plan, [images[number] for number in numbers]
