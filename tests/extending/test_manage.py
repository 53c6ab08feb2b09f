"""Installing, updating, switching, saving and restoring, with repositories on this disk in place of the internet."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modules.domain.errors import ForbiddenSetting, InvalidRequest, PathRefused, UnknownName, WebuiError
from modules.extending.clones import BEHIND, LATEST, UNKNOWN, Clones
from modules.extending.git import SCHEMES, Git, check_branch, folder_name, same_address
from modules.extending.installers import Installers
from modules.extending.manage import Manager, Places
from modules.extending.work import WorkState
from modules.settings.store import SettingsStore
from tests.extending.extending_house import commit, git, make_extension


@dataclass
class Workplace:
    """A manager and the folder with everything."""

    manager: Manager
    folder: Path
    restarts: list[str]

    def done(self, state: WorkState | None = None) -> WorkState:
        """Wait for the work that was begun."""
        for _ in range(600):
            state = self.manager.work()
            if not state.running:
                return state
            time.sleep(0.05)
        raise AssertionError("it did not end")

    def source(self, name: str = "thing", **files: str) -> tuple[str, Path]:
        """Make a repository somewhere else and return its address and folder."""
        folder = make_extension(self.folder / "elsewhere", name, {"scripts/main.py": "", **files})
        commit(folder)
        return f"file://{folder}", folder

    def installed(self) -> list[str]:
        return sorted(path.name for path in self.manager.places.extra.iterdir())

    def text(self, name: str, file: str) -> str:
        return (self.manager.places.extra / name / file).read_text()


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return workplace(tmp_path)


def workplace(folder: Path, *, allowed: bool = True, schemes: tuple[str, ...] = ("file",)) -> Workplace:
    root, restarts = folder / "root", list[str]()
    for name in ("root/extensions-builtin", "data/extensions"):
        (folder / name).mkdir(parents=True)
    manager = Manager(
        places=Places(
            root=root, builtin=root / "extensions-builtin", extra=folder / "data" / "extensions",
            states=root / "config_states",
        ),
        settings=SettingsStore(folder / "data" / "config.json"), clones=Clones(git=Git(schemes=schemes)),
        installers=Installers(root=root, record=folder / "data" / "cache" / "installed.json", limit_s=20),
        allowed=allowed, restart=lambda: restarts.append("again"),
    )  # fmt: skip
    return Workplace(manager, folder, restarts)


def test_installing_shows_the_commit_and_what_the_installer_says(place: Workplace) -> None:
    text = "import os, sys; print('cwd', os.getcwd()); print('path', os.environ['PYTHONPATH']); open('made', 'w')"
    address, source = place.source(**{"install.py": text})
    state = place.done(place.manager.install(address))
    assert (state.error, state.running) == ("", False)
    assert git(source, "rev-parse", "HEAD") in state.result
    root = place.manager.places.root
    assert f"cwd {root}" in state.lines
    assert any(line.startswith(f"path {root}") for line in state.lines)
    assert (root / "made").exists()
    (line,) = place.manager.lines()
    assert (line.extension.name, line.extension.remote, line.running) == ("thing", address, False)


def test_a_branch_and_a_folder_may_be_named(place: Workplace) -> None:
    address, source = place.source()
    git(source, "checkout", "-q", "-b", "other")
    (source / "new.txt").write_text("other")
    commit(source)
    assert place.done(place.manager.install(address, "other", "my name")).error == ""
    assert place.text("my name", "new.txt") == "other"
    assert place.manager.lines()[0].extension.branch == "other"


@pytest.mark.parametrize(
    "installer", ["raise SystemExit(3)", "import nothing_of_this_name", "import time; time.sleep(60)"]
)
def test_a_failed_install_leaves_nothing(place: Workplace, installer: str) -> None:
    if "sleep" in installer:
        place.manager.installers = Installers(
            root=place.manager.places.root, record=place.folder / "installed.json", limit_s=1
        )
    address, _ = place.source(**{"install.py": installer})
    state = place.done(place.manager.install(address))
    assert "install.py" in state.error
    assert place.installed() == []


@pytest.mark.parametrize(("name", "branch"), [("nowhere", ""), ("thing", "no-such-branch")])
def test_a_failed_clone_leaves_nothing(place: Workplace, name: str, branch: str) -> None:
    place.source()
    state = place.done(place.manager.install(f"file://{place.folder}/elsewhere/{name}", branch))
    assert "git clone failed" in state.error
    assert place.installed() == []


@pytest.mark.parametrize(
    "address",
    [
        "", "ext::sh -c touch% canary", "file:///tmp/x", "--upload-pack=touch canary", "-x", "http://example.org/x",
        "git://example.org/x", "https://", "https://user:word@example.org/x", "https://token@example.org/x", "ssh://-oProxyCommand=x/y",
        "https://example.org/a b", "https://example.org/\nx", "example.org/x", "git@example.org:x/y", "/etc", "C:\\x", "fd::17",
        "https://[", "ext::https://example.org/x", "javascript://x/y", "https://example.org/" + "x" * 3000,
    ],
)  # fmt: skip
def test_addresses_that_may_not_be_cloned(tmp_path: Path, address: str) -> None:
    place = workplace(tmp_path, schemes=SCHEMES)
    with pytest.raises(InvalidRequest, match=r"address|password"):
        place.manager.install(address)
    assert place.manager.work().number == 0


def test_git_itself_refuses_other_ways(place: Workplace) -> None:
    manager = workplace(place.folder / "two", schemes=SCHEMES).manager
    address, _ = place.source()
    assert manager.clones.git.ask(place.folder, "ls-remote", address) == ""
    assert place.manager.clones.git.ask(place.folder, "ls-remote", address) != ""


@pytest.mark.parametrize("name", ["../out", "a/b", ".git", "..", "__pycache__", "con", "a\0b", "x" * 300, "a:b"])
def test_folders_that_are_refused(place: Workplace, name: str) -> None:
    address, _ = place.source()
    with pytest.raises(PathRefused):
        place.manager.install(address, "", name)
    assert place.installed() == []


def test_nothing_is_installed_twice(place: Workplace) -> None:
    address, _ = place.source()
    place.done(place.manager.install(address))
    with pytest.raises(InvalidRequest, match="already"):
        place.manager.install(address, "", "other")
    with pytest.raises(InvalidRequest, match="there is an extension THING already"):
        place.manager.install(f"{address}-2", "", "THING")


def test_hooks_of_a_repository_do_not_run(place: Workplace) -> None:
    address, source = place.source()
    place.done(place.manager.install(address))
    hook = place.manager.places.extra / "thing" / ".git" / "hooks" / "post-merge"
    for name in ("post-merge", "post-checkout", "reference-transaction"):
        hook.with_name(name).write_text(f"#!/bin/sh\ntouch {place.folder}/canary\n")
        hook.with_name(name).chmod(0o755)
    (source / "new.txt").write_text("2")
    commit(source)
    assert place.done(place.manager.update("thing")).error == ""
    assert not (place.folder / "canary").exists()


def test_looking_for_updates_and_updating(place: Workplace) -> None:
    address, source = place.source()
    place.done(place.manager.install(address))
    make_extension(place.manager.places.extra, "plain", {})
    place.done(place.manager.check())
    assert [(line.extension.name, line.status) for line in place.manager.lines()] == [("plain", ""), ("thing", LATEST)]
    (source / "new.txt").write_text("2")
    newest = commit(source)
    place.done(place.manager.check())
    assert place.manager.lines()[1].status == BEHIND
    state = place.done(place.manager.update("thing"))
    assert (state.error, newest in state.result) == ("", True)
    assert place.text("thing", "new.txt") == "2"
    assert place.manager.lines()[1].status == ""
    with pytest.raises(UnknownName):
        place.manager.update("plain")


def test_a_rewritten_history_is_followed(place: Workplace) -> None:
    address, source = place.source()
    place.done(place.manager.install(address))
    (source / "new.txt").write_text("2")
    git(source, "add", "-A")
    git(source, "commit", "-q", "--amend", "-m", "rewritten")
    assert place.done(place.manager.update("thing")).error == ""
    assert place.text("thing", "new.txt") == "2"


def test_own_changes_are_not_lost(place: Workplace) -> None:
    address, source = place.source()
    place.done(place.manager.install(address))
    (place.manager.places.extra / "thing" / "scripts" / "main.py").write_text("mine")
    (source / "new.txt").write_text("2")
    commit(source)
    state = place.done(place.manager.update("thing"))
    assert "changes that would be lost: scripts/main.py" in state.error
    assert place.text("thing", "scripts/main.py") == "mine"


def test_an_update_whose_installer_fails_is_taken_back(place: Workplace) -> None:
    address, source = place.source()
    place.done(place.manager.install(address))
    before = place.manager.lines()[0].extension.commit
    (source / "install.py").write_text("raise SystemExit(1)")
    commit(source)
    assert "install.py failed" in place.done(place.manager.update("thing")).error
    assert place.manager.lines()[0].extension.commit == before


def test_branches(place: Workplace) -> None:
    address, source = place.source()
    place.done(place.manager.install(address))
    git(source, "checkout", "-q", "-b", "dev/new")
    (source / "new.txt").write_text("2")
    commit(source)
    assert place.manager.branches("thing") == ["dev/new", "main"]
    assert place.done(place.manager.switch("thing", "dev/new")).error == ""
    assert (place.manager.lines()[0].extension.branch, place.text("thing", "new.txt")) == ("dev/new", "2")
    assert place.done(place.manager.switch("thing", "nowhere")).error != ""
    assert place.manager.lines()[0].extension.branch == "dev/new"
    assert place.done(place.manager.switch("thing", "main")).error == ""
    assert not (place.manager.places.extra / "thing" / "new.txt").exists()


@pytest.mark.parametrize("name", ["-x", "", "a..b", "a b", "x" * 300, "a.lock", "--upload-pack=x", "a\nb", "a:b"])
def test_names_that_are_no_branches(name: str) -> None:
    with pytest.raises(InvalidRequest):
        check_branch(name)


def test_choosing_and_applying(place: Workplace) -> None:
    address, source = place.source()
    place.done(place.manager.install(address))
    make_extension(place.manager.places.extra, "plain", {})
    (source / "new.txt").write_text("2")
    commit(source)
    state = place.done(place.manager.apply(["plain", "nobody"], "none", ["thing"]))
    assert (state.error, place.restarts) == ("", ["again"])
    assert place.text("thing", "new.txt") == "2"
    kept = json.loads((place.folder / "data" / "config.json").read_text())
    assert (kept["disabled_extensions"], kept["disable_all_extensions"]) == (["plain"], "none")
    assert [line.extension.active for line in place.manager.lines()] == [False, True]
    with pytest.raises(InvalidRequest):
        place.manager.apply([], "some", [])


def test_states_are_saved_and_restored(place: Workplace) -> None:
    address, source = place.source()
    place.done(place.manager.install(address))
    make_extension(place.manager.places.extra, "plain", {})
    place.manager.choose(["plain"], "none")
    file = place.manager.save("before / it")
    (saved,) = place.manager.saved()
    assert (saved.name, saved.file) == ("before / it", file)
    written: dict[str, Any] = json.loads((place.manager.places.states / file).read_text())
    assert set(written) == {"name", "created_at", "webui", "extensions"}
    assert set(written["extensions"]["thing"]) == {
        "name", "path", "enabled", "is_builtin", "remote", "commit_hash", "commit_date", "branch", "have_info_from_repo",
    }  # fmt: skip
    first = written["extensions"]["thing"]["commit_hash"]
    (source / "new.txt").write_text("2")
    commit(source)
    place.done(place.manager.update("thing"))
    make_extension(place.manager.places.extra, "later", {})
    place.manager.choose([], "none")
    assert place.done(place.manager.restore(file)).error == ""
    found = {line.extension.name: line.extension for line in place.manager.lines()}
    assert {name: one.enabled for name, one in found.items()} == {"thing": True, "plain": False, "later": False}
    assert (found["thing"].commit, found["thing"].branch) == (first, "main")


def test_what_cannot_be_restored_is_told(place: Workplace) -> None:
    states = place.manager.places.states
    states.mkdir()
    entry = {"name": "gone", "enabled": True, "remote": "https://example.org/gone", "commit_hash": "a" * 40}
    (states / "a.json").write_text(json.dumps({"name": "old", "created_at": 1, "extensions": {"gone": entry}}))
    for name, text in (("b.json", "["), ("c.json", "[]"), ("d.json", '{"extensions": []}'), ("e.json", "\0")):
        (states / name).write_text(text)
    assert [state.file for state in place.manager.saved()] == ["a.json"]
    state = place.done(place.manager.restore("a.json", "both"))
    assert "gone is not installed (it came from https://example.org/gone)" in state.error
    assert "the program: " in state.error
    for file in ("../config.json", "b.json", "nobody.json"):
        with pytest.raises((PathRefused, UnknownName)):
            place.manager.restore(file)
    with pytest.raises(InvalidRequest):
        place.manager.restore("a.json", "everything")


def test_only_one_thing_at_a_time(place: Workplace) -> None:
    address, _ = place.source(**{"install.py": "import time; time.sleep(1)"})
    place.manager.install(address)
    with pytest.raises(InvalidRequest, match="wait until this has ended: Installing"):
        place.manager.check()
    place.done()


ACTS: dict[str, Callable[[Manager], object]] = {
    "choose": lambda manager: manager.choose([], "none"),
    "apply": lambda manager: manager.apply([], "none", []),
    "check": lambda manager: manager.check(),
    "install": lambda manager: manager.install("https://example.org/x"),
    "update": lambda manager: manager.update("thing"),
    "branches": lambda manager: manager.branches("thing"),
    "switch": lambda manager: manager.switch("thing", "main"),
    "offers": lambda manager: manager.offers(),
    "save": lambda manager: manager.save(),
    "restore": lambda manager: manager.restore("a.json"),
    "start_again": lambda manager: manager.start_again(),
}


@pytest.mark.parametrize("act", ACTS)
def test_other_machines_may_do_nothing(tmp_path: Path, act: str) -> None:
    place = workplace(tmp_path, allowed=False)
    with pytest.raises(ForbiddenSetting, match="--enable-insecure-extension-access"):
        ACTS[act](place.manager)
    assert (place.restarts, place.manager.work().number) == ([], 0)
    assert place.manager.lines() == []


def test_every_act_is_guarded() -> None:
    looks = {"lines", "found", "work", "saved"}
    public = {name for name, one in vars(Manager).items() if callable(one) and not name.startswith("_")}
    assert public - looks - {"restart"} == set(ACTS)


def test_the_list_of_extensions(place: Workplace) -> None:
    listed = {"tags": {"ads": "x"}, "extensions": [
        {"name": "A", "url": "https://example.org/a", "description": "<img src=x>", "tags": ["tab"], "stars": 3},
        {"name": "no address"}, "text", {"name": 5, "url": "x"},
    ]}  # fmt: skip
    place.manager.fetch = lambda _address: json.dumps(listed).encode()
    found = place.manager.offers("https://example.org/index.json")
    assert [(one.name, one.tags, one.stars) for one in found.offers] == [("A", ("tab",), 3)]
    assert found.tags == {"ads": "x"}


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"extensions": 3}', b"\xff"])
def test_what_is_no_list(place: Workplace, raw: bytes) -> None:
    place.manager.fetch = lambda _address: raw
    with pytest.raises(WebuiError, match="no list of extensions"):
        place.manager.offers()


def test_no_network_is_told(place: Workplace) -> None:
    def fetch(_address: str) -> bytes:
        raise OSError("Network is unreachable")

    place.manager.fetch = fetch
    with pytest.raises(WebuiError, match=r"cannot be fetched from https://raw.*Network is unreachable"):
        place.manager.offers()
    for address in ("http://example.org/", "file:///etc/passwd", "https:///x", "x"):
        with pytest.raises(InvalidRequest, match="begins with https"):
            place.manager.offers(address)


def test_installers_run_once_for_each_state(place: Workplace) -> None:
    folder = make_extension(place.manager.places.extra, "a", {"install.py": "print('ran')"})
    make_extension(place.manager.places.extra, "bad", {"install.py": "raise SystemExit('broken pipes')"})
    make_extension(place.manager.places.extra, "none", {})
    said: list[str] = []
    for count in (1, 1):
        faults = place.manager.installers.run_needed(place.manager.found(), said.append)
        assert said.count("ran") == count
        assert list(faults) == ["bad"]
        assert "broken pipes" in faults["bad"]
    (folder / "install.py").write_text("print('ran') # again")
    place.manager.installers.run_needed(place.manager.found(), said.append)
    assert said.count("ran") == 2


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://example.org/a/thing.git", "thing"), ("https://example.org/thing/", "thing"),
        ("ssh://git@example.org/x.y", "x.y"),
    ],
)  # fmt: skip
def test_names_of_folders(address: str, name: str) -> None:
    assert folder_name(address) == name
    assert same_address(address, address.upper().removesuffix(".GIT"))


def test_a_folder_that_is_no_clone_is_unknown(place: Workplace) -> None:
    assert place.manager.clones.behind(place.folder) == UNKNOWN
