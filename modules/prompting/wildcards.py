"""Wildcards: `__name__` stands for a line of `name.txt`, chosen by the seed of the picture."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modules.prompting.limits import check

MARK = "__"
MAX_DEPTH = 8
"""Rounds of replacement: a chosen line may contain wildcards itself."""
MAX_FILE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Wildcards:
    """The text files of a folder by name: path below it with `/`, without `.txt`."""

    files: Mapping[str, Path]

    def lines(self, name: str) -> tuple[str, ...]:
        """Return the lines to choose from; blank lines and those starting with `#` do not count."""
        path = self.files.get(name)
        if path is None:
            return ()
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                return ()
            text = path.read_text(encoding="utf-8-sig", errors="replace")
        except OSError:
            return ()
        lines = (line.strip() for line in text.splitlines())
        return tuple(line for line in lines if line and not line.startswith("#"))


def scan_wildcards(folder: Path) -> Wildcards:
    """List the wildcard files of a folder and its sub-folders; links that lead out of it are left out."""
    root = folder.resolve()
    files: dict[str, Path] = {}
    for path in sorted(root.rglob("*.txt")):
        if path.is_file() and path.resolve().is_relative_to(root):
            files[path.relative_to(root).with_suffix("").as_posix()] = path
    return Wildcards(files)


def expand_wildcards(text: str, wildcards: Wildcards, seed: int, *, limit: int = 50_000) -> str:
    """Replace every known `__name__`; unknown names, and whatever is left after the last round, stay as text.

    The same seed and text give the same choice; each place in the text chooses on its own.

    Raises:
        LimitExceeded: the result has more than `limit` characters.
    """
    lines: dict[str, tuple[str, ...]] = {}
    for depth in range(MAX_DEPTH):
        expanded = _expand_once(text, wildcards, lines, f"{seed}:{depth}", limit)
        if expanded == text:
            break
        text = expanded
    return text


def _expand_once(text: str, wildcards: Wildcards, lines: dict[str, tuple[str, ...]], key: str, limit: int) -> str:
    kept: list[str] = []
    length = position = 0
    while (start := text.find(MARK, position)) >= 0 and (end := text.find(MARK, start + 2)) >= 0:
        name = text[start + 2 : end]
        if name not in lines:
            lines[name] = wildcards.lines(name)
        known = lines[name]
        kept.append(text[position:start])
        if known:
            kept.append(known[_draw(f"{key}:{len(kept)}:{name}", len(known))])
            position = end + 2
        else:
            kept.append(text[start:end])  # what looked like the end may begin the next name
            position = end
        length += len(kept[-1]) + len(kept[-2])
        check("prompt", length, limit, "characters with wildcards")
    kept.append(text[position:])
    return "".join(kept)


def _draw(key: str, count: int) -> int:
    """Return a number below `count` that depends on nothing but the key, on every machine."""
    digest = hashlib.sha256(key.encode("utf-8", errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % count
