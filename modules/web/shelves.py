"""What lies in the folders of networks and extensions, as A1111's API lists it. Reads headers, never weights."""

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.domain.errors import ModelError
from modules.library.header import Header, read_header
from modules.library.scan import scan_files
from modules.library.sidecars import shown_metadata

logger = logging.getLogger(__name__)

NETWORK_SUFFIXES = (".pt", ".ckpt", ".safetensors")
HYPERNETWORK_SUFFIXES = (".pt",)
COVER_IMAGES = "ssmd_cover_images"
"""Entry of metadata that holds pictures, a JSON list of base64 texts."""
_GIT_S = 5.0
_GIT = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*")
"""Asking a repository a question must not run what its own configuration names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelves:
    """The folders that are listed."""

    hypernetworks: tuple[Path, ...] = ()
    loras: tuple[Path, ...] = ()
    extensions: tuple[Path, ...] = ()


def hypernetworks(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """List the files of hypernetworks."""
    files = [path for folder in folders for _, path in scan_files(folder, HYPERNETWORK_SUFFIXES)]
    return [{"name": path.stem, "path": str(path)} for path in files]


def loras(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """List the files of LoRAs with the metadata that their training wrote; a broken file has none."""
    return [
        {"name": path.stem, "alias": header.metadata.get("ss_output_name") or path.stem, "path": str(path),
         "metadata": lora_metadata(header)}
        for path, header in _headers(folders, NETWORK_SUFFIXES, keep_broken=True)
    ]  # fmt: skip


def lora_metadata(header: Header) -> dict[str, Any]:
    """Return what a LoRA's training wrote, without the pictures that some programs add."""
    return {key: value for key, value in shown_metadata(header.metadata).items() if key != COVER_IMAGES}


def extensions(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """List the extensions that are clones of a git repository; none of them runs in this program."""
    git = shutil.which("git")
    if git is None:
        return []
    found = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    lines = [_extension(git, path) for path in found if (path / ".git").exists()]
    return [line for line in lines if line is not None]


def _extension(git: str, folder: Path) -> dict[str, Any] | None:
    remote = _ask(git, folder, "config", "--local", "--get", "remote.origin.url")
    commit, _, date = _ask(git, folder, "log", "-1", "--format=%H %ct").partition(" ")
    if not remote or not commit:
        return None
    return {
        "name": folder.name, "remote": remote, "branch": _ask(git, folder, "rev-parse", "--abbrev-ref", "HEAD"),
        "commit_hash": commit, "version": commit[:8], "commit_date": date, "enabled": False,
    }  # fmt: skip


def _ask(git: str, folder: Path, *question: str) -> str:
    """Return the answer of git, "" when there is none."""
    environ = {
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }
    try:
        done = subprocess.run(
            [git, *_GIT, "-C", str(folder), *question], capture_output=True, timeout=_GIT_S, env=environ, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.warning("git cannot tell about the extension %s: %s", folder.name, error)
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""


def _headers(
    folders: Sequence[Path], suffixes: Sequence[str], *, keep_broken: bool = False
) -> Iterator[tuple[Path, Header]]:
    for folder in folders:
        for _, path in scan_files(folder, suffixes):
            try:
                yield path, read_header(path)
            except ModelError as error:
                logger.warning("%s", error)
                if keep_broken:
                    yield path, Header(path, {}, {})
