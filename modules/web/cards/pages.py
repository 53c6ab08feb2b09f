"""The pages of cards: embeddings, hypernetworks, checkpoints, LoRAs. Each keeps its list until told to look again."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modules.adapters.lora.catalog import LoraEntry, names_of
from modules.domain.errors import UnknownName
from modules.library.cards import CardFile, card_file, card_files
from modules.library.cards_facts import FactFile
from modules.web.cards.facts import FileFacts, NoteFacts, dump, load, noted

SHOWN: Mapping[str, str] = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
    ".avif": "image/avif",
}  # fmt: skip
"""Kinds of previews that are sent. No other file is, whatever lies beside a model."""
VERSION = 1
"""Of the remembered facts; a change of what they mean needs another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the models of a page have in common."""

    id: str
    """As in the ids of elements: `textual_inversion`."""
    title: str
    files: Callable[[], Iterable[tuple[str, Path]]]
    """Names relative to their folders, and paths."""
    look: Callable[[Path], FileFacts]
    refresh: Callable[[], object] = lambda: None
    """Has the rest of the program look again too."""
    preview_mark: str = ""
    """What the names of new previews have before their ending."""
    fields: tuple[str, ...] = ("description", "notes")
    """Notes that can be edited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One card."""

    file: CardFile
    facts: FileFacts
    notes: NoteFacts
    hash: str
    """Digits by which the file is known; empty until they are."""
    alias: str = ""
    """What prompts may call it beside its name; empty where that means nothing or another file too."""
    spelled: str = ""
    """What prompts must call it where its name means another file."""
    insert: str = ""
    """What a card of an extension puts into the prompt."""
    against: str = ""
    """What it puts into the negative prompt."""
    onclick: str = ""
    """A script that runs in the page instead."""

    @property
    def key(self) -> str:
        """Name by which a page knows it."""
        return self.file.relative

    @property
    def name(self) -> str:
        """What A1111 calls it."""
        return self.facts.own_name or (self.key.rpartition("/")[2] if self.insert else self.file.name)

    @property
    def preview(self) -> Path | None:
        """Its picture, if that may be sent."""
        path = self.file.preview
        return path if path is not None and path.suffix.lower() in SHOWN else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The cards of a page at one time."""

    cards: Mapping[str, Card]
    """By key, in natural order."""
    by_name: Mapping[str, Card]
    """As A1111 names them: without folders and ending. Of several with one name the last."""
    by_preview: Mapping[str, Card]
    """By the path of the picture."""
    body: bytes
    """All of it as JSON."""
    tag: str
    """Another one means another body."""


class CardPage:
    """The cards of one kind. Readers see one list as a whole.

    Args:
        kind: what is listed.
        memory: folder where facts are remembered.
        hash_of: tells the SHA-256 of a file where it is known already.
    """

    def __init__(self, kind: Kind, memory: Path, hash_of: Callable[[Path], str | None] = lambda _path: None) -> None:
        self.kind, self._hash_of = kind, hash_of
        self._facts: FactFile[FileFacts] = FactFile(
            memory / f"{kind.id}.json", version=VERSION, dump=dump, load=lambda stored: load(FileFacts, stored)
        )
        self._notes: FactFile[NoteFacts] = FactFile(
            memory / f"{kind.id}-notes.json", version=VERSION, dump=dump, load=lambda stored: load(NoteFacts, stored)
        )
        self._listed: Listed | None = None
        self._lock = threading.RLock()

    @property
    def listed(self) -> Listed:
        """The list; folders are looked through only for the first one."""
        return self._listed or self._scan()

    def refresh(self) -> Listed:
        """Look for files again."""
        self.kind.refresh()
        return self._scan(again=True)

    def get(self, key: str) -> Card:
        """Return a card that must be there.

        Raises:
            UnknownName: no card has this key.
        """
        card = self.listed.cards.get(key)
        if card is None:
            raise UnknownName("card", key, field="key")
        return card

    def named(self, name: str) -> Card | None:
        """Find a card as A1111 names it."""
        return self.listed.by_name.get(name)

    def renew(self, key: str) -> Card | None:
        """Look at one model and its notes again; None when it is gone."""
        with self._lock:
            before = self.listed
            old = before.cards.get(key)
            file = None if old is None else card_file(key, old.file.path)
            cards = dict(before.cards)
            if file is None:
                cards.pop(key, None)
            else:
                notes = self._notes.one((file.path, file.texts_stamp), lambda _path: noted(file))
                cards[key] = self._card(file, self._facts.one((file.path, file.stamp), self.kind.look), notes)
            self._listed = listed(self.kind.id, list(cards.values()))
            return self._listed.cards.get(key)

    def _scan(self, *, again: bool = False) -> Listed:
        with self._lock:
            if self._listed is not None and not again:
                return self._listed
            files = card_files(self.kind.files())
            facts = self._facts.all([(one.path, one.stamp) for one in files], self.kind.look)
            files = tuple(one for one in files if facts[one.path].is_model)
            by_path = {one.path: one for one in files}
            subjects = [(one.path, one.texts_stamp) for one in files if one.texts]
            notes = self._notes.all(subjects, lambda path: noted(by_path[path]))
            cards = [self._card(one, facts[one.path], notes.get(one.path, NoteFacts())) for one in files]
            self._listed = listed(self.kind.id, cards)
            return self._listed

    def _card(self, file: CardFile, facts: FileFacts, notes: NoteFacts) -> Card:
        digits = facts.hash or self._hash_of(file.path) or ""
        return Card(file=file, facts=facts, notes=notes, hash=digits)


