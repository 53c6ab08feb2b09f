"""Install what extensions need, in processes of their own, once for each state of an extension."""

import hashlib
import importlib
import json
import logging
import os
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modules.domain.errors import StorageFault, WebuiError
from modules.extending.discover import Extension
from modules.extending.limits import with_limits
from modules.extending.loader import FILE as NATIVE_FILE
from modules.files import atomic

logger = logging.getLogger(__name__)

INSTALLER, REQUIREMENTS = "install.py", "requirements.txt"
LIMIT_S = 1800.0
"""How long an installer may take; some download gigabytes."""
PIP = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input")
PIP_ERROR = "ERROR: "
"""Begins what pip says of its faults; a traceback of whoever called it follows."""

Say = Callable[[str], None]


class InstallerFailed(WebuiError):
    """An installer ended with an error, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command that prepares an extension."""

    name: str
    """For messages."""
    command: Sequence[str]
    remedy: str = ""
    """What is missing when it fails and what the owner can do then, in sentences."""


class Needs(Protocol):
    """One way in which extensions say what has to be installed."""

    name: str
    """Under which it is remembered."""
    limits: Sequence[str]
    """Lines of a constraints file that hold whenever pip is called."""

    def state(self, folder: Path) -> str:
        """Return what the steps depend on; empty for an extension that needs nothing."""
        ...

    def steps(self, folder: Path) -> Sequence[Step]:
        """Return what has to run, in order."""
        ...


class OwnFiles:
    """`requirements.txt` of a native extension, and `install.py` of any.

    Args:
        command: returns what runs an `install.py`; this Python if left out.
    """

    name = "files"
    limits: Sequence[str] = ()

    def __init__(self, command: Callable[[Path], Sequence[str]] | None = None) -> None:
        self._command = command or (lambda path: (sys.executable, str(path)))

    def state(self, folder: Path) -> str:
        """Return the digest of both files."""
        parts = [folder / name for name in (INSTALLER, REQUIREMENTS) if (folder / name).is_file()]
        return digest(piece for path in parts for piece in (path.name.encode(), path.read_bytes())) if parts else ""

    def steps(self, folder: Path) -> Sequence[Step]:
        """Return pip for the one and a process for the other."""
        found: list[Step] = []
        if (folder / NATIVE_FILE).is_file() and (folder / REQUIREMENTS).is_file():
            found.append(Step(name="pip", command=(*PIP, "-r", str(folder / REQUIREMENTS))))
        if (folder / INSTALLER).is_file():
            found.append(Step(name=INSTALLER, command=self._command(folder / INSTALLER)))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Installers:
    """Runs what extensions need and remembers for which state of an extension it ran.

    Whatever pip installs meanwhile leaves the packages of the program as they are.
    """

    root: Path
    """The program folder: their working directory, and where they import the program from."""
    record: Path
    """Where it is remembered."""
    needs: Sequence[Needs] = (OwnFiles(),)
    limit_s: float = LIMIT_S

    def run_needed(self, extensions: Sequence[Extension], say: Say) -> Mapping[str, str]:
        """Run what those extensions need that run and have changed since.

        Returns:
            Folder name -> what went wrong.
        """
        faults, known = dict[str, str](), self._known()
        for one in extensions:
            done = known.get(one.name, {})
            due = [need for need in self.needs if one.active and done.get(need.name, "") != _state(need, one.folder)]
            try:
                self._run_all(one.folder, due, say)
            except InstallerFailed as error:
                logger.error("%s: %s", one.name, error)
                faults[one.name] = str(error)
        return faults

    def run(self, folder: Path, say: Say) -> None:
        """Run everything that an extension needs.

        Raises:
            InstallerFailed: it did not work; names what and why.
        """
        self._run_all(folder, self.needs, say)

    def _run_all(self, folder: Path, needs: Iterable[Needs], say: Say) -> None:
        """Run the steps, each of them whatever became of the others, and remember what ran without a fault."""
        faults, done = list[str](), dict[str, str]()
        for need in needs:
            before = len(faults)
            for step in need.steps(folder):
                try:
                    self._run(step, folder, say)
                except InstallerFailed as error:
                    faults.append(str(error))
            if len(faults) == before:
                done[need.name] = _state(need, folder)
        if done:
            self._remember(folder, done, say)
        importlib.invalidate_caches()
        if faults:
            raise InstallerFailed("; ".join(faults))

    def _run(self, step: Step, folder: Path, say: Say) -> None:
        name = f"{folder.name}: {step.name}"
        paths = [str(self.root), *filter(None, [os.environ.get("PYTHONPATH")])]
        more = [line for need in self.needs for line in need.limits]
        environ = {
            **with_limits(os.environ, self.root, self.record.with_name("extensions-limits.txt"), more),
            "PIP_PROGRESS_BAR": "off",
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }
        say(f"{name} runs")
        last, errors = list[str](), list[str]()
        with subprocess.Popen(
            step.command, cwd=self.root, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
        ) as process:  # fmt: skip
            late = threading.Event()

            def stop() -> None:
                late.set()
                process.kill()

            timer = threading.Timer(self.limit_s, stop)
            timer.daemon = True
            timer.start()
            try:
                for line in process.stdout or ():
                    last = [*last[-4:], line.rstrip()]
                    errors = [*errors[-2:], line.rstrip()] if line.startswith(PIP_ERROR) else errors
                    say(line.rstrip())
                status = process.wait()
            finally:
                timer.cancel()
        if late.is_set():
            raise InstallerFailed(_told(f"{name} did not end within {self.limit_s:g} s", step))
        if status != 0:
            raise InstallerFailed(
                _told(f"{name} failed with exit status {status}: {' / '.join(dict.fromkeys([*errors, *last]))}", step)
            )

    def _remember(self, folder: Path, done: Mapping[str, str], say: Say) -> None:
        known = self._known()
        try:
            atomic.make_folder(self.record.parent)
            atomic.write_json(self.record, {**known, folder.name: {**known.get(folder.name, {}), **done}})
        except StorageFault as error:
            say(str(error))

    def _known(self) -> dict[str, dict[str, str]]:
        try:
            found = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        rows = found.items() if isinstance(found, dict) else ()
        return {name: value for name, value in rows if isinstance(value, dict)}


def digest(parts: Iterable[bytes]) -> str:
    """Return a digest of pieces, apart from each other."""
    made = hashlib.sha256()
    for part in parts:
        made.update(len(part).to_bytes(8, "little") + part)
    return made.hexdigest()


def _state(need: Needs, folder: Path) -> str:
    """Return what a need's result depends on: what the extension says, this Python and its packages; "" for nothing."""
    own = need.state(folder)
    place = Path(sysconfig.get_path("purelib"))
    packages = place.stat().st_ino if place.is_dir() else 0
    return digest([own.encode(), f"{sys.version}{sys.prefix}{packages}".encode()]) if own else ""


def _told(what: str, step: Step) -> str:
    return f"{step.remedy} {what}"[:2000] if step.remedy else what[:2000]
