"""A model's files as one file in the original layout, whatever layout they have and however many they are.

Families detect and load what this shows them and know no other layout. A network of a further file (a text encoder
or a VAE chosen beside the checkpoint) takes the place of the checkpoint's own.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from torch import Tensor

from modules.families.eye_pairs import eye_pairs
from modules.families.family import Files
from modules.families.pairs import Form, Pair, original_shape, to_original
from modules.families.parts import Layout, Part, Role, find_parts
from modules.library.folders import open_model
from modules.library.header import Header, TensorInfo
from modules.library.tensors import Tensors
from modules.nn.eight_bit import scaled

logger = logging.getLogger(__name__)

LATENT_CHANNELS = 4
SCALE = ".scale_weight"
_SCALE_SIGNS = (SCALE, ".scale_input", "scaled_fp8")
"""Ends of names that say something of 8-bit weights and are no tensors of a network."""
_NO_TEXT = ("vision_model.", "visual.", "visual_projection.")
_WITHOUT_MEANING = ("position_ids", "logit_scale", "attn_mask", "text_projection.weight", "text_projection")


class Kind(Enum):
    """The lineages whose parts this program puts together."""

    SD1 = "Stable Diffusion 1"
    SD2 = "Stable Diffusion 2"
    SDXL = "Stable Diffusion XL"
    REFINER = "Stable Diffusion XL refiner"


_PLACES: Mapping[tuple[Kind, Role], str] = {
    (Kind.SD1, Role.SMALL): "cond_stage_model.",
    (Kind.SD2, Role.LARGE): "cond_stage_model.",
    (Kind.SDXL, Role.SMALL): "conditioner.embedders.0.",
    (Kind.SDXL, Role.LARGE): "conditioner.embedders.1.",
    (Kind.REFINER, Role.LARGE): "conditioner.embedders.0.",
}
_UNCLIP_WIDTHS = (1536, 2048)
"""Of what a UNet of unCLIP is told: an embedding and how much noise is on it."""
_ORIGINAL_TEXT = ("cond_stage_model.", "conditioner.embedders.")
_ENCODERS: Mapping[tuple[Kind, Role], str] = {
    (Kind.SD1, Role.SMALL): "CLIP-L (clip_l.safetensors)",
    (Kind.SD2, Role.LARGE): "OpenCLIP-H (clip_h.safetensors)",
    (Kind.SDXL, Role.SMALL): "CLIP-L (clip_l.safetensors)",
    (Kind.SDXL, Role.LARGE): "CLIP-G (clip_g.safetensors)",
    (Kind.REFINER, Role.LARGE): "CLIP-G (clip_g.safetensors)",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a tensor of the arranged file comes from."""

    file: int
    pair: Pair
    """Its name in the arranged file and the names in that file."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Files seen as one in the original layout."""

    header: Header
    sources: Mapping[str, Source]
    missing: tuple[str, ...] = ()
    """Text encoders that a UNet of a known lineage needs and no file has."""


class OpenModel(Tensors):
    """Open files seen as one. Valid inside its `with`."""

    def __init__(self, arrangement: Arrangement, files: Sequence[Tensors]) -> None:
        self._sources, self._files = arrangement.sources, files
        super().__init__(arrangement.header, self._read)

    def stored(self, name: str) -> tuple[Tensor, Tensor | None]:
        """Return a tensor as it is stored, and what its 8-bit values are to be multiplied by, if anything."""
        source = self._sources[name]
        file, (first, *others) = self._files[source.file], source.pair.diffusers
        if others:
            return to_original(source.pair, lambda part: _full(file, part)), None
        scale = _scale_of(file, first)
        return to_original(source.pair, file.get), None if scale is None else file.get(scale)

    def _read(self, name: str) -> Tensor:
        tensor, scale = self.stored(name)
        return tensor if scale is None else scaled(tensor, scale)


def _full(file: Tensors, name: str) -> Tensor:
    scale = _scale_of(file, name)
    return file.get(name) if scale is None else scaled(file.get(name), file.get(scale))


def _scale_of(file: Tensors, name: str) -> str | None:
    """Return the name of what 8-bit values are to be multiplied by; it lies beside the weight of its layer."""
    scale = f"{name.removesuffix('.weight')}{SCALE}"
    return scale if name.endswith(".weight") and scale in file.header.tensors else None


@contextmanager
def open_checkpoint(files: Files) -> Iterator[OpenModel]:
    """Open a model's files as one in the original layout; its VAE file, if it has one, is left out.

    Raises:
        BrokenFile: a file is damaged.
        UnsafePickle: a pickled file asks for code.
    """
    with ExitStack() as stack:
        paths = (files.checkpoint, *files.modules)
        opened = [stack.enter_context(open_model(path, allow_unsafe=files.allow_unsafe)) for path in paths]
        yield OpenModel(arrange([file.header for file in opened]), opened)


@contextmanager
def open_vae(path: Path, *, allow_unsafe: bool = False) -> Iterator[OpenModel]:
    """Open a file that holds a VAE, of whichever layout, as one in the original layout; errors as `open_checkpoint`."""
    with open_model(path, allow_unsafe=allow_unsafe) as file:
        yield OpenModel(arrange([file.header]), [file])


