"""The checkpoint lineages this program can load, and the one place that decides which a file belongs to."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.families.family import Family, Files, Match
    from modules.library.header import Header


def families() -> "tuple[Family, ...]":
    """Return the built-in families in detection order: the special before the general."""
    from modules.families.sd1.family import SD1
    from modules.families.sd2.family import SD2
    from modules.families.sdxl.family import SDXL
    from modules.families.toy.family import TOY

    return (TOY, SDXL, SD2, SD1)


def identify(header: "Header", config: Mapping[str, Any]) -> "tuple[Family, Match]":
    """Find the family of a checkpoint.

    Args:
        header: names, shapes and metadata of the file, in whichever layout it has.
        config: the parsed yaml beside it; empty when there is none.

    Raises:
        UnsupportedCheckpoint: no family claims it; says what it seems to be and where it belongs.
        BrokenFile: its family is known but the file contradicts itself.
    """
    return _identify((header,), config)


def identify_files(files: "Files") -> "tuple[Family, Match]":
    """Find the family of a checkpoint together with the files that belong to it; errors as for `identify`."""
    from modules.families.sidecar import read_sidecar
    from modules.library.folders import read_model_header

    paths = (files.checkpoint, *files.modules)
    headers = [read_model_header(path, allow_unsafe=files.allow_unsafe) for path in paths]
    for header in headers[1:]:
        _require_part(header)
    return _identify(headers, read_sidecar(files.config))


def _require_part(header: "Header") -> None:
    """Refuse a file beside a checkpoint that is neither text encoder nor VAE; those of other lineages do no harm."""
    from modules.domain.errors import UnsupportedCheckpoint
    from modules.families.parts import find_parts
    from modules.families.recognise import describe

    hint = describe(header) or "Nothing in it looks like one."
    if not find_parts(header) and "text encoder" not in hint:
        raise UnsupportedCheckpoint(header.path, tried=["text encoder", "VAE"], hint=hint)


def _identify(headers: "Sequence[Header]", config: Mapping[str, Any]) -> "tuple[Family, Match]":
    from modules.domain.errors import UnsupportedCheckpoint
    from modules.families.folder_config import folder_config
    from modules.families.opening import arrange
    from modules.families.recognise import describe, needs

    arranged = arrange(headers)
    config = config or folder_config(headers[0].metadata)
    for family in families():
        if not arranged.missing and (match := family.detect(arranged.header, config)) is not None:
            return family, match
    hint = describe(headers[0]) or "Nothing in it looks like a model of a known lineage."
    hint += needs(arranged.missing, arranged.header)
    raise UnsupportedCheckpoint(headers[0].path, tried=[family.id for family in families()], hint=hint)
