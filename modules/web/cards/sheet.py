"""One card in full: what its file and its notes say, and how a person changes them."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from modules.domain.errors import InvalidRequest, ModelError
from modules.domain.result import Produced
from modules.files.atomic import write
from modules.library.cards import CIVITAI, NOTES
from modules.library.cards_notes import Damaged, SiteFacts, change_notes, read_notes, read_site
from modules.library.folders import read_model_header
from modules.library.sidecars import beside, description, shown_metadata
from modules.web.cards.facts import VERSIONS, training_tags
from modules.web.cards.pages import Card, CardPage

ENCODED = (".png", ".jpg", ".jpeg", ".webp", ".avif")
"""Kinds of previews that can be written."""
WEIGHT, VERSION = "preferred weight", "sd version"
MAX_TEXT = 50_000
MOST_TAGS = 200
"""How many words of the training are shown."""
_FACTS = (
    ("ss_sd_model_name", "Trained on"), ("ss_base_model_version", "Base model"), ("ss_clip_skip", "Clip skip"),
    ("ss_resolution", "Resolution"), ("ss_num_train_images", "Pictures"), ("ss_network_dim", "Rank"),
    ("modelspec.title", "Title"), ("modelspec.author", "Author"), ("modelspec.architecture", "Architecture"),
)  # fmt: skip
"""Entry of metadata -> what it is called."""


def metadata_of(card: Card) -> dict[str, str]:
    """Return what a file says about itself; nothing where it cannot be read."""
    try:
        return dict(read_model_header(card.file.path).metadata)
    except ModelError:
        return {}


def metadata_text(card: Card) -> str:
    """Return the metadata as JSON for people; empty where there is none."""
    told = shown_metadata(metadata_of(card))
    return json.dumps(told, indent=4, ensure_ascii=False) if told else ""


def describe(page: CardPage, card: Card, *, with_path: bool = True) -> dict[str, Any]:
    """Describe a card for the dialog that edits it.

    Args:
        page: what it belongs to.
        card: what to describe.
        with_path: whether to say where its file lies.
    """
    told, notes, fault = metadata_of(card), dict[str, Any](), ""
    try:
        notes = read_notes(beside(card.file.path, NOTES))
    except Damaged as error:
        fault = str(error)
    site = read_site(card.file.texts[CIVITAI]) if CIVITAI in card.file.texts else SiteFacts()
    return {
        "key": card.key, "name": card.name, "family": _version_of(card.facts.family), "fault": fault, "notes": {name: notes.get(name) for name in page.kind.fields},
        "description": description(card.file.path) or site.description, "words": list(site.words),
        "tags": training_tags(told)[:MOST_TAGS], "facts": _facts(card, told, with_path=with_path),
    }  # fmt: skip


def change(page: CardPage, card: Card, values: Mapping[str, Any]) -> None:
    """Change the notes of a card; entries of other programs stay.

    Args:
        page: what the card belongs to.
        card: whose notes.
        values: the notes that change.

    Raises:
        InvalidRequest: a note that this page does not have, or of another type; or the file is damaged.
        StorageFault: the disk refuses.
    """
    checked = {name: _checked(name, value, page) for name, value in values.items()}
    path = beside(card.file.path, NOTES)
    # An empty field of a model without notes is no reason for a file.
    before = read_notes(path)
    change_notes(path, {name: value for name, value in checked.items() if name in before or value not in ("", 0)})
    page.renew(card.key)


def replace_preview(page: CardPage, card: Card, picture: Produced) -> Path:
    """Make a finished picture the preview of a card.

    The picture that is shown now is replaced, in its own format; the infotext stays with the new one.

    Returns:
        The file.

    Raises:
        StorageFault: the disk refuses.
    """
    from modules.imaging.encode import encode
    from modules.imaging.open import open_image

    path = preview_target(page, card, picture.format)
    kind = path.suffix.lower().lstrip(".")
    data = picture.data
    if kind.replace("jpeg", "jpg") != picture.format.replace("jpeg", "jpg"):
        data = encode(open_image(data), kind, picture.infotext).data
    write(path, data)
    page.renew(card.key)
    return path


def preview_target(page: CardPage, card: Card, kind: str) -> Path:
    """Return the file for a new preview of a card.

    Args:
        page: tells how new ones are named.
        card: whose preview.
        kind: format of the picture.
    """
    shown, model = card.file.preview, card.file.path
    models = {one.file.path for one in page.listed.cards.values()}
    if shown is not None and shown not in models:
        # One that cannot be written in its own format stays, behind a PNG, which is looked for first.
        return shown if shown.suffix.lower() in ENCODED else beside(model, f"{page.kind.preview_mark}.png")
    return beside(model, f"{page.kind.preview_mark}.{kind}")


def _facts(card: Card, told: Mapping[str, str], *, with_path: bool) -> list[tuple[str, str]]:
    file = card.file
    facts = [
        ("File", str(file.path) if with_path else file.relative), ("Size", f"{file.size_bytes:,} bytes"), ("Hash", card.hash),
        ("Alias", card.facts.alias), ("Changed", datetime.fromtimestamp(file.modified_s).strftime("%Y-%m-%d %H:%M")),
        *((label, told.get(key, "")[:300]) for key, label in _FACTS), ("Fault", card.facts.fault),
    ]  # fmt: skip
    return [(label, value) for label, value in facts if value and value != "None"]


def _version_of(family: str) -> str:
    """Return what A1111 calls a kind of models, empty where it has no name for it."""
    return next((name for name, one in VERSIONS.items() if one == family), "")


def _checked(name: str, value: Any, page: CardPage) -> str | float:
    if name not in page.kind.fields:
        raise InvalidRequest(f"not one of {', '.join(page.kind.fields)}", field=name[:100])
    if name == WEIGHT:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or abs(value) > 100:
            raise InvalidRequest("expected a number between -100 and 100", field=name)
        return value
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise InvalidRequest(f"expected a text of at most {MAX_TEXT} characters", field=name)
    if name == VERSION and value not in ("", "Unknown", *VERSIONS):
        raise InvalidRequest(f"expected one of Unknown, {', '.join(VERSIONS)}", field=name)
    return value
