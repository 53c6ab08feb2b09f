"""What an extension says about itself in `metadata.ini`: its name, what it needs, what comes before and after it."""

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

FILE = "metadata.ini"
MAX_BYTES = 1 << 20
_COMMAS = re.compile(r"[,\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one thing is loaded or called after and before; names in small letters."""

    requires: tuple[str, ...] = ()
    """Must be there, and comes first."""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The content of a `metadata.ini`; without one everything has its default."""

    name: str
    """In small letters; what other extensions call this one."""
    requires: tuple[str, ...] = ()
    """Other extensions, by this name."""
    scripts: Mapping[str, Order] = field(default_factory=lambda: MappingProxyType({}))
    """Path below the extension's folder, such as `scripts/main.py`, -> order; `scripts` stands for all of that folder."""
    callbacks: Mapping[str, Order] = field(default_factory=lambda: MappingProxyType({}))
    """Name of a handler, or of one of A1111's callbacks -> order."""
    fault: str = ""
    """Why the file could not be read, in a sentence; empty when it could, or is not there."""

    def order_of(self, folder: str, file: str) -> Order:
        """Return when a file is loaded: what is said of its folder and of itself."""
        every, one = self.scripts.get(folder, Order()), self.scripts.get(f"{folder}/{file}".lower(), Order())
        return Order(
            requires=(*every.requires, *one.requires), before=(*every.before, *one.before),
            after=(*every.after, *one.after),
        )  # fmt: skip


def read_metadata(folder: Path) -> Metadata:
    """Read what an extension says about itself; a broken file counts as none and is named in `fault`."""
    name, path = folder.name.lower(), folder / FILE
    if not path.is_file():
        return Metadata(name=name)
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        parser.read_string(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, configparser.Error) as error:
        return Metadata(name=name, fault=f"{FILE} cannot be read: {' '.join(str(error).split())}")
    sections = {title.strip().lower(): parser[title] for title in parser.sections()}
    own: Mapping[str, str] = sections.get("extension", {})
    return Metadata(
        name=own.get("name", "").strip().lower() or name,
        requires=_names(own.get("requires", "")),
        scripts=MappingProxyType({
            title: _order(part) for title, part in sections.items() if title == "scripts" or title.startswith("scripts/")
        }),
        callbacks=MappingProxyType({
            title.removeprefix("callbacks/"): _order(part)
            for title, part in sections.items()
            if title.startswith("callbacks/")
        }),
    )  # fmt: skip


def _order(section: Mapping[str, str]) -> Order:
    return Order(
        requires=_names(section.get("requires", "")), before=_names(section.get("before", "")),
        after=_names(section.get("after", "")),
    )  # fmt: skip


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in _COMMAS.split(text.strip().lower()) if name)
