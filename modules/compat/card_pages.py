"""`modules.ui_extra_networks`: pages of cards that extensions register beside those of the program."""

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from modules.compat.callbacks import guarded
from modules.compat.host import host
from modules.domain.cards import CardEntry, CardSource

_PIECE = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|opts\.(\w+)|(-?\d+(?:\.\d+)?))\s*(\+|$)""")
"""One summand of a script that puts a text together."""
_ESCAPED = re.compile(r"\\(.)")


class ExtraNetworksPage:
    """A page of cards. Extensions define `list_items`.

    Args:
        title: of its tab.
    """

    def __init__(self, title: str) -> None:
        self.title, self.name = title, title.lower()
        self.id_page = self.name.replace(" ", "_")
        self.extra_networks_tabname = self.id_page
        self.allow_prompt, self.allow_negative_prompt = True, False
        self.metadata: dict[str, Any] = {}
        self.items: dict[str, Any] = {}

    def refresh(self) -> None:
        """Look for files again."""

    def list_items(self) -> Iterable[Any]:
        """Return what is shown.

        Raises:
            NotImplementedError: always; pages define it.
        """
        raise NotImplementedError

    def create_item(self, name: str, index: int | None = None, enable_filter: bool = True) -> Any:
        """Describe one of what is shown."""
        raise NotImplementedError

    def allowed_directories_for_previews(self) -> list[str]:
        """Return the folders whose pictures may be sent."""
        return []

    def link_preview(self, filename: str) -> str:
        """Return the address of a preview."""
        return f"./sd_extra_networks/thumb?filename={quote(str(filename).replace(chr(92), '/'))}"

    def find_preview(self, path: str) -> str | None:
        """Return the address of the picture beside a file, given its path without an ending."""
        names = (f"{path}{mark}.{kind}" for mark in ("", ".preview") for kind in ("png", "jpg", "jpeg", "webp", "gif"))
        found = next((one for one in names if Path(one).is_file()), None)
        return None if found is None else self.link_preview(found)

    def find_description(self, path: str) -> str | None:
        """Return the text beside a file, given its path without an ending."""
        for ending in (".txt", ".description.txt"):
            file = Path(f"{path}{ending}")
            if file.is_file():
                return file.read_text(encoding="utf-8", errors="replace")
        return None

    def find_embedded_preview(self, path: str, name: str, metadata: Any) -> str | None:
        """Return the address of a picture inside a file."""
        return None

    def search_terms_from_path(self, filename: str, possible_directories: Any = None) -> str:
        """Return words that a file is found by: where it lies below the folder of its page."""
        path = Path(filename)
        for folder in (
            possible_directories if possible_directories is not None else self.allowed_directories_for_previews()
        ):
            if path.is_relative_to(folder):
                return f"/{path.relative_to(folder).as_posix()}"
        return ""

    def get_sort_keys(self, path: str) -> dict[str, Any]:
        """Return by what cards are sorted."""
        file = Path(path)
        status = file.stat() if file.exists() else None
        return {
            "date_created": int(status.st_ctime) if status else 0, "date_modified": f"{int(status.st_mtime) if status else 0}",
            "name": file.name.lower(), "path": str(file.parent).lower(),
        }  # fmt: skip

    def read_user_metadata(self, item: dict[str, Any], use_cache: bool = True) -> None:
        """Read the notes beside a file into what is known of it."""
        from modules.library.cards_notes import Damaged, read_notes
        from modules.library.sidecars import beside

        with guarded(f"notes of {item.get('name')}"):
            try:
                notes = read_notes(beside(Path(str(item.get("filename") or "")), ".json"))
            except Damaged:
                return
            item["user_metadata"] = notes
            if notes.get("description"):
                item["description"] = notes["description"]


class OwnPage(ExtraNetworksPage):
    """A page of this program."""

    def refresh(self) -> None:
        """Look for files again."""
        host().services().cards.get(self.id_page).refresh()

    def list_items(self) -> Iterator[dict[str, Any]]:
        """Yield what is shown."""
        for card in host().services().cards.get(self.id_page).listed.cards.values():
            yield {
                "name": card.name, "filename": str(card.file.path), "description": card.notes.description,
                "shorthash": card.hash[:10], "search_terms": [card.key],
                "preview": None if card.preview is None else self.link_preview(str(card.preview)),
            }  # fmt: skip


def extra_pages() -> list[Any]:
    """Return all pages; the list is kept, so that what extensions append stays."""
    found = host().card_pages
    if not found:
        found += [OwnPage(title) for title in ("Textual Inversion", "Hypernetworks", "Checkpoints", "Lora")]
    return found


def register_page(page: Any) -> None:
    """Add a page."""
    pages = extra_pages()
    if page not in pages:
        pages.append(page)


def quote_js(s: str) -> str:
    """Write a text as scripts do."""
    return '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"'


def added_pages() -> list[CardSource]:
    """Return the pages of extensions in the form of this program."""
    from modules.compat.samplers import native_forms

    pages = [one for one in host().card_pages if not isinstance(one, OwnPage)]
    return native_forms("cards", pages, _source)


def _source(page: Any) -> CardSource:
    plain = re.sub(r"[^a-z0-9_-]", "_", str(page.id_page)).strip("_") or "cards"
    return CardSource(
        id=plain, title=str(page.title), entries=partial(_entries, page), refresh=partial(_refreshed, page)
    )


def _refreshed(page: Any) -> None:
    with guarded(f"cards of {page.title}: refresh"):
        page.refresh()


def _entries(page: Any) -> list[CardEntry]:
    found: dict[str, CardEntry] = {}
    folders = [Path(one).resolve() for one in page.allowed_directories_for_previews() or () if one]
    with guarded(f"cards of {page.title}: list_items"):
        page.items = {}
        for item in page.list_items():
            if item is None or not item.get("name"):
                continue
            page.items[item["name"]] = item
            page.metadata[item["name"]] = item.get("metadata")
            entry = _entry(item, folders)
            found.setdefault(entry.name, entry)
    return list(found.values())


def _entry(item: Mapping[str, Any], folders: list[Path]) -> CardEntry:
    path, fault = item.get("filename"), ""
    texts = dict.fromkeys(("prompt", "negative_prompt"), "")
    click = html.unescape(str(item.get("onclick") or "")).strip('"')
    for key in texts:
        read = _text_of(item.get(key))
        if read is None and not click:
            fault = "What it puts into the prompt cannot be read."
        texts[key] = read or ""
    terms = item.get("search_terms") or item.get("search_term") or ()
    return CardEntry(
        name=str(item["name"]), description=str(item.get("description") or "")[:2000], fault=fault, onclick=click,
        search=" ".join([terms] if isinstance(terms, str) else [str(one) for one in terms]),
        path=Path(str(path)) if path else None, preview=_preview(item, folders), **texts,
    )  # fmt: skip


def _preview(item: Mapping[str, Any], folders: list[Path]) -> Path | None:
    """Return the picture of a card; only those below the folders that its page names."""
    address = item.get("preview")
    if not isinstance(address, str) or not address:
        return None
    named = parse_qs(urlsplit(address).query).get("filename")
    path = Path(named[0] if named else address)
    inside = path.is_absolute() and any(path.resolve().is_relative_to(one) for one in folders)
    return path if inside and path.is_file() else None


def _text_of(script: Any) -> str | None:
    """Read what a script that adds texts, numbers and settings comes to; None where it does more than that."""
    if not script:
        return ""
    rest, text = str(script), ""
    while rest:
        piece = _PIECE.match(rest)
        if piece is None:
            return None
        double, single, option, number, _ = piece.groups()
        told = double if double is not None else single
        if told is not None:
            text += _ESCAPED.sub(lambda one: {"n": "\n", "t": "\t"}.get(one[1], one[1]), told)
        elif option is not None:
            text += str(getattr(host().options, option, ""))
        else:
            text += number
        rest = rest[piece.end() :]
    return text
