"""Where a folder was cloned from and which commit lies there, read from git's own files: no process, no hooks run."""

import re
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 4 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REMOTE = re.compile(r"^\s*url\s*=\s*(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """A git repository; texts are empty where it does not tell."""

    remote: str = ""
    """Address of `origin`."""
    branch: str = ""
    """Empty also when a commit is checked out that no branch leads to."""
    commit: str = ""
    """All hex digits."""


def read_clone(folder: Path) -> Clone | None:
    """Look at a folder; None when it is no clone."""
    git = _git_folder(folder)
    if git is None:
        return None
    head = _text(git / "HEAD").strip()
    ref = head.removeprefix("ref:").strip() if head.startswith("ref:") else ""
    common = _common(git)
    return Clone(
        remote=_remote(_text(common / "config")),
        branch=ref.removeprefix("refs/heads/"),
        commit=_commit_of(git, common, ref) if ref else head if _COMMIT.fullmatch(head) else "",
    )


def _git_folder(folder: Path) -> Path | None:
    git = folder / ".git"
    if git.is_dir():
        return git
    named = _text(git).strip().removeprefix("gitdir:").strip() if git.is_file() else ""
    return folder / named if named and (folder / named).is_dir() else None


def _common(git: Path) -> Path:
    """Return where a work tree of several keeps what it shares with the others."""
    named = _text(git / "commondir").strip()
    return git / named if named else git


def _commit_of(git: Path, common: Path, ref: str) -> str:
    parts = ref.split("/")
    if ref.startswith("refs/") and ".." not in parts:
        for place in (git, common):
            found = _text(place.joinpath(*parts)).strip()
            if _COMMIT.fullmatch(found):
                return found
    packed = (line.split(" ", 1) for line in _text(common / "packed-refs").splitlines() if " " in line)
    return next((commit for commit, name in packed if name == ref and _COMMIT.fullmatch(commit)), "")


def _remote(config: str) -> str:
    """Return the address in the section of `origin`."""
    for part in config.split("\n["):
        title, _, rest = part.lstrip("[").partition("]")
        if title.strip() == 'remote "origin"':
            found = _REMOTE.search(rest)
            return found.group(1) if found else ""
    return ""


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
