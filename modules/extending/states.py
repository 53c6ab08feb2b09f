"""Saved states of the extensions: which there were, at which commit, and which of them ran. A1111's files."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from modules.domain.errors import InvalidRequest, UnknownName
from modules.extending.clone import read_clone
from modules.extending.clones import Clones
from modules.extending.discover import Extension
from modules.files import atomic
from modules.files.paths import safe_child, safe_name

MAX_BYTES, MAX_FILES = 4 << 20, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionEntry:
    """One extension of a saved state."""

    name: str
    enabled: bool
    remote: str
    commit: str
    branch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigState:
    """A saved state."""

    file: str
    """Name of its file."""
    name: str
    created_at: float
    """Seconds since 1970."""
    program_commit: str
    program_remote: str
    extensions: tuple[ExtensionEntry, ...]


def describe(extensions: tuple[Extension, ...], root: Path, clones: Clones, name: str) -> dict[str, Any]:
    """Write down how things are."""
    clone = read_clone(root)
    return {
        "name": name,
        "created_at": time.time(),
        "webui": {
            "remote": clone.remote if clone else None, "commit_hash": clone.commit if clone else None,
            "commit_date": clones.date(root) if clone else None, "branch": clone.branch if clone else None,
        },
        "extensions": {
            one.name: {
                "name": one.name, "path": str(one.folder), "enabled": one.enabled, "is_builtin": one.is_builtin,
                "remote": one.remote or None, "commit_hash": one.commit or None,
                "commit_date": clones.date(one.folder) if one.commit else None, "branch": one.branch or None,
                "have_info_from_repo": bool(one.remote),
            }
            for one in extensions
        },
    }  # fmt: skip


def save(folder: Path, state: Mapping[str, Any]) -> str:
    """Write a state to a file of its own and return its name.

    Raises:
        StorageFault: the disk refuses.
    """
    atomic.make_folder(folder)
    stamp = datetime.fromtimestamp(state["created_at"]).strftime("%Y_%m_%d-%H_%M_%S")
    name = f"{stamp}_{safe_name(state['name'], 80)}.json"
    atomic.write_json(safe_child(folder, name), dict(state))
    return name


def saved(folder: Path) -> list[ConfigState]:
    """List the saved states, the newest first; files that are none are left out."""
    if not folder.is_dir():
        return []
    paths = sorted(folder.glob("*.json"))[-MAX_FILES:]
    found = [state for path in paths if (state := _read(path)) is not None]
    return sorted(found, key=lambda state: state.created_at, reverse=True)


def find(folder: Path, file: str) -> ConfigState:
    """Return a saved state by the name of its file.

    Raises:
        PathRefused: no plain name.
        UnknownName: there is none.
    """
    path = safe_child(folder, file)
    state = _read(path) if path.suffix == ".json" and path.is_file() else None
    if state is None:
        raise UnknownName("Saved state", file, [one.file for one in saved(folder)], field="file")
    return state


def check_name(name: str) -> str:
    """Return a name for a state; a plain one where none is given.

    Raises:
        InvalidRequest: it is too long.
    """
    if len(name) > 200:
        raise InvalidRequest(f"{len(name)} characters; at most 200", field="name")
    return name.strip() or "Config"


def _read(path: Path) -> ConfigState | None:
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("extensions"), dict):
        return None
    whole = cast("dict[str, Any]", found)
    program = whole.get("webui") if isinstance(whole.get("webui"), dict) else {}
    created = whole.get("created_at")
    entries = [(str(key), one) for key, one in whole["extensions"].items() if isinstance(one, dict)]
    return ConfigState(
        file=path.name, name=_text(whole, "name") or "Config",
        created_at=float(created) if isinstance(created, int | float) else path.stat().st_mtime,
        program_commit=_text(program, "commit_hash"), program_remote=_text(program, "remote"),
        extensions=tuple(_entry(key, one) for key, one in entries if not one.get("is_builtin")),
    )  # fmt: skip


def _entry(key: str, one: Mapping[str, Any]) -> ExtensionEntry:
    return ExtensionEntry(
        name=_text(one, "name") or key, enabled=one.get("enabled") is True, remote=_text(one, "remote"),
        commit=_text(one, "commit_hash"), branch=_text(one, "branch"),
    )  # fmt: skip


def _text(whole: Any, key: str) -> str:
    value = whole.get(key)
    return value if isinstance(value, str) else ""
