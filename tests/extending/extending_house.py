"""Extensions on disk for tests: folders with a file or two, and git repositories."""

import subprocess
from collections.abc import Mapping
from pathlib import Path


def make_extension(parent: Path, name: str, files: Mapping[str, str]) -> Path:
    """Write an extension."""
    folder = parent / name
    folder.mkdir(parents=True)
    for relative, text in files.items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, as somebody with a name."""
    who = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *who, "-C", str(folder), *words], capture_output=True, check=True, timeout=60)
    return done.stdout.decode().strip()


def commit(folder: Path, message: str = "change") -> str:
    """Commit everything that lies in a folder and return the commit."""
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")
