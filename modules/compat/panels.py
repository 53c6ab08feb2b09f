"""`modules.ui` and `modules.ui_common`: parts of the page that extensions build."""

import html
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules.compat.host import host
from modules.compat.launching import COMPATIBLE_TAG


def gr_show(visible: bool = True) -> dict[str, Any]:
    """Return what shows or hides a component."""
    return {"visible": visible, "__type__": "update"}


def plaintext_to_html(text: str, classname: str | None = None) -> str:
    """Return text as markup, line by line."""
    lines = "<br>\n".join(html.escape(line) for line in str(text).split("\n"))
    return f'<p class="{html.escape(classname)}">{lines}</p>' if classname else f"<p>{lines}</p>"


def versions_html() -> str:
    """Return the line with versions below the page."""
    import platform

    import gradio

    return f"version: {COMPATIBLE_TAG} &#x2000;•&#x2000; python: {platform.python_version()} &#x2000;•&#x2000; gradio: {gradio.__version__}"  # fmt: skip


def create_refresh_button(refresh_component: Any, refresh_method: Callable[[], None], refreshed_args: Any, elem_id: str) -> Any:  # fmt: skip
    """Build a small button that fills a list again."""
    import gradio as gr

    from modules.compat.components import ToolButton

    components = refresh_component if isinstance(refresh_component, list) else [refresh_component]
    label = next((one.label for one in components if getattr(one, "label", None)), "")

    def refresh() -> Any:
        refresh_method()
        found: Any = refreshed_args() if callable(refreshed_args) else refreshed_args
        known: dict[str, Any] = found or {}
        updates = [gr.update(**known) for _ in components]
        return updates if len(updates) > 1 else updates[0]

    button = ToolButton("\U0001f504", elem_id=elem_id, tooltip=f"{label}: refresh" if label else "Refresh")
    button.click(fn=refresh, inputs=[], outputs=components)
    return button


def update_generation_info(generation_info: str, html_info: str, img_index: int) -> tuple[str, Any]:
    """Return the words below a gallery for the picture that is chosen."""
    import gradio as gr

    try:
        texts = json.loads(generation_info)["infotexts"]
        return plaintext_to_html(texts[img_index]), gr.update()
    except (ValueError, KeyError, IndexError, TypeError):
        return html_info, gr.update()


def setup_dialog(button_show: Any, dialog: Any, *, button_close: Any = None) -> None:
    """Connect a button with what it shows."""
    button_show.click(fn=lambda: gr_show(True), inputs=[], outputs=[dialog])
    if button_close is not None:
        button_close.click(fn=lambda: gr_show(False), inputs=[], outputs=[dialog])


def save_files(js_data: str, images: Any, do_make_zip: bool, index: int) -> tuple[Any, str]:
    """Write pictures of a gallery to the folder of saved ones.

    Returns:
        What changes the list of files, and words for the log.
    """
    import gradio as gr

    from modules.compat.infotexts import image_from_url_text
    from modules.compat.pictures import save_image

    told = json.loads(js_data) if js_data else {}
    texts, folder = told.get("infotexts", []), str(host().layout.saved_images)
    chosen = [(index, images[index])] if index is not None and index > -1 else list(enumerate(images))
    made: list[str] = []
    for place, one in chosen:
        image = image_from_url_text(one)
        if image is not None:
            path, _ = save_image(image, folder, "", extension=host().options.samples_format, info=texts[place] if place < len(texts) else None)  # fmt: skip
            made.append(str(path))
    if do_make_zip and made:
        made.insert(0, _packed(made))
    return gr.update(value=made, visible=True), plaintext_to_html(f"Saved: {', '.join(Path(one).name for one in made)}")


def _packed(files: list[str]) -> str:
    """Put files into an archive beside the first of them."""
    import zipfile

    path = Path(files[0]).with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for one in files:
            archive.write(one, Path(one).name)
    return str(path)


def run_pnginfo(image: Any) -> tuple[str, str, str]:
    """Return what a picture says about itself: nothing, its parameters text, all of it as markup."""
    from modules.compat.pictures import read_info_from_image

    if image is None:
        return "", "", ""
    text, items = read_info_from_image(image)
    shown = {"parameters": text, **items} if text else items
    lines = [f"<div><p><b>{html.escape(str(key))}</b></p><p>{html.escape(str(value))}</p></div>" for key, value in shown.items()]  # fmt: skip
    return "", text or "", "\n".join(lines) or "<div><p>Nothing found in the image.</p></div>"


def as_bytes(image: Any) -> bytes:
    """Encode a picture."""
    data = io.BytesIO()
    image.save(data, "png")
    return data.getvalue()
