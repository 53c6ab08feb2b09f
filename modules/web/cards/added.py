"""Pages of cards that extensions add: lists of their own instead of files in folders."""

import logging
import threading
from dataclasses import replace
from pathlib import Path

from modules.domain.cards import CardEntry, CardSource
from modules.library.cards import CardFile, card_file
from modules.web.cards.facts import FileFacts, NoteFacts, of_plain
from modules.web.cards.pages import Card, CardPage, Kind, Listed, listed

logger = logging.getLogger(__name__)


class AddedPage(CardPage):
    """The cards of an extension.

    Args:
        source: lists them.
    """

    def __init__(self, source: CardSource) -> None:
        self.kind = Kind(
            id=source.id, title=source.title, files=tuple, look=of_plain, refresh=source.refresh, fields=()
        )
        self._source = source
        self._listed: Listed | None = None
        self._lock = threading.RLock()

    def renew(self, key: str) -> Card | None:
        """Look at all cards again, since only the extension knows one of them; None when it is gone."""
        return self._scan(again=True).cards.get(key)

    def _scan(self, *, again: bool = False) -> Listed:
        with self._lock:
            if self._listed is None or again:
                self._listed = listed(self.kind.id, self._cards())
            return self._listed

    def _cards(self) -> list[Card]:
        try:
            return [_card(one) for one in self._source.entries()]
        except Exception:
            logger.exception("the cards of %s cannot be listed", self.kind.title)
            return []


def _card(entry: CardEntry) -> Card:
    return Card(
        file=_file(entry), facts=FileFacts(fault=entry.fault, tags=tuple(entry.search.split())),
        notes=NoteFacts(description=entry.description), hash="", insert=entry.prompt or entry.name.rpartition("/")[2],
        against=entry.negative_prompt, onclick=entry.onclick,
    )  # fmt: skip


def _file(entry: CardEntry) -> CardFile:
    """Return what is known of the file of a card; its preview is the one that the extension names."""
    path = entry.path or Path(entry.name)
    found = (card_file(entry.name, path) if entry.path else None) or CardFile(path=path, relative=entry.name)
    if entry.preview is None:
        return found
    try:
        status = entry.preview.stat()
    except OSError:
        return replace(found, preview=None, preview_stamp=())
    return replace(found, preview=entry.preview, preview_stamp=(status.st_size, status.st_mtime_ns))
