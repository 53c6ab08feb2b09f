"""`launch`: what installers of extensions call."""

import argparse
import importlib.metadata
import importlib.util
import logging
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from modules.compat import piecewise
from modules.compat.host import host
from modules.compat.libraries import held

logger = logging.getLogger(__name__)

PYTHON = sys.executable
GIT = os.environ.get("GIT", "git")
COMPATIBLE_TAG = "v1.10.1"
"""The version of A1111 whose interface this is; extensions choose their behaviour by it."""
OPENCV = ("opencv-python", "opencv-python-headless")
"""The same module, with windows and without."""


def git_tag() -> str:
    """Return the version of A1111 whose interface this is."""
    return COMPATIBLE_TAG


def commit_hash() -> str:
    """Return the commit of the program, `<none>` outside of a clone."""
    from modules.extending.clone import read_clone

    clone = read_clone(host().layout.root)
    return clone.commit if clone is not None and clone.commit else "<none>"


def is_installed(package: str) -> bool:
    """Tell whether a package is there, by its name on the index or the one it is imported by."""
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        try:
            return importlib.util.find_spec("cv2" if package in OPENCV else package) is not None
        except (ImportError, ValueError):
            return False
    return True


def run(
    command: str | list[str], desc: str | None = None, errdesc: str | None = None, custom_env: dict[str, str] | None = None,
    live: bool = False,
) -> str:  # fmt: skip
    """Run a command; a text is split as a shell does, but no shell sees it.

    Whatever pip it calls leaves the packages of the program as they are.

    Args:
        command: a text or words.
        desc: told before.
        errdesc: told when it fails.
        custom_env: environment; that of this process if left out.
        live: whether what it says is seen at once, and not returned.

    Raises:
        RuntimeError: it ended with an error; holds what it said.
    """
    if desc:
        logger.info("%s", desc)
    words = shlex.split(command) if isinstance(command, str) else list(command)
    done = subprocess.run(
        piecewise.in_place_of(words) or words, env=held(custom_env or os.environ, host().layout),
        capture_output=not live, text=True, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        said = "".join(f"\n{text.strip()}" for text in (done.stdout, done.stderr) if text and text.strip())
        raise RuntimeError(f"{errdesc or 'Error running command'}: {words[0]} ended with {done.returncode}{said}")
    return done.stdout or ""


def check_run(command: str | list[str]) -> bool:
    """Tell whether a command ends without an error."""
    try:
        run(command, live=False)
    except (RuntimeError, OSError):
        return False
    return True


def check_run_python(code: str) -> bool:
    """Tell whether a piece of Python ends without an error."""
    return check_run([PYTHON, "-c", code])


def run_pip(command: str, desc: str | None = None, live: bool = True) -> str:
    """Run pip.

    Raises:
        RuntimeError: it ended with an error.
    """
    words = [PYTHON, "-m", "pip", *shlex.split(command), "--prefer-binary", "--disable-pip-version-check"]
    return run(words, f"Installing {desc}" if desc else None, f"Couldn't install {desc or command}", live=live)


def requirements_met(requirements_file: str) -> bool:
    """Tell whether all packages that a file names are there in the versions that it names exactly."""
    for line in Path(requirements_file).read_text(encoding="utf-8").splitlines():
        match = re.match(r"\s*([-_a-zA-Z0-9]+)\s*(?:==\s*([-+_.a-zA-Z0-9]+))?\s*", line)
        if match is None or not match[1]:
            continue
        try:
            installed = importlib.metadata.version(match[1])
        except importlib.metadata.PackageNotFoundError:
            return False
        if match[2] and installed != match[2]:
            return False
    return True


def repo_dir(name: str) -> str:
    """Return the folder of a repository that an extension clones."""
    return str(host().layout.repositories / name)


def git_clone(url: str, dir: str, name: str, commithash: str | None = None) -> None:
    """Clone a repository unless its folder is there.

    Raises:
        RuntimeError: git ended with an error.
    """
    if not Path(dir).exists():
        run([GIT, "clone", "--", url, dir], f"Cloning {name}", f"Couldn't clone {name}")
    if commithash:
        run([GIT, "-C", dir, "checkout", commithash, "--"], None, f"Couldn't checkout {name}", live=False)


def list_extensions(settings_file: str) -> list[str]:
    """Return the folders of the extensions that run."""
    return [one.name for one in host().extensions if one.active]


def full_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line with the flags of the extensions that run."""
    from modules.cli import build_parser
    from modules.compat.preload import add_flags

    parser = build_parser()
    add_flags(parser, host().extensions)
    parser.set_defaults(**vars(host().flags))
    return parser
