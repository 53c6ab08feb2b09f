"""What a checkpoint lineage has to offer. A family is one folder with one value of this type."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from modules.domain.plan import TextOptions
from modules.families.chunked import Embeddings
from modules.families.eye import Eye
from modules.library.header import Header
from modules.nn.attention.backend import Attend
from modules.nn.ops import Ops
from modules.nn.patches.key_map import KeyMap
from modules.sampling.prediction import Prediction
from modules.sampling.types import Conditioning


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A header recognised by a family, with the facts that change how it is built."""

    family: str
    variant: str = "base"
    """base, inpainting, pix2pix, depth, unclip, refiner, ..."""
    prediction: str = "eps"
    """eps, v, flow or x0."""
    config: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What shapes cannot tell, from the sidecar yaml or the file's metadata (heads, norm groups, betas)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentSpec:
    """The latent space of a family."""

    channels: int = 4
    downscale: int = 8
    scale: float = 0.18215
    """Latent that samplers see = (VAE mean - shift) * scale."""
    shift: float = 0.0
    preview: tuple[tuple[float, float, float], ...] = ()
    """[channels, 3]: linear map from the latent to RGB in about -1..1."""
    tiny: str = ""
    """What the files of its tiny autoencoder begin with (taesd, taesdxl, taesd3); empty when there is none."""
    approx: str = ""
    """Name, without ending, of the file of its preview network; empty when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Everything a layer may know about where and how it runs; injected, never looked up."""

    ops: Ops
    attend: Attend
    device: torch.device
    dtype: torch.dtype
    """Storage and compute type of the denoising network."""
    text_dtype: torch.dtype
    vae_dtype: torch.dtype
    fp8: bool = False
    """Keep the weights of the denoising network's layers in 8 bits."""
    keep_half: bool = False
    """With `fp8`, remember in main memory what was rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files one model is made of."""

    checkpoint: Path
    vae: Path | None = None
    config: Path | None = None
    """Sidecar yaml beside the checkpoint, when there is one."""
    modules: tuple[Path, ...] = ()
    """Further files whose text encoders or VAE take the place of the checkpoint's."""
    allow_unsafe: bool = False
    """Let pickled files run the code they ask for."""
    models: Path | None = None
    """Folder of models, where some families look for what a checkpoint lacks."""


@dataclass(slots=True, kw_only=True, eq=False)
class Components:
    """A loaded model. The networks keep the checkpoint's own key names."""

    family: "Family"
    match: Match
    build: Build
    text: nn.Module
    unet: nn.Module
    vae: nn.Module
    tokenizer: Any
    latent: LatentSpec
    prediction: Prediction
    words: Mapping[str, Embeddings] = field(default_factory=lambda: MappingProxyType({}))
    """Embeddings that prompts may use now, by text encoder; whoever conditions sets them."""
    eye: Eye | None = None
    """Looks at the picture a run starts from; None where the network need not be told of it, or nothing can look."""


class Family(Protocol):
    """One architecture lineage."""

    id: str
    label: str
    told_size: bool
    """Whether the networks were trained to be told a picture's size, and so `TextOptions.size` matters."""

    def detect(self, header: Header, config: Mapping[str, Any]) -> Match | None:
        """Recognise a file from its header (names, shapes, metadata) and its sidecar config; reads no weights."""
        ...

    def load(self, files: Files, match: Match, build: Build) -> Components:
        """Build the networks on the meta device and assign the file's tensors; strict.

        Raises:
            BrokenFile: keys missing, unexpected or of a wrong shape.
        """
        ...

    def load_vae(self, files: Files, match: Match, build: Build) -> nn.Module:
        """Build and fill the VAE alone, as `load` would.

        Raises:
            BrokenFile: as for `load`.
        """
        ...

    def condition(self, model: Components, texts: Sequence[str], options: TextOptions) -> Conditioning:
        """Encode the texts of one sub-prompt's timeline together: B = len(texts) rows, padded to the same length."""
        ...

    def empty_chunk(self, model: Components, options: TextOptions) -> Tensor:
        """Return the encoded empty prompt, [1, 77, D], used to pad a shorter prompt."""
        ...

    def count_tokens(self, tokenizer: Any, text: str, options: TextOptions) -> int:
        """Count the tokens a text occupies: full chunks count 75 each, the last what it holds."""
        ...

    def network(self, model: Components, tiling: bool) -> Callable[[Tensor, Tensor, Conditioning], Tensor]:
        """Return the denoising network as a plain function (x [B,C,h,w], t [B], conditioning) -> raw output."""
        ...

    def encoders(self, model: Components) -> Mapping[str, int]:
        """Return the text encoders (clip_l, clip_g, clip_h, ...) and how wide the vectors of their tokens are."""
        ...

    def key_map(self, model: Components) -> KeyMap:
        """Return the layers of a model under the names that trainers of patches (LoRA and kin) know."""
        ...

    def decode(self, model: Components, x: Tensor, tiling: bool) -> Tensor:
        """Decode latents [B, C, h, w] (sampler scale) to pictures [B, 3, H, W] in about -1..1."""
        ...

    def encode(self, model: Components, picture: Tensor, tiling: bool) -> Tensor:
        """Encode pictures [B, 3, H, W] in -1..1 to the means of their latents [B, C, h, w], sampler scale."""
        ...