class CardPages:
    """All pages, by the names that A1111 and its extensions use.

    Args:
        pages: of the program.
        more: returns those of extensions, the same object each time for one page.
    """

    def __init__(self, pages: Sequence[CardPage] = (), more: Callable[[], Sequence[CardPage]] = tuple) -> None:
        self._own, self._more = tuple(pages), more

    @property
    def all(self) -> tuple[CardPage, ...]:
        """Every page; one of an extension whose id is taken is left out."""
        by_id = {page.kind.id: page for page in self._own}
        for page in self._more():
            by_id.setdefault(page.kind.id, page)
        return tuple(by_id.values())

    def find(self, name: str) -> CardPage | None:
        """Find a page by its title or id, whatever the case of letters."""
        wanted = name.lower().replace(" ", "_")
        return next((page for page in self.all if page.kind.id == wanted), None)

    def get(self, name: str) -> CardPage:
        """Return a page that must be there.

        Raises:
            UnknownName: there is none of that name.
        """
        page = self.find(name)
        if page is None:
            raise UnknownName("page", name, [one.kind.id for one in self.all], field="page")
        return page


def listed(page: str, cards: list[Card]) -> Listed:
    """Make a list of cards as it is sent."""
    if page == "lora":
        cards = _mentioned(cards)
    body = json.dumps({"cards": [row(card) for card in cards]}, ensure_ascii=False).encode("utf-8", "replace")
    return Listed(
        cards={card.key: card for card in cards},
        by_name={card.name: card for card in cards},
        by_preview={str(card.preview): card for card in cards if card.preview is not None},
        body=body, tag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
    )  # fmt: skip


def _mentioned(cards: list[Card]) -> list[Card]:
    """Settle what prompts call LoRAs: an alias only where it means this file and no other."""
    entries = tuple(
        LoraEntry(
            name=card.name, path=card.file.path, alias=card.facts.alias or card.name, metadata={},
            relative=card.key.removesuffix(card.file.path.suffix),
        )
        for card in cards
    )  # fmt: skip
    names = names_of(entries)
    return [
        replace(
            card, alias=entry.alias if entry.alias != entry.name and names.find(entry.alias) is entry else "",
            spelled="" if names.find(entry.name) is entry else entry.relative,
        )
        for card, entry in zip(cards, entries, strict=True)
    ]  # fmt: skip


def row(card: Card) -> dict[str, Any]:
    """Return a card as the page's scripts get it; what is empty is left out."""
    file, facts, notes = card.file, card.facts, card.notes
    shown = {
        "key": card.key, "name": card.name, "alias": card.alias, "spelled": card.spelled, "folder": file.folder,
        "hidden": file.is_hidden, "text": notes.description, "title": notes.title, "family": notes.family or facts.family,
        "hash": card.hash[:12], "tags": " ".join((*facts.tags, *notes.words)), "meta": facts.has_metadata,
        "thumb": str(file.preview_stamp[-1]) if card.preview is not None else "",
        "cover": facts.num_covers > 0 and card.preview is None, "activation": notes.activation,
        "weight": notes.weight, "negative": notes.negative, "fault": facts.fault,
        "insert": card.insert, "against": card.against, "onclick": card.onclick,
        "created": int(file.created_s), "modified": int(file.modified_s), "bytes": file.size_bytes,
    }  # fmt: skip
    return {key: value for key, value in shown.items() if value}
