"""Which extensions there are, which of them run, in which order, and why the others do not."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from modules.extending.clone import read_clone
from modules.extending.metadata import Metadata, Order, read_metadata


class Mode(Enum):
    """Which extensions are switched off all together; values are those of the setting `disable_all_extensions`."""

    NONE = "none"
    EXTRA = "extra"
    """Only those that come with the program run."""
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A folder that adds to the program."""

    name: str
    """Of the folder."""
    folder: Path
    is_builtin: bool = False
    """Whether it comes with the program."""
    enabled: bool = True
    """What the owner chose for this one."""
    reason: str = ""
    """Why it does not run, in a sentence; empty when it does."""
    metadata: Metadata
    remote: str = ""
    """Address that it was cloned from, empty when it is no clone."""
    branch: str = ""
    commit: str = ""

    @property
    def active(self) -> bool:
        """Whether it runs."""
        return not self.reason

    @property
    def canonical(self) -> str:
        """What others call it, in small letters."""
        return self.metadata.name

    @property
    def version(self) -> str:
        """First digits of its commit."""
        return self.commit[:8]

    @property
    def requires(self) -> tuple[str, ...]:
        """Canonical names of the extensions that it needs."""
        return self.metadata.requires


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionFile:
    """A file that some loader runs."""

    extension: Extension
    name: str
    """Without folders."""
    path: Path
    order: Order = field(default_factory=Order)

    @property
    def canonical(self) -> str:
        """How others name it in their `metadata.ini`: extension and file, in small letters."""
        return f"{self.extension.canonical}/{self.name}".lower()


def discover(
    builtin: Path, extra: Path, *, disabled: Collection[str] = (), mode: Mode = Mode.NONE, why: str = ""
) -> tuple[Extension, ...]:
    """List all extensions: first those that run, in the order in which they are loaded, then the others.

    Args:
        builtin: folder of those that come with the program.
        extra: folder of those that the owner installed.
        disabled: names of folders that are switched off one by one.
        mode: what is switched off all together.
        why: who asked for `mode`, for the reasons: "--disable-all-extensions".
    """
    found = [_extension(folder, True) for folder in _folders(builtin)]
    found += [_extension(folder, False) for folder in _folders(extra)]
    judged = [_judged(one, disabled, mode, why) for one in found]
    left, chosen = _without_doubles(judged)
    left, chosen = _with_requirements(left, chosen)
    return (*_ordered(chosen), *sorted(left, key=lambda one: one.name.lower()))


def program_scripts(folder: Path) -> tuple[Extension, ...]:
    """List the scripts that come with the program: folders that are loaded like extensions, and always run."""
    return tuple(replace(_extension(one, True), name=f"scripts/{one.name}") for one in _folders(folder))


def files_of(extension: Extension, subfolder: str, *suffixes: str) -> tuple[Path, ...]:
    """List the files of one folder of an extension by name; only those that really lie there."""
    folder = extension.folder / subfolder if subfolder else extension.folder
    if not folder.is_dir():
        return ()
    inside = extension.folder.resolve()
    found = (path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.is_file())
    return tuple(sorted((path for path in found if path.resolve().is_relative_to(inside)), key=lambda path: path.name))


def ordered_files(
    extensions: Sequence[Extension], subfolder: str, *suffixes: str
) -> tuple[tuple[ExtensionFile, ...], Mapping[str, str]]:
    """List the files that a loader runs, over all extensions, in the order that their `metadata.ini` asks for.

    Returns:
        The files, and canonical name -> reason for those that are left out because something they need is not there.
    """
    files = [
        ExtensionFile(extension=one, name=path.name, path=path, order=one.metadata.order_of(subfolder, path.name))
        for one in extensions
        for path in files_of(one, subfolder, *suffixes)
    ]
    known = {one.canonical for one in files} | {one.canonical for one in extensions}
    missing = {one.canonical: _missing(one.order.requires, known) for one in files}
    kept = [one for one in files if not missing[one.canonical]]
    names = [one.canonical for one in kept]
    groups: dict[str, list[str]] = {}
    for one in kept:
        groups.setdefault(one.extension.canonical, []).append(one.canonical)
    orders = {one.canonical: one.order for one in kept}
    at = dict(zip(names, kept, strict=True))
    reasons = {name: reason for name, reason in missing.items() if reason}
    return tuple(at[name] for name in in_order(names, orders, groups)), reasons


