"""Everything the owner does with extensions: switch, install, update, save and restore. Refused to other machines."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modules.domain.errors import ForbiddenSetting, InvalidRequest, PathRefused, UnknownName, WebuiError
from modules.extending import states
from modules.extending.clone import read_clone
from modules.extending.clones import Clones
from modules.extending.discover import Extension, Mode, discover
from modules.extending.git import folder_name, same_address
from modules.extending.index import DEFAULT, Index, fetch_index
from modules.extending.installers import Installers
from modules.extending.registry import Loaded
from modules.extending.work import Say, Workbench, WorkState
from modules.files.paths import safe_child
from modules.settings.store import SettingsStore

REFUSED = (
    "other machines can reach this server, so extensions cannot be changed from the page; "
    "start with --enable-insecure-extension-access to allow it"
)
RESTORED = ("extensions", "webui", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders that matter."""

    root: Path
    """The program."""
    builtin: Path
    extra: Path
    """Where extensions are installed."""
    states: Path
    scripts: Path | None = None
    """Scripts that come with the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One extension as it is now."""

    extension: Extension
    """With what is chosen now, which holds from the next start on."""
    running: bool
    """Whether it was loaded when the program started."""
    faults: tuple[str, ...] = ()
    """What went wrong then."""
    status: str = ""
    """What the last look for updates found."""


