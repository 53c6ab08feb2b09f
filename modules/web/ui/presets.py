"""The values of controls that somebody saved for a checkpoint, in one JSON file of the data folder."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.web.ui.json_file import read_object, write_object
from modules.web.ui.suggestions import NAMES
from modules.web.ui.values import typed_value

MAX_CHECKPOINTS = 10_000

Values = Mapping[str, Any]


class PresetBook:
    """Reads and changes presets; thread-safe.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def get(self, checkpoint: str, tab: str) -> Values | None:
        """Return the values saved for a checkpoint and a tab; None when there are none.

        Values that the control cannot take, because somebody edited the file, are left out.
        """
        saved = self._read().get(checkpoint, {}).get(tab)
        if not isinstance(saved, dict):
            return None
        return _usable(tab, cast("dict[str, Any]", saved))

    def save(self, checkpoint: str, tab: str, values: Values) -> None:
        """Keep values for a checkpoint and a tab, in place of those kept before.

        Raises:
            InvalidRequest: there is no checkpoint, or a value that cannot be used.
            LimitExceeded: presets of too many checkpoints are kept.
            StorageFault: the file cannot be written.
        """
        if not checkpoint:
            raise InvalidRequest("there is no checkpoint to save a preset for")
        checked = {name: typed_value(tab, name, values[name]) for name in NAMES if values.get(name) is not None}
        with self._lock:
            kept = self._read()
            if checkpoint not in kept and len(kept) >= MAX_CHECKPOINTS:
                raise LimitExceeded("checkpoint", f"presets of {len(kept)} checkpoints", MAX_CHECKPOINTS)
            kept.setdefault(checkpoint, {})[tab] = checked
            write_object(self._path, kept)

    def forget(self, checkpoint: str, tab: str) -> None:
        """Remove what is kept for a checkpoint and a tab, if anything is.

        Raises:
            StorageFault: the file cannot be written.
        """
        with self._lock:
            kept = self._read()
            if kept.get(checkpoint, {}).pop(tab, None) is not None:
                write_object(self._path, {name: tabs for name, tabs in kept.items() if tabs})

    def _read(self) -> dict[str, dict[str, Any]]:
        return {name: dict(tabs) for name, tabs in read_object(self._path).items() if isinstance(tabs, dict)}


def _usable(tab: str, saved: Mapping[str, Any]) -> Values:
    found: dict[str, Any] = {}
    for name in NAMES:
        if name in saved:
            try:
                found[name] = typed_value(tab, name, saved[name])
            except InvalidRequest:
                continue
    return found
