"""Models as cards: every file of a page, with what lies beside it. A folder is looked through once, however full."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from modules.library.sidecars import PREVIEW_SUFFIXES, beside

NOTES, CIVITAI = ".json", ".civitai.info"
TEXTS = (".txt", ".description.txt")

Stamp = tuple[int, ...]
"""Size and time of change of one file or of several; another stamp means another content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFile:
    """A model and the files that share its name."""

    path: Path
    relative: str
    """Name with folders and ending, `/` between parts; no other model of its page has it."""
    size_bytes: int = 0
    created_s: float = 0.0
    modified_s: float = 0.0
    stamp: Stamp = ()
    preview: Path | None = None
    preview_stamp: Stamp = ()
    texts: Mapping[str, Path] = field(default_factory=dict)
    """Ending -> file beside it: notes, descriptions, what a model site says."""
    texts_stamp: Stamp = ()

    @property
    def name(self) -> str:
        """Name without folders and ending."""
        return beside(self.path, "").name

    @property
    def folder(self) -> str:
        """Folders below that of the page, empty for the top."""
        parent = PurePosixPath(self.relative).parent.as_posix()
        return "" if parent == "." else parent

    @property
    def is_hidden(self) -> bool:
        """Whether a folder's name begins with a dot."""
        return any(part.startswith(".") for part in PurePosixPath(self.relative).parts[:-1])


def card_files(models: Iterable[tuple[str, Path]]) -> tuple[CardFile, ...]:
    """Look at models and at what lies beside them.

    Args:
        models: names relative to their folders, and paths; files that are gone meanwhile are left out. Of equal names
            from several folders the later ones get the name of their folder in front.
    """
    listed = list(models)
    folders = {parent: _names(parent) for parent in {path.parent for _, path in listed}}
    found: dict[str, CardFile] = {}
    for relative, path in listed:
        made = card_file(_unused(relative, path, found), path, folders[path.parent])
        if made is not None:
            found[made.relative] = made
    return tuple(found.values())


def card_file(relative: str, path: Path, names: frozenset[str] | None = None) -> CardFile | None:
    """Look at one model and at what lies beside it; None when it is gone.

    Args:
        relative: its name.
        path: where it lies.
        names: what lies in its folder, where that is known already.
    """
    names = _names(path.parent) if names is None else names
    status = _status(path)
    if status is None:
        return None
    preview = _preview(path, names)
    texts = {ending: beside(path, ending) for ending in (NOTES, CIVITAI, *TEXTS) if beside(path, ending).name in names}
    return CardFile(
        path=path, relative=relative, size_bytes=status.st_size, modified_s=status.st_mtime,
        created_s=getattr(status, "st_birthtime", status.st_ctime), stamp=_stamp(path), preview=preview,
        preview_stamp=() if preview is None else _stamp(preview), texts=texts,
        texts_stamp=tuple(number for one in texts.values() for number in _stamp(one)),
    )  # fmt: skip


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _preview(model: Path, names: frozenset[str]) -> Path | None:
    """Find the picture of a model. An embedding that is a picture itself is its own, unless there is another."""
    candidates = (beside(model, mark + suffix) for suffix in PREVIEW_SUFFIXES for mark in ("", ".preview"))
    found = (path for path in candidates if path.name in names and path != model)
    return next(found, model if model.suffix.lower() in PREVIEW_SUFFIXES else None)


def _unused(relative: str, path: Path, taken: Mapping[str, CardFile]) -> str:
    name, root = relative, Path(str(path).removesuffix(relative).rstrip("/\\") or "/").name
    while name in taken:
        name = f"{root or 'more'}/{name}"
    return name


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _stamp(path: Path) -> Stamp:
    status = _status(path)
    return () if status is None else (status.st_size, status.st_mtime_ns)
