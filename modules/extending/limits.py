"""Keep pip, whoever calls it for an extension, from changing the packages that the program itself works with."""

import importlib.metadata
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from modules.domain.errors import StorageFault
from modules.files import atomic

VARIABLE = "PIP_CONSTRAINT"
"""Read by every pip in every process; addresses with blanks between them."""
REQUIREMENTS = "requirements.txt"
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.+!-]+)")


def limits(root: Path) -> list[str]:
    """Return what may be installed beside the program, as lines of a constraints file.

    What it imports itself stays as it is. What that brought along may move within what was asked for: pip looks at
    wishes of installed packages only after it has changed something.

    Args:
        root: the program folder.
    """
    path = root / REQUIREMENTS
    pins = dict(_pins(path.read_text(encoding="utf-8").splitlines() if path.is_file() else ()))
    own = [f"{name}=={_version(name) or pinned}" for name, pinned in pins.items()]
    return sorted({*own, *_wishes(list(pins))})


def with_limits(environ: Mapping[str, str], root: Path, file: Path, more: Sequence[str] = ()) -> dict[str, str]:
    """Return an environment in which pip is held to the limits.

    Args:
        environ: as it is; limits of the owner stay.
        root: the program folder.
        file: where the limits are written.
        more: further lines of a constraints file.
    """
    address = file.absolute().as_uri()  # an address has no blanks, as a path may
    own = environ.get(VARIABLE, "").split()
    lines = [*limits(root), *more]
    if not lines or address in own:
        return dict(environ)
    try:
        atomic.make_folder(file.parent)
        atomic.write(file, "".join(f"{line}\n" for line in lines))
    except StorageFault:  # the disk is full, which whatever is installed next will tell
        return dict(environ)
    return {**environ, VARIABLE: " ".join([*own, address])}


def _pins(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        match = _PIN.match(line)
        if match is not None:
            yield match[1], match[2]


def _wishes(names: list[str]) -> Iterator[str]:
    """Yield what installed packages ask of others, as far as that restricts them, and what those ask in turn."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    pinned = {canonicalize_name(name) for name in names}
    waiting, seen = list(names), set(pinned)
    while waiting:
        for line in _requires(waiting.pop()):
            try:
                wish = Requirement(line)
            except InvalidRequirement:
                continue
            if wish.url or (wish.marker is not None and not wish.marker.evaluate({"extra": ""})):
                continue
            name = canonicalize_name(wish.name)
            if wish.specifier and name not in pinned:
                yield f"{name}{wish.specifier}"
            if name not in seen:
                seen.add(name)
                waiting.append(name)


def _requires(name: str) -> Sequence[str]:
    try:
        return importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError:
        return ()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
