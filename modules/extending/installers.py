"""Run the installer of an extension in a process of its own, once for each state of the extension."""

import hashlib
import importlib
import json
import logging
import os
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.domain.errors import StorageFault, WebuiError
from modules.extending.discover import Extension
from modules.extending.loader import FILE as NATIVE_FILE
from modules.files import atomic

logger = logging.getLogger(__name__)

INSTALLER, REQUIREMENTS = "install.py", "requirements.txt"
LIMIT_S = 1800.0
"""How long an installer may take; some download gigabytes."""

Say = Callable[[str], None]
Command = Callable[[Path], Sequence[str]]
"""Returns what runs an `install.py`."""


class InstallerFailed(WebuiError):
    """An installer ended with an error, or not at all."""


def plain_command(installer: Path) -> Sequence[str]:
    """Run an installer with the Python that runs this."""
    return (sys.executable, str(installer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Installers:
    """Runs installers and remembers for which state of an extension they ran."""

    root: Path
    """The program folder: their working directory, and where they import the program from."""
    record: Path
    """Where it is remembered."""
    command: Command = plain_command
    limit_s: float = LIMIT_S

    def run_needed(self, extensions: Sequence[Extension], say: Say) -> Mapping[str, str]:
        """Run the installers of extensions that run and have changed since.

        Returns:
            Folder name -> what went wrong.
        """
        faults, known = dict[str, str](), self._known()
        for one in extensions:
            if one.active and known.get(one.name, "") != state_of(one.folder):
                try:
                    self.run(one.folder, say)
                except InstallerFailed as error:
                    logger.error("%s: %s", one.name, error)
                    faults[one.name] = str(error)
        return faults

    def run(self, folder: Path, say: Say) -> None:
        """Run the installer of an extension, and pip for a native one with requirements.

        Raises:
            InstallerFailed: it did not work; names what and why.
        """
        for command in self._commands(folder):
            self._run(command, folder, say)
        importlib.invalidate_caches()
        known = {**self._known(), folder.name: state_of(folder)}
        try:
            atomic.make_folder(self.record.parent)
            atomic.write_json(self.record, known)
        except StorageFault as error:
            say(str(error))

    def _commands(self, folder: Path) -> list[Sequence[str]]:
        found: list[Sequence[str]] = []
        if (folder / NATIVE_FILE).is_file() and (folder / REQUIREMENTS).is_file():
            found.append((
                sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
                "-r", str(folder / REQUIREMENTS), "-c", str(self.root / "constraints.txt"),
            ))  # fmt: skip
        if (folder / INSTALLER).is_file():
            found.append(self.command(folder / INSTALLER))
        return found

    def _run(self, command: Sequence[str], folder: Path, say: Say) -> None:
        name = f"{folder.name}: {'pip' if '-m' in command[1:2] else INSTALLER}"
        paths = [str(self.root), *filter(None, [os.environ.get("PYTHONPATH")])]
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }
        say(f"{name} runs")
        last: list[str] = []
        with subprocess.Popen(
            command, cwd=self.root, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
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
                    say(line.rstrip())
                status = process.wait()
            finally:
                timer.cancel()
        if late.is_set():
            raise InstallerFailed(f"{name} did not end within {self.limit_s:g} s")
        if status != 0:
            raise InstallerFailed(f"{name} failed with exit status {status}: {' / '.join(last)}"[:2000])

    def _known(self) -> dict[str, str]:
        try:
            found = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def state_of(folder: Path) -> str:
    """Return what an installer's result depends on: its files, this Python and its packages; "" without installers."""
    parts = [folder / name for name in (INSTALLER, REQUIREMENTS) if (folder / name).is_file()]
    if not parts:
        return ""
    digest = hashlib.sha256(f"{sys.version}{sys.prefix}".encode())
    place = Path(sysconfig.get_path("purelib"))
    digest.update(str(place.stat().st_ino if place.is_dir() else 0).encode())
    for path in parts:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
