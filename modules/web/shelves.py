"""What lies in the folders of networks, as A1111's API lists it. Reads headers, never weights."""

import logging
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelves:
    """The folders that are listed."""

    hypernetworks: tuple[Path, ...] = ()
    loras: tuple[Path, ...] = ()


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
