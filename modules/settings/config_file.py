"""Read `config.json` with patience: one bad value never costs the others, and nothing unknown is lost."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from modules.domain.errors import InvalidRequest
from modules.settings.known import UNSUPPORTED
from modules.settings.snapshot import Snapshot, declarations

MAX_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """What a settings file said."""

    raw: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """The file as it is, without the values that had to be replaced by defaults."""
    settings: Snapshot = field(default_factory=Snapshot)
    notes: tuple[str, ...] = ()
    """What was wrong, in sentences for a person."""


def read_config(path: Path) -> ConfigFile:
    """Read a settings file; whatever is wrong with it, the program can start.

    A file that is not a JSON object gives the defaults. A wrong value gives that setting's default. In both cases a
    copy is kept as `config.json.bad-<time>`, where the time is the file's own, so that one broken file is copied
    once and not at every start.
    """
    if not path.exists():
        return ConfigFile()
    try:
        raw = _migrated(_parse(path))
    except (OSError, ValueError, RecursionError) as error:
        problem = f"{path.name} cannot be read ({error}); all settings have their defaults"
        return ConfigFile(notes=(problem, *_keep_copy(path)))
    settings, bad = Snapshot(), dict[str, str]()
    for key, value in raw.items():
        if key not in declarations() or key in UNSUPPORTED:
            continue
        try:
            settings = settings.with_overrides({key: value})
        except InvalidRequest as error:
            bad[key] = str(error)
    if not bad:
        return ConfigFile(raw=raw, settings=settings)
    notes = (*(f"{path.name}: {text}; the default is used" for text in bad.values()), *_keep_copy(path))
    kept = {key: value for key, value in raw.items() if key not in bad}
    return ConfigFile(raw=kept, settings=settings, notes=notes)


def _parse(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    # NaN and Infinity are not JSON; as null they fail only the setting they stand for.
    found = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=lambda _name: None)
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    # Half of a surrogate pair can be read but never be written again; it becomes a question mark.
    return cast("dict[str, Any]", json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace")))


def _migrated(raw: dict[str, Any]) -> dict[str, Any]:
    """Carry over settings whose name or sense changed between A1111's versions."""
    result = dict(raw)
    old_quick = raw.get("quicksettings")
    if isinstance(old_quick, str) and "quicksettings_list" not in raw:
        result["quicksettings_list"] = [name.strip() for name in old_quick.split(",") if name.strip()]
    per_model = raw.get("sd_vae_as_default")
    if isinstance(per_model, bool) and "sd_vae_overrides_per_model_preferences" not in raw:
        result["sd_vae_overrides_per_model_preferences"] = not per_model
    return result


def _keep_copy(path: Path) -> tuple[str, ...]:
    try:
        stamp = datetime.fromtimestamp(path.stat().st_mtime).strftime("%Y%m%d-%H%M%S")
        copy = path.with_name(f"{path.name}.bad-{stamp}")
        if not copy.exists():
            shutil.copyfile(path, copy)
    except OSError as error:
        return (f"a copy of {path.name} could not be kept: {error}",)
    return (f"the file as it was is kept as {copy.name}",)
