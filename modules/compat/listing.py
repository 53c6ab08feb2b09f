"""Files and folders as legacy modules list them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modules.compat.host import host
from modules.compat.scripts import ScriptFile


def natural_sort_key(s: Any, regex: re.Pattern[str] = re.compile("([0-9]+)")) -> list[Any]:
    """Return what sorts names with numbers as people do."""
    return [int(text) if text.isdigit() else text.lower() for text in regex.split(str(s))]


def listfiles(dirname: str) -> list[str]:
    """List the files of a folder, those that begin with a dot left out."""
    folder = Path(dirname)
    names = sorted((one.name for one in folder.iterdir()), key=natural_sort_key) if folder.is_dir() else []
    return [str(folder / name) for name in names if not name.startswith(".") and (folder / name).is_file()]


def walk_files(path: str | None, allowed_extensions: Any = None) -> Iterator[str]:
    """Yield the files below a folder."""
    folder = Path(path or "")
    if not path or not folder.is_dir():
        return
    allowed = None if allowed_extensions is None else {one.lower() for one in allowed_extensions}
    for file in sorted(folder.rglob("*"), key=natural_sort_key):
        if file.is_file() and (allowed is None or file.suffix.lower() in allowed):
            yield str(file)


def html_path(filename: str) -> str:
    """Return where a fragment of the page lies."""
    return str(host().layout.root / "html" / filename)


def html(filename: str) -> str:
    """Return a fragment of the page, empty when there is none."""
    path = Path(html_path(filename))
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def basedir() -> str:
    """Return the folder of the extension whose script file runs at this moment, else that of the program."""
    loading = host().loading
    return str(loading[-1].folder if loading else host().layout.root)


def list_scripts(scriptdirname: str, extension: str, *, include_extensions: bool = True) -> list[ScriptFile]:
    """List files of one folder of the program and of all extensions."""
    from modules.extending.discover import files_of

    own = host().layout.root / scriptdirname
    found = [
        ScriptFile(str(host().layout.root), one.name, str(one))
        for one in (sorted(own.iterdir()) if own.is_dir() else ())
        if one.suffix.lower() == extension
    ]
    if include_extensions:
        for one in host().extensions:
            paths = files_of(one, scriptdirname, extension) if one.active else ()
            found += [ScriptFile(str(one.folder), path.name, str(path)) for path in paths]
    return found


def list_files_with_name(filename: str) -> list[str]:
    """List files of this name in the folders of the program and of all extensions."""
    places = [host().layout.root, *(one.folder for one in host().extensions if one.active)]
    return [str(place / filename) for place in places if (place / filename).is_file()]
