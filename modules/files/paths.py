"""The one place where a name from outside becomes a path."""

import re
import unicodedata
from pathlib import Path

from modules.domain.errors import PathRefused

MAX_NAME_BYTES = 255
"""What file systems accept for one part of a path."""

_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ .]*(\..*)?", re.IGNORECASE | re.DOTALL
)
"""Device names of Windows, with or without an extension."""

# Marks that turn the reading direction make `gpj.exe` look like `exe.jpg`.
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REPLACED = frozenset('#<>:"/\\|?*\n\r\t')


def safe_child(root: Path, name: str) -> Path:
    """Join a folder and the name of a file or folder directly inside it.

    Args:
        root: a folder of ours.
        name: one part of a path, as somebody else wrote it.

    Returns:
        The path, with symbolic links resolved. It need not exist.

    Raises:
        PathRefused: the name is empty, reserved, or leads out of the folder, through a link too.
    """
    _check_part(name)
    return _inside(root, root / name)


def safe_descendant(root: Path, relative: str) -> Path:
    """Join a folder and a path below it, written with `/`; every part obeys the rules of `safe_child`.

    Raises:
        PathRefused: a part is refused or the result lies outside.
    """
    parts = relative.split("/")
    for part in parts:
        _check_part(part)
    return _inside(root, root.joinpath(*parts))


def _inside(root: Path, path: Path) -> Path:
    try:
        base, resolved = root.resolve(), path.resolve()
    except (OSError, RuntimeError) as error:
        raise PathRefused(f"the name {path.name[:40]!a} cannot be followed; it may be a link to itself") from error
    if resolved == base or not resolved.is_relative_to(base):
        raise PathRefused(f"the name {path.name[:40]!a} leads out of its folder")
    return resolved


def _check_part(name: str) -> None:
    fault = _fault(name)
    if fault:
        raise PathRefused(f"the name {name[:40]!a} {fault}; use a plain file name")


def _fault(name: str) -> str:
    if not name or name in (".", ".."):
        return "names no file"
    if "/" in name or "\\" in name:
        return "contains a path separator"
    if ":" in name:
        return "contains a colon"
    if any(unicodedata.category(c) in ("Cc", "Cs") or c in _DIRECTION for c in name):
        return "contains control characters"
    if name != name.rstrip(" ."):
        return "ends with a dot or a blank"
    if _RESERVED.fullmatch(name):
        return "is reserved by Windows"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return ""


def safe_name(text: str, max_bytes: int = 128) -> str:
    """Turn any text into one usable part of a file name.

    Separators and marks that some file system forbids become `_`, control characters vanish, blanks in
    front and blanks and dots behind are removed, and the rest is cut to `max_bytes` of UTF-8.

    Returns:
        A name that `safe_child` accepts; `_` when nothing is left.
    """
    kept = (("_" if c in _REPLACED else c) for c in text)
    name = "".join(c for c in kept if unicodedata.category(c) not in ("Cc", "Cs") and c not in _DIRECTION)
    if _RESERVED.fullmatch(name.strip()):
        name = f"_{name.strip()}"
    name = name.lstrip(" ").encode()[:max_bytes].decode(errors="ignore").rstrip(" .")
    return name or "_"
