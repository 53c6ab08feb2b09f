"""`networks` and `lora`: the files of LoRAs as A1111's own extension for them lists them."""

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.compat.host import host

if TYPE_CHECKING:
    from modules.adapters.lora.catalog import LoraEntry


class SdVersion(Enum):
    """Which lineage a LoRA is for."""

    Unknown = 1
    SD1 = 2
    SD2 = 3
    SDXL = 4


_LINEAGES = {"sd1": SdVersion.SD1, "sd2": SdVersion.SD2, "sdxl": SdVersion.SDXL}


class NetworkOnDisk:
    """What is known of a file."""

    def __init__(self, entry: "LoraEntry") -> None:
        self.name, self.filename, self.alias = entry.name, str(entry.path), entry.alias
        self.metadata: dict[str, Any] = dict(entry.metadata)
        self.is_safetensors = entry.path.suffix.lower() == ".safetensors"

    @cached_property
    def hash(self) -> str:
        """The hash by which others find it; empty until it is known."""
        return self.read_hash() or ""

    @property
    def shorthash(self) -> str:
        """The beginning of that."""
        return self.hash[:12]

    @cached_property
    def sd_version(self) -> SdVersion:
        """Which lineage it is for."""
        from modules.adapters.lora.file import contents_of
        from modules.domain.errors import BrokenFile
        from modules.library.header import read_header

        try:
            return _LINEAGES.get(contents_of(read_header(Path(self.filename))).lineage or "", SdVersion.Unknown)
        except BrokenFile:
            return SdVersion.Unknown

    def read_hash(self) -> str | None:
        """Return the hash if it is known."""
        hashes = host().workshop().shelf().hashes
        return None if hashes is None else hashes.known_lora_hash(Path(self.filename), self.metadata)

    def get_alias(self) -> str:
        """Return what prompts are given: the name of the file, or what its trainer called it."""
        if host().options.lora_preferred_name == "Filename" or self.alias.lower() in ambiguous():
            return self.name
        return self.alias


def entries() -> "tuple[LoraEntry, ...]":
    """Return the files, as the catalog has them at this moment."""
    loras = host().workshop().shelf().loras
    return () if loras is None else loras.entries


def ambiguous() -> dict[str, int]:
    """Return the names, in small letters, that only stand for files of that very name."""
    from modules.adapters.lora.catalog import RESERVED, names_of

    return dict.fromkeys((*RESERVED, *names_of(entries()).ambiguous), 1)


class Available(Mapping[str, NetworkOnDisk]):
    """Name -> file, always as the catalog has them.

    Args:
        aliases: whether what trainers called them counts too.
    """

    def __init__(self, *, aliases: bool) -> None:
        self._aliases = aliases

    def _all(self) -> "Mapping[str, LoraEntry]":
        from modules.adapters.lora.catalog import names_of

        found = names_of(entries())
        return found.by_alias if self._aliases else found.by_name

    def __getitem__(self, name: str) -> NetworkOnDisk:
        return NetworkOnDisk(self._all()[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def by_hash() -> dict[str, NetworkOnDisk]:
    """Return hash -> file, for those whose hash is known."""
    found = [NetworkOnDisk(one) for one in entries()]
    return {one.hash: one for one in found if one.hash} | {one.shorthash: one for one in found if one.hash}


def list_available_networks() -> None:
    """Look for files again."""
    loras = host().workshop().shelf().loras
    if loras is not None:
        loras.refresh()


def update_available_networks_by_names(names: Any) -> None:
    """Look for files again; the catalog does so by itself for names that it does not know."""
    list_available_networks()