@dataclass(kw_only=True, eq=False)
class Manager:
    """Acts on extensions.

    Whatever takes its time is work that is watched; all of it holds from the next start on.
    """

    places: Places
    settings: SettingsStore
    clones: Clones
    installers: Installers
    allowed: bool
    """Whether extensions may be changed: only the machine itself reaches the server, or the owner said so."""
    loaded: Loaded = field(default_factory=Loaded)
    note: str = ""
    """Why extensions do not run although they are switched on: a flag, or safe mode."""
    faults: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Folder name -> what went wrong with its installer at the start."""
    index_address: str = DEFAULT
    fetch: Callable[[str], bytes] | None = None
    """Downloads the list of extensions; None does it from the internet."""
    restart: Callable[[], None] = lambda: None
    """Ends the program and starts it again."""

    def __post_init__(self) -> None:
        self._work = Workbench()
        self._status: dict[str, str] = {}

    def lines(self) -> list[Line]:
        """List all extensions as they lie there now."""
        running = {one.extension.name for one in self.loaded.registries}
        known = self.loaded.faults
        return [
            Line(
                extension=one, running=one.name in running,
                faults=(*self.faults.get(one.name, ()), *known.get(one.name, ())),
                status=self._status.get(one.name, ""),
            )
            for one in sorted(self.found(), key=lambda one: (not one.is_builtin, one.name.lower()))
        ]  # fmt: skip

    def found(self) -> tuple[Extension, ...]:
        """Return the extensions on disk with what is chosen for them now."""
        system = self.settings.snapshot().system
        return discover(
            self.places.builtin, self.places.extra, disabled=system.disabled_extensions,
            mode=Mode(system.disable_all_extensions), why="chosen in the tab Extensions",
        )  # fmt: skip

    def work(self) -> WorkState:
        """Return what is going on."""
        return self._work.state()

    def choose(self, disabled: Collection[str], mode: str) -> None:
        """Choose which extensions run after the next start.

        Raises:
            ForbiddenSetting: not allowed.
            InvalidRequest: an unknown mode.
        """
        self._guard()
        known = {one.name for one in self.found()}
        names = sorted(name for name in disabled if name in known)
        self.settings.set({"disabled_extensions": names, "disable_all_extensions": mode})

    def apply(self, disabled: Collection[str], mode: str, update: Sequence[str]) -> WorkState:
        """Choose, update some, and start the program again.

        Raises:
            ForbiddenSetting: not allowed.
            InvalidRequest: an unknown mode or extension, or other work runs.
        """
        self.choose(disabled, mode)
        wanted = [self._named(name) for name in update]

        def act(say: Say) -> str:
            for one in wanted:
                self.clones.update(one.folder, say, self._installing(say))
            self.restart()
            return "The program starts again."

        return self._work.begin("Applying the choice of extensions", act)

    def check(self) -> WorkState:
        """Look for updates of all extensions that were cloned.

        Raises:
            ForbiddenSetting: not allowed.
            InvalidRequest: other work runs.
        """
        self._guard()
        clones = [one for one in self.found() if one.remote]

        def act(say: Say) -> str:
            for one in clones:
                self._status[one.name] = self.clones.behind(one.folder)
                say(f"{one.name}: {self._status[one.name]}")
            return f"{len(clones)} looked at."

        return self._work.begin("Looking for updates", act)

    def install(self, address: str, branch: str = "", folder: str = "") -> WorkState:
        """Install an extension from the address of a repository.

        Args:
            address: https or ssh.
            branch: empty for the usual one.
            folder: name of the folder; empty for that of the repository.

        Raises:
            ForbiddenSetting: not allowed.
            InvalidRequest: an address that may not be used, one that is installed already, or other work runs.
            PathRefused: no plain name of a folder.
        """
        self._guard()
        address = self.clones.git.check_address(address.strip())
        target = self._free_folder(folder.strip() or folder_name(address))
        twin = next((one for one in self.found() if one.remote and same_address(one.remote, address)), None)
        if twin is not None:
            raise InvalidRequest(f"the extension {twin.name} comes from this address already", field="url")

        def act(say: Say) -> str:
            self.clones.clone(address, branch.strip(), target, say, self._installing(say))
            clone = read_clone(target)
            return f"{target.name} is installed at commit {clone.commit if clone else '?'}. It runs after a restart."

        return self._work.begin(f"Installing {address}", act)

    def update(self, name: str) -> WorkState:
        """Update one extension.

        Raises:
            ForbiddenSetting: not allowed.
            InvalidRequest: there is none of this name that was cloned, or other work runs.
        """
        self._guard()
        one = self._named(name)

        def act(say: Say) -> str:
            commit = self.clones.update(one.folder, say, self._installing(say))
            self._status.pop(name, None)
            return f"{name} is at commit {commit}. It runs after a restart."

        return self._work.begin(f"Updating {name}", act)

    def branches(self, name: str) -> list[str]:
        """List the branches that an extension can be switched to.

        Raises:
            ForbiddenSetting: not allowed.
            InvalidRequest: there is none of this name that was cloned.
        """
        self._guard()
        return self.clones.branches(self._named(name).folder)

    def switch(self, name: str, branch: str) -> WorkState:
        """Switch an extension to another branch.

        Raises:
            ForbiddenSetting: not allowed.
            InvalidRequest: there is none of this name that was cloned, or other work runs.
        """
        self._guard()
        one = self._named(name)

        def act(say: Say) -> str:
            commit = self.clones.switch(one.folder, branch, say, self._installing(say))
            self._status.pop(name, None)
            return f"{name} is on the branch {branch} at commit {commit}. It runs after a restart."

        return self._work.begin(f"Switching {name} to {branch}", act)

    def offers(self, address: str = "") -> Index:
        """Fetch the list of extensions.

        Raises:
            ForbiddenSetting: not allowed.
            InvalidRequest: no https address.
            IndexFailed: there is no connection, or the answer is no list.
        """
        self._guard()
        return fetch_index(address.strip() or self.index_address, self.fetch)

    def saved(self) -> list[states.ConfigState]:
        """List the saved states."""
        return states.saved(self.places.states)

    def save(self, name: str = "") -> str:
        """Save the state of this moment and return the name of its file.

        Raises:
            ForbiddenSetting: not allowed.
            StorageFault: the disk refuses.
        """
        self._guard()
        state = states.describe(self.found(), self.places.root, self.clones, states.check_name(name))
        return states.save(self.places.states, state)

    def restore(self, file: str, what: str = "extensions") -> WorkState:
        """Bring extensions, the program, or both back to a saved state.

        Raises:
            ForbiddenSetting: not allowed.
            InvalidRequest: no such state, nothing to restore, or other work runs.
        """
        self._guard()
        if what not in RESTORED:
            raise InvalidRequest(f"must be one of {', '.join(RESTORED)}", field="what")
        state = states.find(self.places.states, file)

        def act(say: Say) -> str:
            faults: list[str] = []
            if what != "webui":
                faults += self._restore_extensions(state, say)
            if what != "extensions":
                faults += self._attempt("the program", lambda: self._restore_program(state, say), say)
            if faults:
                raise InvalidRequest("not everything is as it was: " + "; ".join(faults))
            return f"Everything is as it was in {state.name}. It holds after a restart."

        return self._work.begin(f"Restoring {state.name}", act)

    def start_again(self) -> None:
        """End the program and start it again.

        Raises:
            ForbiddenSetting: not allowed.
        """
        self._guard()
        self.restart()

    def _restore_extensions(self, state: states.ConfigState, say: Say) -> list[str]:
        entries = {one.name: one for one in state.extensions}
        present = [one for one in self.found() if not one.is_builtin]
        faults = [
            f"{name} is not installed (it came from {entry.remote or 'nowhere'})"
            for name, entry in entries.items()
            if name not in {one.name for one in present}
        ]
        for one in present:
            entry = entries.get(one.name)
            if entry is not None and entry.commit and entry.commit != one.commit:
                faults += self._attempt(one.name, self._going(one.folder, entry.commit, say), say)
        off = [one.name for one in present if one.name not in entries or not entries[one.name].enabled]
        builtin = [one.name for one in self.found() if one.is_builtin and not one.enabled]
        self.settings.set({"disabled_extensions": sorted({*off, *builtin})})
        return faults

    def _going(self, folder: Path, commit: str, say: Say) -> Callable[[], Any]:
        return lambda: self.clones.go_to(folder, commit, say, self._installing(say))

    def _restore_program(self, state: states.ConfigState, say: Say) -> None:
        if not state.program_commit or read_clone(self.places.root) is None:
            raise InvalidRequest("this program is no clone of a repository, or was none then")
        self.clones.go_to(self.places.root, state.program_commit, say, lambda _folder: None)

    @staticmethod
    def _attempt(name: str, call: Callable[[], Any], say: Say) -> list[str]:
        try:
            call()
        except WebuiError as error:
            say(f"{name}: {error}")
            return [f"{name}: {error}"]
        return []

    def _installing(self, say: Say) -> Callable[[Path], None]:
        return lambda folder: self.installers.run(folder, say)

    def _free_folder(self, name: str) -> Path:
        if name.startswith((".", "__")):
            raise PathRefused(f"the name {name[:40]!a} hides a folder; use another one")
        target = safe_child(self.places.extra, name)
        taken = {one.name.lower() for one in self.found()}
        if target.exists() or name.lower() in taken:
            raise InvalidRequest(f"there is an extension {name} already", field="folder")
        return target

    def _named(self, name: str) -> Extension:
        known = {one.name: one for one in self.found() if one.remote and not one.is_builtin}
        if name not in known:
            raise UnknownName("Extension", name, known, field="name")
        return known[name]

    def _guard(self) -> None:
        if not self.allowed:
            raise ForbiddenSetting(REFUSED)
