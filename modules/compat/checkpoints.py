"""A1111's lists of checkpoints, from the catalog."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.compat.host import host
from modules.files import atomic
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


CONFIG_SOURCES = (("a", "b", "c"), ("b",), ("c",), ())
"""Whose configuration a merged checkpoint gets, by the number that is chosen: the first there is, B's, C's, none."""


def create_config(ckpt_result: Any, config_source: int, a: Any, b: Any, c: Any) -> None:
    """Put the configuration of a checkpoint beside one that was made of it, where it has one.

    Args:
        ckpt_result: file of the new checkpoint.
        config_source: which of `CONFIG_SOURCES`.
        a: checkpoints that it was made of; None where there is none.
        b: another one.
        c: another one.
    """
    made_of = {"a": a, "b": b, "c": c}
    chosen = [made_of[name] for name in CONFIG_SOURCES[config_source] if made_of[name] is not None]
    files = [Path(one.filename).with_suffix(".yaml") for one in chosen]
    found = next((file for file in files if file.is_file()), None)
    if found is not None:
        atomic.write(Path(ckpt_result).with_suffix(".yaml"), found.read_text(encoding="utf-8"))


CONFIGS = {
    "config_default": "v1-inference.yaml", "config_sd2": "v2-inference.yaml", "config_sd2v": "v2-inference-v.yaml",
    "config_sd2_inpainting": "v2-inpainting-inference.yaml", "config_sdxl": "sd_xl_base.yaml",
    "config_sdxl_refiner": "sd_xl_refiner.yaml", "config_depth_model": "v2-midas-inference.yaml",
    "config_unclip": "v2-1-stable-unclip-l-inference.yaml", "config_unopenclip": "v2-1-stable-unclip-h-inference.yaml",
    "config_inpainting": "v1-inpainting-inference.yaml", "config_instruct_pix2pix": "instruct-pix2pix.yaml",
}  # fmt: skip
"""Names of `modules.sd_models_config` and the configurations that A1111 loads models of each kind with."""


def find_checkpoint_config(state_dict: Any, info: Any) -> str | None:
    """Name the configuration of a checkpoint's kind; a file beside it comes first. None for kinds without one."""
    if info is None:
        return CONFIGS["config_default"]
    beside = Path(info.filename).with_suffix(".yaml")
    if beside.is_file():
        return str(beside)
    facts = host().services().checkpoint_facts(info.title)
    kinds = {
        ("sd1", "base"): "default", ("sd1", "inpainting"): "inpainting", ("sd1", "pix2pix"): "instruct_pix2pix",
        ("sd2", "base"): "sd2v" if facts.prediction == "v" else "sd2", ("sd2", "inpainting"): "sd2_inpainting",
        ("sd2", "depth"): "depth_model", ("sdxl", "refiner"): "sdxl_refiner", ("sdxl", "base"): "sdxl",
    }  # fmt: skip
    kind = kinds.get((facts.family, facts.variant)) or kinds.get((facts.family, "base"))
    return None if kind is None else CONFIGS[f"config_{kind}"]
