"""The hypernetwork files on disk."""

from collections.abc import Sequence
from pathlib import Path

from modules.library.scan import scan_files

SUFFIXES = (".pt",)


def hypernetwork_files(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the files below some folders by their names without ending; of two with one name the last."""
    return {path.stem: path for folder in folders for _, path in scan_files(folder, SUFFIXES)}
