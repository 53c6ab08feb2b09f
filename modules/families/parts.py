"""Find the networks in a file, whatever their names begin with and whichever layout they have."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from modules.families.diffusers_keys import clip_pairs, openclip_pairs, unet_pairs, vae_pairs
from modules.families.pairs import Pair, Shape
from modules.library.folders import parsed
from modules.library.header import Header


class Role(Enum):
    """What a network does in a model."""

    UNET = "UNet"
    VAE = "VAE"
    SMALL = "CLIP-L"
    """The text encoder of Stable Diffusion 1 and the first of XL."""
    LARGE = "OpenCLIP"
    """The text encoder of Stable Diffusion 2 and the second of XL."""


class Layout(Enum):
    """Whose names the tensors have."""

    ORIGINAL = "original"
    DIFFUSERS = "diffusers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One network in a file."""

    role: Role
    layout: Layout
    prefix: str
    """What the names begin with in the file."""
    shapes: Mapping[str, Shape]
    """By name without the prefix, in the spelling that `pairs` reads."""
    stored: Mapping[str, str]
    """The same names -> names in the file."""

    def pairs(self) -> tuple[Pair, ...]:
        """Return every tensor under its names in both layouts."""
        make: dict[Role, Callable[[Iterable[str]], tuple[Pair, ...]]] = {
            Role.UNET: lambda names: unet_pairs(tuple(names)),
            Role.VAE: lambda names: vae_pairs(tuple(names)),
            Role.SMALL: clip_pairs,
            Role.LARGE: openclip_pairs,
        }
        return make[self.role](self.shapes)

    @property
    def width(self) -> int:
        """Width of a text encoder; 0 for other networks."""
        for name in ("text_model.embeddings.token_embedding.weight", "model.token_embedding.weight"):
            if name in self.shapes:
                return self.shapes[name][1]
        return 0


UNET_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "unet/", "unet.", "")
VAE_PREFIXES = ("first_stage_model.", "vae/", "vae.", "")
TEXT_PREFIXES = (
    "cond_stage_model.", "conditioner.embedders.0.", "conditioner.embedders.1.", "text_encoder/", "text_encoder_2/",
    "text_encoder.", "text_encoder_2.", "text_encoders.clip_l.", "text_encoders.clip_h.", "text_encoders.clip_g.", "",
)  # fmt: skip
_LARGE_PLACES = ("conditioner.embedders.1.", "text_encoder_2/", "text_encoder_2.", "text_encoders.clip_h.", "text_encoders.clip_g.")  # fmt: skip
_SMALL_WIDTH = 768
_LARGE_WIDTHS = (1024, 1280)


def find_parts(header: Header) -> tuple[Part, ...]:
    """Return the networks of a file; at most one UNet and one VAE, and the text encoders in the order of their places."""
    unet = next(_unets(header), None)
    vae = next((part for part in _vaes(header) if unet is None or part.prefix), None)
    taken = tuple(part.prefix for part in (unet, vae) if part)
    texts = [] if "" in taken else list(_texts(header))
    return tuple(part for part in (unet, vae, *texts) if part)


def _below(header: Header, prefix: str) -> dict[str, str]:
    """Return name without the prefix -> name; without a prefix only names that belong to no other network."""
    if prefix:
        return {name.removeprefix(prefix): name for name in header.tensors if name.startswith(prefix)}
    others = tuple(one for one in (*UNET_PREFIXES, *VAE_PREFIXES, *TEXT_PREFIXES) if one)
    return {name: name for name in header.tensors if not name.startswith(others)}


def _part(header: Header, role: Role, layout: Layout, prefix: str, stored: dict[str, str]) -> Part:
    shapes = {name: header.tensors[raw].shape for name, raw in stored.items()}
    return Part(role=role, layout=layout, prefix=prefix, shapes=shapes, stored=stored)


def _unets(header: Header) -> Iterator[Part]:
    """Only UNets have both ends; copies of their first half, such as ControlNets, lack the last layer."""
    for prefix in UNET_PREFIXES:
        own = _below(header, prefix)
        if "input_blocks.0.0.weight" in own and "out.2.weight" in own:
            yield _part(header, Role.UNET, Layout.ORIGINAL, prefix, own)
        elif {"conv_in.weight", "conv_out.weight", "time_embedding.linear_1.weight"} <= own.keys():
            yield _part(header, Role.UNET, Layout.DIFFUSERS, prefix, own)


def _vaes(header: Header) -> Iterator[Part]:
    for prefix in VAE_PREFIXES:
        own = _below(header, prefix)
        if "quantize.embedding.weight" in own or "decoder.conv_in.weight" not in own:
            continue  # face restorers are built around an autoencoder
        if "decoder.mid.block_1.conv1.weight" in own:
            yield _part(header, Role.VAE, Layout.ORIGINAL, prefix, own)
        elif "decoder.mid_block.resnets.0.conv1.weight" in own:
            yield _part(header, Role.VAE, Layout.DIFFUSERS, prefix, own)


def _texts(header: Header) -> Iterator[Part]:
    for prefix in TEXT_PREFIXES:
        own = _below(header, prefix)
        openclip = {f"model.{name.removeprefix('model.')}": raw for name, raw in own.items()}
        if {"model.token_embedding.weight", "model.positional_embedding"} <= openclip.keys():
            yield _part(header, Role.LARGE, Layout.ORIGINAL, prefix, openclip)
            continue
        bare = {name.removeprefix("transformer."): raw for name, raw in own.items()}
        if "embeddings.token_embedding.weight" in bare:  # files without the level `text_model`
            bare = {f"text_model.{name}" if _is_inner(name) else name: raw for name, raw in bare.items()}
        if "text_model.embeddings.token_embedding.weight" in bare:
            role = _role(header, prefix, bare)
            inside = role is Role.SMALL and any(name.startswith("transformer.") for name in own)
            yield _part(header, role, Layout.ORIGINAL if inside else Layout.DIFFUSERS, prefix, bare)


def _is_inner(name: str) -> bool:
    return name.startswith(("embeddings.", "encoder.", "final_layer_norm."))


def _role(header: Header, prefix: str, bare: Mapping[str, str]) -> Role:
    """Tell the encoders with names of transformers apart; widths tell those of the public models."""
    width = header.tensors[bare["text_model.embeddings.token_embedding.weight"]].shape[-1]
    if width == _SMALL_WIDTH or width in _LARGE_WIDTHS:
        return Role.SMALL if width == _SMALL_WIDTH else Role.LARGE
    activation = parsed(header.metadata, f"{prefix}config.json").get("hidden_act") if prefix.endswith("/") else None
    if prefix in _LARGE_PLACES or activation == "gelu":
        return Role.LARGE
    inside = prefix in ("cond_stage_model.", "conditioner.embedders.0.")
    return Role.LARGE if "text_projection.weight" in bare and not inside and activation is None else Role.SMALL
