"""Models that are folders in the layout of diffusers: one sub-folder for each network, with its weights and sizes.

    NAME/model_index.json
    NAME/unet/config.json                    NAME/unet/diffusion_pytorch_model.safetensors
    NAME/text_encoder/...                    or several files and a list of them, `....safetensors.index.json`
    NAME/scheduler/scheduler_config.json

Tensors are named `unet/conv_in.weight` here, so a folder reads like one file. Files may be links, as in the cache
of the Hugging Face hub.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.domain.errors import BrokenFile
from modules.library.header import Header, TensorInfo, read_header
from modules.library.tensors import Tensors, open_tensors

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

INDEX = "model_index.json"
"""A folder with this file is one model."""

PARTS = (
    "unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3", "depth_estimator",
    "image_encoder", "image_normalizer",
)  # fmt: skip
MAX_JSON_BYTES = 16 << 20

_CONFIGS = (INDEX, "scheduler/scheduler_config.json", *(f"{part}/config.json" for part in PARTS))
_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_KINDS = (
    "safetensors", "fp16.safetensors", "bf16.safetensors", "non_ema.safetensors", "bin", "fp16.bin", "bf16.bin",
    "non_ema.bin",
)  # fmt: skip
"""Endings of the weights of one network, the best first: safe before pickled, full precision before half."""


def is_model_folder(path: Path) -> bool:
    """Tell whether a folder is one model."""
    return (path / INDEX).is_file()


def weight_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return by network the files that hold its weights; networks without any are left out.

    Raises:
        BrokenFile: a list of files is damaged, or names a file that is not there.
    """
    found = {part: _weights_of(folder / part) for part in PARTS}
    return {part: files for part, files in found.items() if files}


def model_files(path: Path) -> tuple[Path, ...]:
    """Return the files a model is read from: itself, or those of its folder that exist."""
    if not path.is_dir():
        return (path,)
    configs = [path / name for name in _CONFIGS if (path / name).is_file()]
    return (*configs, *(file for files in weight_files(path).values() for file in files))


def stamp(path: Path) -> tuple[int, ...]:
    """Describe the files of a model so that a change shows; empty when they cannot be found."""
    try:
        states = [file.stat() for file in model_files(path)]
    except (OSError, BrokenFile):
        return ()
    return tuple(number for state in states for number in (state.st_mtime_ns, state.st_size, state.st_ino))


def read_model_header(path: Path, *, allow_unsafe: bool = False) -> Header:
    """Read what a model holds, be it a file or a folder.

    A folder's metadata are the texts of its JSON files, by their names (`scheduler/scheduler_config.json`).

    Raises:
        BrokenFile: a file is damaged or missing.
        UnsafePickle: a pickled file asks for code.
    """
    if not path.is_dir():
        return read_header(path, allow_unsafe=allow_unsafe)
    tensors = dict[str, TensorInfo]()
    for part, files in weight_files(path).items():
        for file in files:
            header = read_header(file, allow_unsafe=allow_unsafe)
            tensors |= {f"{part}/{name}": info for name, info in header.tensors.items()}
    return Header(path, tensors, _texts(path))


@contextmanager
def open_model(path: Path, *, allow_unsafe: bool = False) -> Iterator[Tensors]:
    """Open a model, be it a file or a folder; arguments and errors as for `open_tensors`."""
    if not path.is_dir():
        with open_tensors(path, allow_unsafe=allow_unsafe) as file:
            yield file
        return
    infos, sources = dict[str, TensorInfo](), dict[str, tuple[Tensors, str]]()
    with ExitStack() as stack:
        for part, files in weight_files(path).items():
            for one in files:
                opened = stack.enter_context(open_tensors(one, allow_unsafe=allow_unsafe))
                infos |= {f"{part}/{name}": info for name, info in opened.header.tensors.items()}
                sources |= {f"{part}/{name}": (opened, name) for name in opened.names}

        def get(name: str) -> "Tensor":
            opened, own = sources[name]
            return opened.get(own)

        yield Tensors(Header(path, infos, _texts(path)), get)


def parsed(metadata: Mapping[str, str], name: str) -> Mapping[str, Any]:
    """Return one of a folder's JSON files from its metadata; empty when it is absent or damaged."""
    try:
        value = json.loads(metadata.get(name, "{}"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _weights_of(folder: Path) -> tuple[Path, ...]:
    for kind in _KINDS:
        for stem in _STEMS:
            file = folder / f"{stem}.{kind}"
            if file.is_file():
                return (file,)
            if listed := _listed(folder, stem, kind):
                return listed
    return ()


def _listed(folder: Path, stem: str, kind: str) -> tuple[Path, ...]:
    """Return the files of a list of shards; the precision stands before or behind the word index."""
    precision, _, ending = kind.rpartition(".")
    names = [f"{stem}.{kind}.index.json"]
    if precision:
        names.append(f"{stem}.{ending}.index.{precision}.json")
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        return ()
    document = parsed({"": _read(path)}, "")
    shards = document.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise BrokenFile(path, "is no list of files; download it again")
    return tuple(_shard(path, name) for name in dict.fromkeys(shards.values()))


def _shard(index: Path, name: object) -> Path:
    if not isinstance(name, str) or not name or name != Path(name).name or "\\" in name or name in (".", ".."):
        raise BrokenFile(index, f"lists {str(name)[:80]!a}, which is not the name of a file beside it")
    file = index.parent / name
    if not file.is_file():
        raise BrokenFile(index, f"lists {name[:80]!a}, which is not there; download the folder again")
    return file


def _texts(folder: Path) -> dict[str, str]:
    return {name: _read(folder / name) for name in _CONFIGS if (folder / name).is_file()}


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_JSON_BYTES).decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise BrokenFile(path, f"cannot be read: {error.strerror or error}") from error
