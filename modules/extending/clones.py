"""Get, update and switch the repositories of extensions; what fails leaves them as they were."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modules.domain.errors import InvalidRequest
from modules.extending.clone import read_clone
from modules.extending.git import Git, GitFailed, check_branch, check_commit
from modules.files.atomic import make_folder, storage_fault

Say = Callable[[str], None]
Check = Callable[[Path], None]
"""Runs the installer of a folder; raises when it fails."""

LATEST, BEHIND, UNKNOWN = "latest", "new commits", "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clones:
    """Works on repositories with git."""

    git: Git

    def clone(self, address: str, branch: str, target: Path, say: Say, install: Check) -> None:
        """Clone a repository beside its place, move it there, and run its installer; a failure leaves nothing.

        Raises:
            InvalidRequest: the address or branch is none that may be used.
            GitFailed: it could not be cloned.
            WebuiError: its installer failed.
        """
        self.git.check_address(address)
        wanted = ["--branch", check_branch(branch)] if branch else []
        make_folder(target.parent)
        beside = Path(tempfile.mkdtemp(prefix=".installing-", dir=target.parent))
        try:
            self.git.run(
                beside, "clone", "--recurse-submodules", "--filter=blob:none", *wanted, "--", address, "clone", say=say
            )
            try:
                os.rename(beside / "clone", target)
            except OSError as error:
                raise storage_fault(target, error) from error
            try:
                install(target)
            except BaseException:
                remove_folder(target)
                raise
        finally:
            remove_folder(beside)

    def behind(self, folder: Path) -> str:
        """Ask where it came from whether there is something newer: LATEST, BEHIND or UNKNOWN."""
        clone = read_clone(folder)
        if clone is None or not clone.commit or not clone.remote:
            return UNKNOWN
        question = f"refs/heads/{clone.branch}" if clone.branch else "HEAD"
        newest = self.git.ask(folder, "ls-remote", "origin", question, limit_s=30.0).split("\t")[0]
        return UNKNOWN if not newest else LATEST if newest == clone.commit else BEHIND

    def update(self, folder: Path, say: Say, install: Check) -> str:
        """Bring a repository to the newest commit of its branch.

        Returns:
            The commit.

        Raises:
            InvalidRequest: it has changes of its own.
            GitFailed: it could not be fetched.
            WebuiError: its installer failed; the old commit is back.
        """
        clone = read_clone(folder)
        self._refuse_changes(folder)
        branch = clone.branch if clone else ""
        self.git.run(folder, "fetch", "--tags", "--force", "origin", branch or "HEAD", say=say)
        return self._move(folder, "FETCH_HEAD", "", say, install)

    def switch(self, folder: Path, branch: str, say: Say, install: Check) -> str:
        """Bring a repository to the newest commit of another branch; see `update`."""
        check_branch(branch)
        self._refuse_changes(folder)
        self.git.run(folder, "fetch", "origin", f"+refs/heads/{branch}:refs/remotes/origin/{branch}", say=say)
        return self._move(folder, f"refs/remotes/origin/{branch}", branch, say, install)

    def go_to(self, folder: Path, commit: str, say: Say, install: Check) -> str:
        """Bring a repository to a commit, which is fetched where it is not there; see `update`."""
        check_commit(commit)
        self._refuse_changes(folder)
        if self.git.ask(folder, "cat-file", "-t", commit) != "commit":
            self.git.run(folder, "fetch", "origin", say=say)
        return self._move(folder, commit, "", say, install)

    def branches(self, folder: Path) -> list[str]:
        """Return the branches of the place that a repository came from."""
        lines = self.git.ask(folder, "ls-remote", "--heads", "origin", limit_s=30.0).splitlines()
        return sorted(line.split("\t", 1)[1].removeprefix("refs/heads/") for line in lines if "\t" in line)

    def date(self, folder: Path) -> int | None:
        """Return the time of the commit that lies there, in seconds since 1970."""
        text = self.git.ask(folder, "log", "-1", "--format=%ct")
        return int(text) if text.isascii() and text.isdigit() else None

    def _refuse_changes(self, folder: Path) -> None:
        lines = self.git.ask(folder, "status", "--porcelain", "--untracked-files=no").splitlines()
        if lines:
            names = ", ".join(line.strip().partition(" ")[2].strip() for line in lines[:5])
            raise InvalidRequest(f"{folder.name} has changes that would be lost: {names}; commit or undo them first")

    def _move(self, folder: Path, target: str, branch: str, say: Say, install: Check) -> str:
        """Go to a commit; when that or the installer fails, go back."""
        clone = read_clone(folder)
        before, old_branch = (clone.commit, clone.branch) if clone else ("", "")
        try:
            if branch:
                self.git.run(folder, "checkout", "--quiet", "-B", branch, target, say=say)
            else:
                self.git.run(folder, "reset", "--quiet", "--hard", target, say=say)
            self.git.run(folder, "submodule", "update", "--init", "--recursive", say=say)
            now = read_clone(folder)
            if now is None or now.commit != before:
                install(folder)
        except BaseException:
            with suppress(GitFailed):
                if before:
                    back = ("checkout", "--quiet", "-f", old_branch) if old_branch and branch else ()
                    if back:
                        self.git.run(folder, *back, say=say)
                    self.git.run(folder, "reset", "--quiet", "--hard", before, say=say)
            raise
        return now.commit if now else ""


def remove_folder(folder: Path) -> None:
    """Remove a folder with all it holds, files of git that may only be read too."""

    def writable(remove: Callable[[str], object], path: str, _info: object) -> None:
        with suppress(OSError):
            os.chmod(path, stat.S_IWRITE)
            remove(path)

    shutil.rmtree(folder, onerror=writable)
