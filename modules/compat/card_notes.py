"""`modules.ui_extra_networks_user_metadata`: what people write about the file of a card, kept beside it."""

import html
import json
from pathlib import Path
from typing import Any

from modules.files import atomic


class UserMetadataEditor:
    """Shows and changes the notes of a card. Pages of extensions derive their own from it.

    Args:
        ui: of the pages of cards.
        tabname: txt2img or img2img.
        page: whose cards they are; its `items` have a `filename` each.
    """

    def __init__(self, ui: Any, tabname: str, page: Any) -> None:
        self.ui, self.tabname, self.page = ui, tabname, page
        self.id_part = f"{tabname}_{getattr(page, 'extra_networks_tabname', page.name)}_edit_user_metadata"
        self.box: Any = None
        self.edit_name_input: Any = None
        self.button_edit: Any = None
        self.edit_name: Any = None
        self.edit_description: Any = None
        self.edit_notes: Any = None
        self.html_filedata: Any = None
        self.html_preview: Any = None
        self.html_status: Any = None
        self.button_cancel: Any = None
        self.button_save: Any = None

    def get_user_metadata(self, name: str) -> dict[str, Any]:
        """Return what was written about a card, with `description` filled in from the card itself."""
        item = self.page.items.get(name, {})
        found: dict[str, Any] = dict(item.get("user_metadata") or _read(_beside(item)))
        found.setdefault("description", item.get("description", ""))
        return found

    def write_user_metadata(self, name: str, metadata: dict[str, Any]) -> None:
        """Write everything about a card into the file beside it.

        Raises:
            KeyError: there is no such card.
        """
        atomic.write_json(_beside(self.page.items[name]), metadata)

    def save_user_metadata(self, name: str, desc: str, notes: str) -> None:
        """Write the description and the notes of a card."""
        known = self.get_user_metadata(name)
        self.write_user_metadata(name, {**known, "description": desc, "notes": notes})

    def get_metadata_table(self, name: str) -> list[tuple[str, str]]:
        """Return what is known of the file of a card, in lines."""
        file = Path(self.page.items.get(name, {}).get("filename") or "")
        if not file.is_file():
            return []
        return [("Filename:", file.name), ("File size:", f"{file.stat().st_size / 2**20:.1f} MiB")]

    def get_card_html(self, name: str) -> str:
        """Return the preview of a card as markup."""
        shown = self.page.items.get(name, {}).get("preview") or ""
        return f'<div class="card standalone-card-preview"><img src="{html.escape(shown)}" class="preview"></div>'

    def create_extra_default_items_in_left_column(self) -> None:
        """Build more controls under the description."""

    def create_default_editor_elems(self) -> None:
        """Build name, description, what is known of the file, and the preview."""
        import gradio as gr

        with gr.Row():
            with gr.Column(scale=2):
                self.edit_name = gr.HTML(elem_classes="extra-network-name")
                self.edit_description = gr.Textbox(label="Description", lines=4)
                self.html_filedata = gr.HTML()
                self.create_extra_default_items_in_left_column()
            with gr.Column(scale=1, min_width=0):
                self.html_preview = gr.HTML()

    def create_default_buttons(self) -> None:
        """Build the buttons below."""
        import gradio as gr

        with gr.Row(elem_classes="edit-user-metadata-buttons"):
            self.button_cancel = gr.Button("Cancel")
            self.button_save = gr.Button("Save", variant="primary")
        self.html_status = gr.HTML(elem_classes="edit-user-metadata-status")
        self.button_cancel.click(None, js="closePopup")

    def create_editor(self) -> None:
        """Build everything; extensions put more in between."""
        import gradio as gr

        self.create_default_editor_elems()
        self.edit_notes = gr.TextArea(label="Notes", lines=4)
        self.create_default_buttons()
        shown = [self.edit_name, self.edit_description, self.html_filedata, self.html_preview, self.edit_notes]
        self.button_edit.click(self.put_values_into_components, [self.edit_name_input], shown)
        self.setup_save_handler(self.button_save, self.save_user_metadata, [self.edit_description, self.edit_notes])

    def put_values_into_components(self, name: str) -> list[Any]:
        """Return what name, description, file, preview and notes show for a card."""
        known = self.get_user_metadata(name)
        lines = "".join(
            f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>"
            for key, value in self.get_metadata_table(name)
        )
        table = f"<table class='file-metadata'>{lines}</table>"
        return [html.escape(name), known.get("description", ""), table, self.get_card_html(name), known.get("notes", "")]  # fmt: skip

    def setup_save_handler(self, button: Any, func: Any, components: list[Any]) -> None:
        """Let a button save: it calls a function with the name of the card and the values of components."""
        button.click(func, [self.edit_name_input, *components], []).then(None, js="closePopup")

    def create_ui(self) -> None:
        """Build the box with the editor in it, hidden until a card asks for it."""
        import gradio as gr

        with gr.Column(visible=False, elem_id=self.id_part, elem_classes="edit-user-metadata") as self.box:
            self.edit_name_input = gr.Textbox(visible=False, elem_id=f"{self.id_part}_name")
            self.button_edit = gr.Button(visible=False, elem_id=f"{self.id_part}_button")
            self.create_editor()

    def setup_ui(self, gallery: Any) -> None:
        """Connect the editor with the gallery of results, from which previews are taken; cards do that by themselves."""


def _beside(item: Any) -> Path:
    return Path(item.get("filename") or "none").with_suffix(".json")


def _read(path: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
