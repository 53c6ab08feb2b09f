"""Ask git for things, so that a repository can neither run code here nor ask for a password."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from modules.domain.errors import InvalidRequest, WebuiError

SCHEMES = ("https", "ssh")
"""Of addresses that may be cloned; the others let whoever sits in between change what arrives."""
MAX_ADDRESS = 2000
QUICK_S, SLOW_S = 10.0, 600.0
_SAFE = (
    "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "safe.directory=*",
    "-c", "protocol.ext.allow=never", "-c", "credential.interactive=false", "-c", "core.longpaths=true",
)  # fmt: skip
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCH = re.compile(r"[A-Za-z0-9][\w./+-]{0,199}")

Say = Callable[[str], None]
"""Takes a line for the person."""


class GitFailed(WebuiError):
    """git could not do what it was asked; the text holds its last lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """Runs git."""

    schemes: Sequence[str] = SCHEMES
    """Of addresses that it may talk to."""
    executable: str = "git"

    def check_address(self, address: str) -> str:
        """Return an address that may be cloned.

        Raises:
            InvalidRequest: it may not; says why.
        """
        parts = _parts(address)
        if parts is None or parts[0] not in self.schemes:
            wanted = " or ".join(f"{name}://" for name in self.schemes)
            raise InvalidRequest(f"the address of a repository begins with {wanted}", field="url")
        if parts[1] and parts[0] != "ssh":
            raise InvalidRequest("leave out user and password; git asks its credential helper", field="url")
        return address

    def ask(self, folder: Path, *question: str, limit_s: float = QUICK_S) -> str:
        """Return what git says about a repository, "" where it has no answer."""
        try:
            done = self._start([*question], folder, limit_s)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""

    def run(self, folder: Path, *words: str, say: Say, limit_s: float = SLOW_S) -> str:
        """Do something and pass on what git says.

        Raises:
            GitFailed: it did not work.
        """
        say(f"git {' '.join(words)}")
        try:
            done = self._start([*words], folder, limit_s)
        except subprocess.TimeoutExpired:
            raise GitFailed(f"git {words[0]} did not end within {limit_s:g} s") from None
        except OSError as error:
            raise GitFailed(f"git cannot be run: {error.strerror}; is it installed?") from None
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        for line in lines[-50:]:
            say(line)
        if done.returncode != 0:
            raise GitFailed(f"git {words[0]} failed: " + " ".join(lines[-3:])[:1000])
        return done.stdout.decode("utf-8", "replace").strip()

    def _start(self, words: Sequence[str], folder: Path, limit_s: float) -> subprocess.CompletedProcess[bytes]:
        environ = {
            **os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": "",
            "GIT_ALLOW_PROTOCOL": ":".join(self.schemes), "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
            "GIT_CEILING_DIRECTORIES": str(folder.parent), "LC_ALL": "C.UTF-8",
        }  # fmt: skip
        executable = shutil.which(os.environ.get("GIT", self.executable)) or self.executable
        return subprocess.run(
            [executable, *_SAFE, "-C", str(folder), *words], capture_output=True, stdin=subprocess.DEVNULL,
            timeout=limit_s, env=environ, check=False,
        )  # fmt: skip


def check_branch(name: str) -> str:
    """Return the name of a branch or tag that git would not take for something else.

    Raises:
        InvalidRequest: it is none.
    """
    if not _BRANCH.fullmatch(name) or ".." in name or name.endswith((".lock", "/", ".")):
        raise InvalidRequest(f"{name[:80]!r} is no name of a branch", field="branch")
    return name


def check_commit(text: str) -> str:
    """Return a whole commit hash.

    Raises:
        InvalidRequest: it is none.
    """
    if not _COMMIT.fullmatch(text):
        raise InvalidRequest(f"{text[:80]!r} is no commit", field="commit_hash")
    return text


def folder_name(address: str) -> str:
    """Return the name of the folder that git would make for an address."""
    last = address.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1]
    return last.removesuffix(".git")


def same_address(one: str, other: str) -> bool:
    """Tell whether two addresses mean one repository."""
    return one.lower().rstrip("/").removesuffix(".git") == other.lower().rstrip("/").removesuffix(".git")


def _parts(address: str) -> tuple[str, bool] | None:
    """Return the scheme of an address and whether it names a user; None for what is no address."""
    if not 0 < len(address) <= MAX_ADDRESS or not address.isprintable() or " " in address or address.startswith("-"):
        return None
    try:
        found = urlsplit(address)
        host = found.hostname
    except ValueError:
        return None
    is_address = (bool(host) and not (host or "").startswith("-")) or found.scheme == "file"
    return (found.scheme, "@" in found.netloc) if "://" in address and "::" not in address and is_address else None