def arrange(headers: Sequence[Header]) -> Arrangement:
    """See several files as one in the original layout.

    What is in the original layout keeps its names, and so does everything that belongs to none of the known
    networks. A file that needs no change at all keeps its header.

    Args:
        headers: the checkpoint's, and those of files whose networks replace its own, the last of each kind.
    """
    parts = [(index, part) for index, header in enumerate(headers) for part in find_parts(header)]
    unets = [part for index, part in parts if index == 0 and part.role is Role.UNET]
    encoders = [part for _, part in parts if part.role in (Role.SMALL, Role.LARGE)]
    kind = _kind(unets[0], encoders) if unets else None
    chosen = {part.role: part for index, part in parts if index == 0 or _fits(part, kind, headers[index])}
    sources = {name: Source(0, Pair(name, (name,))) for name in headers[0].tensors}
    for index, part in parts:
        stays = index == 0 and chosen[part.role] is part and _is_at_home(part)
        if index == 0 and not stays:
            for name in part.stored.values():
                del sources[name]
        if chosen.get(part.role) is part and not stays:
            sources |= _moved(index, part, _home(part, kind))
    for pair in eye_pairs(headers[0].tensors):
        if sources.keys() >= set(pair.diffusers):
            for name in pair.diffusers:
                del sources[name]
            sources[pair.original] = Source(0, pair)
    sources = {name: source for name, source in sources.items() if not name.endswith(_SCALE_SIGNS)}
    return Arrangement(_header(headers, sources), sources, _missing(kind, set(chosen)))


def _fits(part: Part, kind: Kind | None, header: Header) -> bool:
    """Tell whether a network of a further file is of use."""
    small = part.role is Role.VAE and part.shapes["decoder.conv_in.weight"][1] == LATENT_CHANNELS
    fits = small or (kind, part.role) in _PLACES
    if not fits:
        logger.info("%s: its %s has no place in this model and is left out", header.path.name, part.role.value)
    return fits


def _kind(unet: Part, encoders: Sequence[Part]) -> Kind:
    """Tell a lineage by what the UNet is told and by how wide the text is that it attends to."""
    shapes = {pair.original: unet.shapes[_name(pair, unet)] for pair in unet.pairs()}
    context = next((s[1] for n, s in shapes.items() if n.endswith("transformer_blocks.0.attn2.to_k.weight")), 0)
    roles = {part.role: part for part in encoders}
    told = shapes.get("label_emb.0.0.weight")
    if (told and told[1] in _UNCLIP_WIDTHS) or any(name.startswith("class_embedding.") for name in unet.shapes):
        return Kind.SD2
    if told:
        large = roles.get(Role.LARGE)
        alone = context == large.width if large else context == 1280
        return Kind.REFINER if alone else Kind.SDXL
    if context in (768, 1024):
        return Kind.SD1 if context == 768 else Kind.SD2
    return Kind.SD2 if Role.LARGE in roles and Role.SMALL not in roles else Kind.SD1


def _name(pair: Pair, part: Part) -> str:
    return pair.original if part.layout is Layout.ORIGINAL else pair.diffusers[0]


def _is_at_home(part: Part) -> bool:
    """Tell whether a network lies where the original checkpoints have it, under their names."""
    if part.layout is Layout.DIFFUSERS:
        return False
    match part.role:
        case Role.UNET:
            return part.prefix == "model.diffusion_model."
        case Role.VAE:
            return part.prefix in ("first_stage_model.", "")
        case Role.SMALL | Role.LARGE:
            return part.prefix.startswith(_ORIGINAL_TEXT)


def _home(part: Part, kind: Kind | None) -> str:
    if part.role is Role.UNET:
        return "model.diffusion_model."
    if part.role is Role.VAE:
        return "first_stage_model."
    if part.prefix.startswith(_ORIGINAL_TEXT):
        return part.prefix
    return _PLACES.get((kind, part.role), "") if kind else ""


def _moved(index: int, part: Part, home: str) -> dict[str, Source]:
    """Return the tensors of a network under their original names; unknown ones keep theirs, for the loader to name."""
    moved, known = dict[str, Source](), set[str]()
    for pair in part.pairs():
        names = (pair.original,) if part.layout is Layout.ORIGINAL and part.role is not Role.SMALL else pair.diffusers
        form = Form.SAME if part.layout is Layout.ORIGINAL else pair.form
        known.update(names)
        moved[home + pair.original] = Source(
            index, Pair(home + pair.original, tuple(part.stored[n] for n in names), form)
        )
    for name in part.shapes.keys() - known:
        if not name.endswith(_WITHOUT_MEANING) and not name.startswith(_NO_TEXT):
            moved[home + name] = Source(index, Pair(home + name, (part.stored[name],)))
    return moved


def _header(headers: Sequence[Header], sources: Mapping[str, Source]) -> Header:
    first = headers[0]
    if sources.keys() == first.tensors.keys() and all(
        s.file == 0 and s.pair.diffusers == (n,) for n, s in sources.items()
    ):
        return first
    infos = dict[str, TensorInfo]()
    for name, source in sources.items():
        stored = headers[source.file].tensors
        shapes = {part: stored[part].shape for part in source.pair.diffusers}
        infos[name] = TensorInfo(original_shape(source.pair, shapes), stored[source.pair.diffusers[0]].dtype)
    return Header(first.path, infos, first.metadata)


def _missing(kind: Kind | None, roles: set[Role]) -> tuple[str, ...]:
    return tuple(label for (one, role), label in _ENCODERS.items() if one is kind and role not in roles)
