"""The checkpoint lineages this program can load, and the one place that decides which a file belongs to."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.families.family import Family, Match
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
        header: names, shapes and metadata of the file.
        config: the parsed yaml beside it; empty when there is none.

    Raises:
        UnsupportedCheckpoint: no family claims it; says what it seems to be and where it belongs.
        BrokenFile: its family is known but the file contradicts itself.
    """
    from modules.domain.errors import UnsupportedCheckpoint
    from modules.families.recognise import describe

    for family in families():
        if (match := family.detect(header, config)) is not None:
            return family, match
    hint = describe(header) or "Nothing in it looks like a model of a known lineage."
    raise UnsupportedCheckpoint(header.path, tried=[family.id for family in families()], hint=hint)
