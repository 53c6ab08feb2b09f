"""A1111's lists of checkpoints, from the catalog."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.compat.host import host
from modules.library.header import read_header

if TYPE_CHECKING:
    from modules.library.catalog import CheckpointEntry


class CheckpointInfo:
    """What is known of a checkpoint file."""

    def __init__(self, filename: str) -> None:
        self.filename = str(filename)
        self.path = self.filename
        entry = _entry_of(Path(filename))
        self.name = entry.name if entry is not None else Path(filename).name
        self.model_name = Path(self.name).stem
        self.name_for_extra = self.model_name
        self.is_safetensors = Path(filename).suffix.lower() == ".safetensors"
        self.hash = model_hash(filename)
        self.sha256 = entry.sha256 if entry is not None else None
        self.shorthash = self.sha256[:10] if self.sha256 else None
        self.title = entry.title if entry is not None else self.name
        self.short_title = self.title
        self.ids = [text for text in (self.hash, self.model_name, self.title, self.name, self.sha256, self.shorthash) if text]  # fmt: skip

    @property
    def metadata(self) -> dict[str, Any]:
        """What the file says about itself."""
        return read_metadata_from_safetensors(self.filename) if self.is_safetensors else {}

    def register(self) -> None:
        """Be listed; the catalog lists by itself."""

    def calculate_shorthash(self) -> str | None:
        """Hash the file, seconds per gigabyte the first time."""
        entry = _entry_of(Path(self.filename))
        if entry is None:
            return self.shorthash
        entry = host().catalog.hash(entry)
        self.sha256, self.shorthash, self.title = entry.sha256, entry.short_hash or None, entry.title
        return self.shorthash


class CheckpointList(Mapping[str, CheckpointInfo]):
    """Title -> checkpoint, as the catalog has them at this moment."""

    def __getitem__(self, title: str) -> CheckpointInfo:
        found = next((one for one in host().catalog.entries if one.title == title), None)
        if found is None:
            raise KeyError(title)
        return info_of(found.path)

    def __iter__(self) -> Iterator[str]:
        return iter([one.title for one in host().catalog.entries])

    def __len__(self) -> int:
        return len(host().catalog.entries)


class CheckpointAliases(Mapping[str, CheckpointInfo]):
    """Any name -> checkpoint."""

    def __getitem__(self, name: str) -> CheckpointInfo:
        found = host().catalog.find(name)
        if found is None:
            raise KeyError(name)
        return info_of(found.path)

    def __iter__(self) -> Iterator[str]:
        return iter([alias for one in host().catalog.entries for alias in info_of(one.path).ids])

    def __len__(self) -> int:
        return sum(1 for _ in self)


def info_of(path: Path) -> CheckpointInfo:
    """Describe a checkpoint file."""
    return CheckpointInfo(str(path))


def get_closet_checkpoint_match(search_string: str) -> CheckpointInfo | None:
    """Find a checkpoint by any of its names, else by a part of its title; None when nothing matches."""
    if not search_string:
        return None
    found = host().catalog.find(search_string)
    if found is not None:
        return info_of(found.path)
    parts = [one for one in host().catalog.entries if search_string.lower() in one.title.lower()]
    return info_of(min(parts, key=lambda one: len(one.title)).path) if parts else None


def checkpoint_tiles(use_short: bool = False) -> list[str]:
    """Return the titles of all checkpoints."""
    return sorted((one.title for one in host().catalog.entries), key=str.lower)


def list_models() -> None:
    """Look for checkpoints again."""
    host().services().refresh_checkpoints()


def select_checkpoint() -> CheckpointInfo:
    """Return the checkpoint that is configured, else the first.

    Raises:
        FileNotFoundError: there is none at all.
    """
    wanted = host().options.sd_model_checkpoint
    entry = host().catalog.find(wanted) if wanted else None
    entry = entry or host().catalog.default()
    if entry is None:
        raise FileNotFoundError("there is no checkpoint")
    return info_of(entry.path)


def unload_model_weights(sd_model: Any = None, info: Any = None) -> Any:
    """Have the models leave the device."""
    host().services().unload_models()
    return sd_model


def read_state_dict(checkpoint_file: str, print_global_state: bool = False, map_location: Any = None) -> dict[str, Any]:
    """Read the weights of a file; pickled ones through the same restrictions as everywhere.

    Raises:
        ModelError: the file cannot be used.
    """
    from modules.library.tensors import open_tensors

    unsafe = bool(getattr(host().flags, "disable_safe_unpickle", False))
    with open_tensors(Path(checkpoint_file), allow_unsafe=unsafe) as tensors:
        return {name: tensors.get(name) for name in tensors.names}


def read_metadata_from_safetensors(filename: str) -> dict[str, Any]:
    """Return what a safetensors file says about itself; values that hold JSON are decoded."""
    import json

    found: dict[str, Any] = {}
    for key, value in read_header(Path(filename)).metadata.items():
        found[key] = value
        if value[:1] == "{":
            try:
                found[key] = json.loads(value)
            except ValueError:
                continue
    return found


def model_hash(filename: str) -> str:
    """Return the eight digits that A1111 once named files by: those of 64 KiB at the end of the first megabyte."""
    import hashlib

    try:
        with open(filename, "rb") as file:
            file.seek(0x100000)
            return hashlib.sha256(file.read(0x10000)).hexdigest()[:8]
    except OSError:
        return "NOFILE"


def _entry_of(path: Path) -> "CheckpointEntry | None":
    return next((one for one in host().catalog.entries if one.path == path), None)
