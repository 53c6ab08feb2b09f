"""Which files of extensions a browser gets."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modules.domain.errors import PathRefused
from modules.extending.discover import files_of
from modules.extending.registry import Loaded, Registry
from modules.files.paths import safe_descendant

STYLE, SCRIPTS, OPEN = "style.css", "javascript", ("javascript", "html", "localizations")
SUFFIXES = {
    ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".html": "text/html", ".json": "application/json",
    ".txt": "text/plain", ".map": "application/json",
    **{f".{kind}": f"image/{kind}" for kind in ("png", "webp", "gif", "jpeg")}, ".jpg": "image/jpeg", ".woff2": "font/woff2",
}  # fmt: skip
"""Kinds of files that are sent, and as what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """A script or a style sheet of the page."""

    extension: str
    """Name of its folder."""
    path: str
    """Below that folder, with `/`."""

    @property
    def kind(self) -> str:
        """style, module or script."""
        return {".css": "style", ".mjs": "module"}.get(Path(self.path).suffix, "script")


def page_files(loaded: Loaded) -> list[PageFile]:
    """List what the page loads: of each extension its scripts by name and its style sheet."""
    return [
        PageFile(extension=one.extension.name, path=path.relative_to(one.extension.folder.resolve()).as_posix())
        for one in loaded.registries
        for path in _own(one)
    ]


def _own(registry: Registry) -> Iterable[Path]:
    extension = registry.extension
    style = [path for path in files_of(extension, "", ".css") if path.name == STYLE]
    found = (*style, *files_of(extension, SCRIPTS, ".js", ".mjs"), *registry.page_files)
    return dict.fromkeys(path.resolve() for path in found)


def served(loaded: Loaded, extension: str, path: str) -> tuple[Path, str]:
    """Return a file of an extension that runs, and what kind of file it is.

    Raises:
        PathRefused: it is none that a browser gets.
    """
    registry = next((one for one in loaded.registries if one.extension.name == extension), None)
    if registry is None:
        raise PathRefused("no extension of this name runs")
    file = safe_descendant(registry.extension.folder, path)
    first, kind = path.split("/", 1)[0], SUFFIXES.get(file.suffix.lower())
    known = path == STYLE or (first in OPEN and "/" in path) or file in registry.page_files
    if kind is None or not known or not file.is_file():
        raise PathRefused("this file of an extension is not for browsers")
    return file, kind


def localizations(loaded: Loaded) -> list[Path]:
    """Return the folders in which extensions bring the page in other languages."""
    folders = (one.extension.folder / "localizations" for one in loaded.registries)
    return [folder for folder in folders if folder.is_dir()]
