"""Translations of the page: JSON files with a text of the page -> the text to show, as A1111's are."""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import cast

logger = logging.getLogger(__name__)

NONE = "None"
MAX_BYTES = 4 * 2**20
RIGHT_TO_LEFT = "rtl"
"""Key that says that the language is written from right to left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Localization:
    """One language."""

    texts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    rtl: bool = False


def list_localizations(folders: Iterable[Path]) -> dict[str, Path]:
    """Find the files of all languages, by name; of two with equal names the first counts."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
            found.setdefault(path.stem, path)
    return found


def read_localization(path: Path | None) -> Localization:
    """Read a language; what cannot be used is left out."""
    if path is None:
        return Localization()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        read = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("the translation %s cannot be read: %s", path.name, error)
        return Localization()
    entries = cast("dict[str, object]", read) if isinstance(read, dict) else {}
    texts = {key: text for key, text in entries.items() if isinstance(text, str) and text and key != RIGHT_TO_LEFT}
    return Localization(texts=MappingProxyType(texts), rtl=bool(entries.get(RIGHT_TO_LEFT)))
