"""What cards tell of a model: from inside its file, and from the notes beside it."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from modules.domain.errors import ModelError
from modules.library.cards import CIVITAI, NOTES, CardFile
from modules.library.cards_notes import Damaged, SiteFacts, read_notes, read_site
from modules.library.header import Header, read_header
from modules.library.sidecars import COVER_IMAGES, description

TAGS = "ss_tag_frequency"
MOST_TAGS = 40
"""How many of the words that a network was trained on can be searched for."""
MAX_DESCRIPTION = 600
"""Characters of a description that a card carries."""
VERSIONS: Mapping[str, str] = MappingProxyType({"SD1": "sd1", "SD2": "sd2", "SDXL": "sdxl"})
"""What A1111 calls the models that a LoRA fits -> id."""
_SITES = (("SDXL", "sdxl"), ("Pony", "sdxl"), ("Illustrious", "sdxl"), ("NoobAI", "sdxl"), ("SD 1", "sd1"), ("SD 2", "sd2"),
          ("SD 3", "sd3"), ("Flux", "flux"))  # fmt: skip
"""How the name of a base model begins on the site -> id."""
_WIDTHS = {768: "sd1", 1024: "sd2", 1280: "sdxl", 2048: "sdxl"}

ValueT = TypeVar("ValueT", "FileFacts", "NoteFacts")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What is inside a model."""

    alias: str = ""
    """What its trainer called it."""
    own_name: str = ""
    """Name stored in an embedding that is a picture; it counts instead of the file's."""
    family: str = ""
    """Id of the models it is, or is made for."""
    hash: str = ""
    """As far as the file tells it itself."""
    tags: tuple[str, ...] = ()
    """Words it was trained on, the most frequent first."""
    has_metadata: bool = False
    num_covers: int = 0
    fault: str = ""
    """Why it cannot be used."""
    is_model: bool = True
    """False for a picture beside embeddings that holds none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteFacts:
    """What was noted about a model."""

    description: str = ""
    activation: str = ""
    """Goes into the prompt with the network."""
    weight: float = 0.0
    """0 where none is preferred."""
    negative: str = ""
    """Goes into the negative prompt."""
    family: str = ""
    words: tuple[str, ...] = ()
    """Trigger words that a model site tells."""
    title: str = ""
    """Its name on the site."""


def dump(facts: FileFacts | NoteFacts) -> dict[str, Any]:
    """Return what differs from the defaults, for a file of facts."""
    plain = type(facts)()
    return {key: value for key, value in asdict(facts).items() if value != getattr(plain, key)}


def load(kind: type[ValueT], stored: Mapping[str, Any]) -> ValueT:
    """Take facts from a file of facts; those that this kind does not have are left out."""
    known, values = {item.name for item in fields(kind)}, dict[str, Any]()
    for key, value in stored.items():
        if key in known:
            values[key] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def of_lora(path: Path) -> FileFacts:
    """Look into a LoRA."""
    from modules.adapters.lora.lineage import Shapes, lineage
    from modules.adapters.lora.names import LayerName, parse

    try:
        header = read_header(path)
    except ModelError as error:
        return FileFacts(fault=str(error))
    shapes: dict[LayerName, dict[str, tuple[int, ...]]] = {}
    for name, info in header.tensors.items():
        if found := parse(name):
            shapes.setdefault(found[0], {})[found[1]] = info.shape
    layers: Shapes = shapes
    told = header.metadata
    return replace(
        _of_metadata(told), alias=told.get("ss_output_name", ""), hash=told.get("sshs_model_hash", "")[:64],
        family=lineage(layers, told) or "", tags=tuple(tag for tag, _ in training_tags(told)[:MOST_TAGS]),
    )  # fmt: skip


def of_embedding(path: Path) -> FileFacts:
    """Look into an embedding; pictures need their pixels for it."""
    from modules.adapters.textual_inversion.read import PICTURES

    if path.suffix.lower() in PICTURES:
        return _of_picture(path)
    try:
        header = read_header(path)
    except ModelError as error:
        return FileFacts(fault=str(error))
    return replace(_of_metadata(header.metadata), family=_width_tells(header))


def of_plain(path: Path) -> FileFacts:
    """Look at a file that tells nothing before it is used."""
    return FileFacts(fault="" if path.is_file() else "The file is gone.")


def _of_metadata(metadata: Mapping[str, str]) -> FileFacts:
    return FileFacts(has_metadata=any(key != COVER_IMAGES for key in metadata), num_covers=len(covers(metadata)))


def _of_picture(path: Path) -> FileFacts:
    from modules.adapters.textual_inversion.picture import vectors_in_picture

    if path.stem.endswith(".preview"):
        return FileFacts(is_model=False)
    try:
        stored, told = vectors_in_picture(path)
    except ModelError:
        return FileFacts(is_model=False)
    width = next((value.shape[-1] for value in stored.values()), 0)
    return FileFacts(own_name=told.get("name", ""), family=_WIDTHS.get(width, ""))


def _width_tells(header: Header) -> str:
    if {"clip_l", "clip_g"} <= header.tensors.keys():
        return "sdxl"
    shapes = [info.shape for info in header.tensors.values() if info.shape]
    return _WIDTHS.get(shapes[0][-1], "") if len(shapes) == 1 else ""


def covers(metadata: Mapping[str, str]) -> list[str]:
    """Return the pictures inside a file, as base64."""
    try:
        listed = json.loads(metadata.get(COVER_IMAGES, "[]"))
    except (ValueError, RecursionError):
        return []
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def training_tags(metadata: Mapping[str, str]) -> list[tuple[str, int]]:
    """Return the words of the pictures that a network was trained on, and how many had them; the most frequent first."""
    try:
        folders = json.loads(metadata.get(TAGS, "{}"))
    except (ValueError, RecursionError):
        return []
    found = Counter[str]()
    for tags in folders.values() if isinstance(folders, dict) else ():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if isinstance(count, int):
                found[tag.strip()] += count
    return [(tag, count) for tag, count in found.most_common() if tag and count > 0]


def noted(card: CardFile) -> NoteFacts:
    """Read what lies beside a model. What a person wrote comes before what a site tells."""
    site = read_site(card.texts[CIVITAI]) if CIVITAI in card.texts else SiteFacts()
    try:
        notes = read_notes(card.texts[NOTES]) if NOTES in card.texts else {}
    except Damaged:
        notes = {}
    text = _text(notes, "description") or description(card.path) or site.description
    return NoteFacts(
        description=text[:MAX_DESCRIPTION], activation=_text(notes, "activation text"),
        weight=preferred_weight(notes), negative=_text(notes, "negative text"), words=site.words[:MOST_TAGS],
        family=VERSIONS.get(_text(notes, "sd version"), "") or _on_site(site.base_model), title=site.title[:200],
    )  # fmt: skip


def preferred_weight(notes: Mapping[str, Any]) -> float:
    """Return how strong a network should be, 0 where nothing sensible is noted."""
    value = notes.get("preferred weight")
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 100:
        return 0.0
    return float(value)


def _text(notes: Mapping[str, Any], key: str) -> str:
    value = notes.get(key)
    return value if isinstance(value, str) else ""


def _on_site(base_model: str) -> str:
    return next((family for start, family in _SITES if base_model.startswith(start)), "")