def in_order(
    names: Sequence[str], orders: Mapping[str, Order], groups: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """Sort names by what each comes after and before; otherwise they stay as they are.

    Args:
        names: in their usual order.
        orders: name -> what it comes after and before; names that are not there do not matter.
        groups: name of several -> their names.

    Returns:
        The names. Those that wait for each other keep their usual order.
    """
    place = {name: number for number, name in enumerate(names)}
    known = {**{name: [name] for name in names}, **(groups or {})}
    waits: dict[str, set[str]] = {name: set() for name in names}
    for name in names:
        order = orders.get(name, Order())
        for earlier in (*order.requires, *order.after):
            waits[name].update(one for one in known.get(earlier, ()) if one != name)
        for later in order.before:
            for one in known.get(later, ()):
                if one != name:
                    waits[one].add(name)
    sorter = TopologicalSorter(waits)
    try:
        sorter.prepare()
    except CycleError:
        return list(names)
    return list(_steadily(sorter, place))


def _steadily(sorter: "TopologicalSorter[str]", place: Mapping[str, int]) -> Iterator[str]:
    """Yield what is ready, always the one that usually comes first."""
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=lambda name: place[name])
        first, *ready = ready
        yield first
        sorter.done(first)


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(
        (path for path in parent.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))),
        key=lambda path: path.name.lower(),
    )


def _extension(folder: Path, is_builtin: bool) -> Extension:
    clone = None if is_builtin else read_clone(folder)
    found = Extension(name=folder.name, folder=folder, is_builtin=is_builtin, metadata=read_metadata(folder))
    if clone is None:
        return found
    return replace(found, remote=clone.remote, branch=clone.branch, commit=clone.commit)


def _judged(one: Extension, disabled: Collection[str], mode: Mode, why: str) -> Extension:
    by = f" ({why})" if why else ""
    if one.name in disabled:
        return replace(one, enabled=False, reason="It is switched off.")
    if mode is Mode.ALL:
        return replace(one, reason=f"All extensions are switched off{by}.")
    if mode is Mode.EXTRA and not one.is_builtin:
        return replace(one, reason=f"All extensions but those of the program are switched off{by}.")
    return replace(one, reason=one.metadata.fault)


def _without_doubles(found: Sequence[Extension]) -> tuple[list[Extension], list[Extension]]:
    left: list[Extension] = []
    chosen: dict[str, Extension] = {}
    for one in found:
        first = chosen.get(one.canonical)
        if not one.active:
            left.append(one)
        elif first is not None:
            left.append(replace(one, reason=f"The extension in the folder {first.name} has the same name."))
        else:
            chosen[one.canonical] = one
    return left, list(chosen.values())


def _with_requirements(left: list[Extension], chosen: list[Extension]) -> tuple[list[Extension], list[Extension]]:
    """Leave out what needs something that does not run, and what needs that, until nothing is missing."""
    off = {one.canonical for one in left}
    while True:
        known = {one.canonical for one in chosen}
        missing = {one.name: _missing(one.requires, known, off) for one in chosen}
        if not any(missing.values()):
            return left, chosen
        left = [*left, *(replace(one, reason=missing[one.name]) for one in chosen if missing[one.name])]
        chosen = [one for one in chosen if not missing[one.name]]
        off = {one.canonical for one in left}


def _missing(requires: Sequence[str], known: Collection[str], off: Collection[str] = ()) -> str:
    name = next((name for name in requires if name not in known), None)
    if name is None:
        return ""
    return f"It needs {name}, which {'does not run' if name in off else 'is not installed'}."


def _ordered(chosen: Sequence[Extension]) -> list[Extension]:
    orders = {one.canonical: Order(requires=one.requires) for one in chosen}
    at = {one.canonical: one for one in chosen}
    return [at[name] for name in in_order(list(at), orders)]
