"""Small JSON files of the page in the data folder. One that cannot be read is put aside, never written over."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from modules.files.atomic import write_json

logger = logging.getLogger(__name__)

MAX_BYTES = 8 * 2**20


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a file; empty when there is no file or it holds something else."""
    try:
        return _object(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("%s is left out, because it cannot be read: %s", path.name, error)
        return {}


def write_object(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a file; one that `read_object` could not read is kept beside it, with `.bad` at its end.

    Raises:
        StorageFault: the disk refuses.
    """
    try:
        _object(path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RecursionError):
        path.replace(path.with_name(path.name + ".bad"))
    write_json(path, value)


def _object(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    read = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(read, dict):
        raise ValueError("not an object")
    return cast("dict[str, Any]", read)
