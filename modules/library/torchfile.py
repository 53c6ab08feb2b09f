"""The container of a pickled model: the zip that `torch.save` writes, or the stream it wrote before 1.6."""

import mmap
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from modules.domain.errors import BrokenFile
from modules.library.allowlist import Walk, check_globals

MAX_PICKLE_BYTES = 64 << 20
"""The part that is not weights; a few MB in real files."""

_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PICKLES = ("its magic number", "its version", "its system information", "its contents", "its list of storages")


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchFile:
    """The pickle that describes the contents, and where the weights are."""

    contents: bytes
    globals: frozenset[str]
    """Every global that any pickle of the file names."""
    storages: Mapping[str, int] | None
    """Bytes of each storage by key; `None` for the old stream, where sizes lie between the weights."""


def read_torch_file(path: Path, *, check: bool = True) -> TorchFile:
    """Open a pickled model file and walk every pickle in it, running none.

    Args:
        path: the file.
        check: refuse globals that are not on the allow-list.

    Raises:
        UnsafePickle: a pickle names a global that is not allowed.
        BrokenFile: not a file written by `torch.save`, or not intact.
    """
    try:
        with path.open("rb") as file:
            prefix = file.read(4)
            if prefix == b"PK\x03\x04":
                with zipfile.ZipFile(file) as archive:
                    return _read_zip(path, archive, check)
            if prefix[:1] == b"\x80":
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                    return _read_stream(path, view[:MAX_PICKLE_BYTES], check)
    except OSError as error:
        raise BrokenFile(path, f"cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BrokenFile(path, "is a damaged zip archive; download it again") from error
    raise BrokenFile(path, _what_it_is(prefix))


def _what_it_is(prefix: bytes) -> str:
    if not prefix:
        return "is empty; download it again"
    if prefix.lstrip()[:1] == b"<":
        return "is a web page, not a model; the download needs a login or a direct link"
    return "is not a file written by torch.save"


def _walk(path: Path, where: str, data: bytes, start: int, check: bool) -> tuple[frozenset[str], int]:
    walk = Walk(path, where, data, start)
    return (check_globals(path, where, iter(walk)) if check else frozenset(walk)), walk.end


def _read_zip(path: Path, archive: zipfile.ZipFile, check: bool) -> TorchFile:
    members = archive.infolist()
    _check_members(path, archive, members)
    root = members[0].filename.partition("/")[0]
    seen: set[str] = set()
    for member in members:
        if not _is_storage(member.filename, root) and _may_be_pickle(archive, member):
            seen |= _walk_member(path, archive, member, check)
    try:
        contents = archive.read(f"{root}/data.pkl")
    except KeyError as error:
        raise BrokenFile(path, "is a zip archive without a data.pkl, not a model") from error
    prefix = f"{root}/data/"
    storages = {m.filename.removeprefix(prefix): m.file_size for m in members if m.filename.startswith(prefix)}
    return TorchFile(contents=contents, globals=frozenset(seen), storages=MappingProxyType(storages))


def _check_members(path: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    """Refuse archives that two zip readers could understand differently."""
    if not members:
        raise BrokenFile(path, "is an empty zip archive")
    if archive.comment or min(member.header_offset for member in members) != 0:
        raise BrokenFile(path, "has data around its zip archive and was not loaded")
    names = [member.filename.casefold() for member in members]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BrokenFile(path, f"holds {twice[:120]!a} twice and was not loaded")
    for member in members:
        if member.orig_filename != member.filename or "\\" in member.filename:
            raise BrokenFile(path, f"holds the misnamed part {member.orig_filename[:120]!a} and was not loaded")
        if member.flag_bits & 0x1:
            raise BrokenFile(path, f"is encrypted ({member.filename[:120]!a})")
        if member.compress_type != zipfile.ZIP_STORED:
            raise BrokenFile(path, "is compressed; unpack it and save it again with torch.save")


def _is_storage(name: str, root: str) -> bool:
    """Weights may begin with any bytes, also with those of a pickle; torch reads them as numbers only."""
    head, _, key = name.rpartition("/")
    return head == f"{root}/data" and key.isascii() and key.isdigit()


def _may_be_pickle(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    if member.filename.casefold().endswith((".pkl", ".pickle", ".pt", ".pth", ".bin")):
        return True
    with archive.open(member) as file:
        return file.read(1) == b"\x80"


def _walk_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, check: bool) -> frozenset[str]:
    where = f"its part {member.filename[:120]!a}"
    if member.file_size > MAX_PICKLE_BYTES:
        raise BrokenFile(path, f"{where} is {member.file_size} bytes long, more than any model's; it was not loaded")
    data, position, seen = archive.read(member), 0, set()
    while position < len(data) or (not seen and position == 0):
        found, position = _walk(path, where, data, position, check)
        seen |= found
    return frozenset(seen)


def _read_stream(path: Path, data: bytes, check: bool) -> TorchFile:
    position, seen, parts = 0, set(), []
    for where in _LEGACY_PICKLES:
        found, end = _walk(path, where, data, position, check)
        parts.append(data[position:end])
        seen |= found
        position = end
        if len(parts) == 1 and parts[0] != pickle.dumps(_MAGIC, protocol=2):
            raise BrokenFile(path, "is a pickle that torch.save did not write")
    return TorchFile(contents=parts[3], globals=frozenset(seen), storages=None)
