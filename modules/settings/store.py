"""Settings on disk: defaults, then `config.json`, then the command line."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from modules.domain.errors import ForbiddenSetting, InvalidRequest
from modules.domain.param import walk_params
from modules.files import atomic
from modules.settings.config_file import ConfigFile, read_config
from modules.settings.sections import SECTIONS, Paths, Section
from modules.settings.snapshot import RESTRICTED, Caller, Snapshot, asks_nothing

logger = logging.getLogger(__name__)

PLACE_KEYS = frozenset(item.name for item in fields(Paths)) | {
    "save_to_dirs", "grid_save_to_dirs", "samples_filename_pattern", "directories_filename_pattern",
    "directories_max_prompt_words",
}  # fmt: skip
"""Settings about folders and the names of files, which `--hide-ui-dir-config` hides and locks."""

Changed = Callable[[frozenset[str]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """What the command line protects from changes."""

    everything: bool = False
    sections: frozenset[str] = frozenset()
    """Section ids, as in A1111: `saving-images`, `sd`, ..."""
    keys: frozenset[str] = frozenset()

    def covers(self, key: str) -> bool:
        """Tell whether a setting is frozen."""
        if self.everything or key in self.keys:
            return True
        return any(key in {item.name for item in fields(part.cls)} for part in SECTIONS if part.id in self.sections)


class SettingsStore:
    """The settings of the program; hands out snapshots and keeps `config.json`.

    Args:
        path: the file, which need not exist.
        flags: settings given on the command line; they win over the file and cannot be changed while they do.
        freeze: settings that may not be changed.

    Raises:
        InvalidRequest: a value among `flags` is not acceptable.
    """

    def __init__(self, path: Path, flags: Mapping[str, Any] | None = None, *, freeze: Freeze | None = None) -> None:
        self._path = path
        self._flags = dict(flags or {})
        self._freeze = freeze or Freeze()
        self._lock = threading.RLock()
        self._listeners: list[Changed] = []
        self._file: ConfigFile = read_config(path)
        self._current = self._file.settings.with_overrides(self._flags)
        for note in self._file.notes:
            logger.warning("%s", note)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was wrong with the file when it was read, in sentences for a person."""
        return self._file.notes

    def declare(self, section: Section) -> None:
        """Add the page of settings that an extension brings; the file may hold values of it already.

        Raises:
            ValueError: another setting has one of its keys.
        """
        with self._lock:
            settings = replace(self._file.settings, added=self._file.settings.added.with_section(section))
            for key in (item.path[-1] for item in walk_params(section.cls)):
                if key not in self._file.raw:
                    continue
                try:
                    settings = settings.with_overrides({key: self._file.raw[key]})
                except InvalidRequest as error:
                    logger.warning("%s: %s; the default is used", self._path.name, error)
            self._file = replace(self._file, settings=settings)
            self._current = settings.with_overrides(self._flags)

    def extra(self) -> Mapping[str, Any]:
        """Return what the file holds under keys that are no settings."""
        known = self._current.declarations()
        return {key: value for key, value in self._file.raw.items() if key not in known}

    def set_extra(self, values: Mapping[str, Any]) -> None:
        """Keep values under keys that are no settings; None removes one.

        Raises:
            StorageFault: the file could not be written.
            ForbiddenSetting: all settings are frozen.
        """
        with self._lock:
            if self._freeze.everything:
                raise _frozen(next(iter(values), ""))
            raw = {
                key: value
                for key, value in {**self._file.raw, **values}.items()
                if key not in values or value is not None
            }
            atomic.write_json(self._path, raw)
            self._file = replace(self._file, raw=raw)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def snapshot(self) -> Snapshot:
        """Return the settings as they are now."""
        return self._current

    def is_chosen(self, key: str) -> bool:
        """Tell whether the file holds a value for a setting, so that it is no mere default."""
        return key in self._file.raw

    def overridden(self, values: Mapping[str, Any], *, by: Caller = "local") -> Snapshot:
        """Return the settings as they are now, some of them changed for one request.

        Raises:
            InvalidRequest: a key or value that is not acceptable, or a setting that is frozen; names the key.
        """
        current = self._current
        if not values:
            return current
        wanted = current.with_overrides(values, by=by)
        for key in sorted(_differences(current, wanted)):
            if self._covers(key):
                raise _frozen(key)
        return wanted

    def on_change(self, listener: Changed) -> None:
        """Call `listener` with the keys whose value differs, after each change."""
        self._listeners.append(listener)

    def set(self, values: Mapping[str, Any], *, by: Caller = "local") -> frozenset[str]:
        """Change settings and save them; either all are applied or none.

        Args:
            values: flat key -> new value.
            by: "api" leaves the settings in `RESTRICTED` as they are, without an error: clients written for A1111
                send whole dictionaries back.

        Returns:
            The keys whose value is now another one.

        Raises:
            InvalidRequest: a key or value that is not acceptable, or a setting that is frozen; names the key.
            StorageFault: the file could not be written; nothing has changed.
        """
        wanted = {key: value for key, value in values.items() if by == "local" or key not in RESTRICTED}
        with self._lock:
            stored = self._file.settings.with_overrides(wanted)
            changed = _differences(self._current, self._current.with_overrides(wanted))
            self._refuse_fixed(changed)
            flat = stored.flat()
            applied = {key: flat[key] for key in wanted if key in flat and not asks_nothing(key, wanted[key])}
            raw = {**self._file.raw, **applied}
            if raw != self._file.raw:
                atomic.write_json(self._path, raw)
            self._file = ConfigFile(raw=raw, settings=stored, notes=self._file.notes)
            self._current = stored.with_overrides(self._flags)
        if changed:
            for listener in tuple(self._listeners):
                listener(changed)
        return changed

    def _covers(self, key: str) -> bool:
        """Tell whether a setting is frozen, one of an extension by the page that it is on too."""
        pages = (one for one in self._current.added.sections if one.id in self._freeze.sections)
        return self._freeze.covers(key) or any(key == item.path[-1] for one in pages for item in walk_params(one.cls))

    def _refuse_fixed(self, changed: frozenset[str]) -> None:
        for key in sorted(changed):
            if self._covers(key):
                raise _frozen(key)
            if key in self._flags:
                raise ForbiddenSetting("is given on the command line; remove it there first", field=key)


def _frozen(key: str) -> ForbiddenSetting:
    return ForbiddenSetting("is frozen by a --freeze option of the command line", field=key)


def _differences(before: Snapshot, after: Snapshot) -> frozenset[str]:
    old = before.flat()
    return frozenset(key for key, value in after.flat().items() if value != old[key])
