"""Keep pip, whoever calls it for an extension, from changing the packages that the program itself works with."""

import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path

from modules.domain.errors import StorageFault
from modules.files import atomic

VARIABLE = "PIP_CONSTRAINT"
"""Read by every pip in every process; addresses with blanks between them."""
FILES = ("requirements.txt", "constraints.txt")
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.+!-]+)")


def limits(root: Path) -> list[str]:
    """Return the packages of the program with the versions that are there, and as they are pinned where they are not.

    Args:
        root: the program folder.
    """
    pins = dict[str, str]()
    for name in FILES:
        path = root / name
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            match = _PIN.match(line)
            if match is not None:
                pins[match[1]] = match[2]
    return [f"{name}=={_version(name) or pinned}" for name, pinned in sorted(pins.items())]


def with_limits(environ: Mapping[str, str], root: Path, file: Path) -> dict[str, str]:
    """Return an environment in which pip is held to the limits.

    Args:
        environ: as it is; limits of the owner stay.
        root: the program folder.
        file: where the limits are written.
    """
    lines, address = limits(root), file.absolute().as_uri()  # an address has no blanks, as a path may
    own = environ.get(VARIABLE, "").split()
    if not lines or address in own:
        return dict(environ)
    try:
        atomic.make_folder(file.parent)
        atomic.write(file, "".join(f"{line}\n" for line in lines))
    except StorageFault:  # the disk is full, which whatever is installed next will tell
        return dict(environ)
    return {**environ, VARIABLE: " ".join([*own, address])}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
