"""A family small enough to run whole requests in milliseconds, with the real protocol and files."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn

from modules.domain.plan import TextOptions
from modules.families.chunked import Placement, chunks_of, encode_texts
from modules.families.facts import prediction_name, trained_prediction, training_facts
from modules.families.family import Build, Components, Files, LatentSpec, Match
from modules.families.key_map import key_map, plain_layers
from modules.families.loading import build as build_network
from modules.families.loading import fill
from modules.families.sd1.text import placed
from modules.families.toy.checkpoint import ARCHITECTURE, PREFIXES
from modules.families.toy.networks import DOWNSCALE, LATENT_CHANNELS, TEXT_WIDTH, ToyText, ToyUNet, ToyVAE
from modules.families.toy.tokenizer import ToyTokenizer
from modules.library.header import Header
from modules.library.tensors import Tensors, open_tensors
from modules.nn.chunks import count
from modules.nn.patches.key_map import KeyMap
from modules.nn.tiling import circular_padding, convolutions
from modules.sampling.types import Conditioning

LATENT = LatentSpec(
    channels=LATENT_CHANNELS,
    downscale=DOWNSCALE,
    scale=1.0,
    preview=((0.3, 0.2, 0.2), (0.2, 0.3, 0.2), (-0.2, 0.2, 0.3), (-0.2, -0.3, -0.4)),
)


class Toy:
    """Latents of 4 channels at an eighth of the picture's size, like Stable Diffusion."""

    id = "toy"
    label = "Toy"
    told_size = False

    def detect(self, header: Header, config: Mapping[str, Any]) -> Match | None:
        """Claim files whose metadata names this architecture."""
        if header.metadata.get("modelspec.architecture") != ARCHITECTURE:
            return None
        facts = MappingProxyType(training_facts(header, config))
        return Match(family=self.id, prediction=prediction_name(header, config), config=facts)

    def load(self, files: Files, match: Match, build: Build) -> Components:
        """Build the networks on the meta device and assign the file's tensors; strict."""
        with ExitStack() as stack:
            checkpoint = stack.enter_context(open_tensors(files.checkpoint))
            source = stack.enter_context(open_tensors(files.vae)) if files.vae else checkpoint
            text = _load(checkpoint, "text", partial(ToyText, build.ops), build, build.text_dtype)
            unet = _load(checkpoint, "unet", partial(ToyUNet, build.ops, build.attend), build, build.dtype)
            vae = _load_vae(source, build)
        return Components(
            family=self,
            match=match,
            build=build,
            text=text,
            unet=unet,
            vae=vae,
            tokenizer=ToyTokenizer(),
            latent=LATENT,
            prediction=trained_prediction(match.prediction, match.config),
        )

    def load_vae(self, files: Files, match: Match, build: Build) -> nn.Module:
        """Build and fill the VAE alone, from its own file or the checkpoint's."""
        with open_tensors(files.vae or files.checkpoint) as file:
            return _load_vae(file, build)

    def condition(self, model: Components, texts: Sequence[str], options: TextOptions) -> Conditioning:
        """Encode the texts of one sub-prompt's timeline together, [B, 77 n, 8]."""

        def encode(ids: Tensor, placements: Sequence[Placement]) -> Tensor:
            with placed(cast(ToyText, model.text).token_embedding, placements):
                return model.text(ids, options.clip_skip)

        device = next(model.text.parameters()).device
        return Conditioning(
            tokens=encode_texts(
                encode, model.tokenizer, texts, options, device=device, embeddings=model.words.get("toy")
            )
        )

    def empty_chunk(self, model: Components, options: TextOptions) -> Tensor:
        """Return the encoded empty prompt, [1, 77, 8]."""
        return self.condition(model, [""], options).tokens

    def count_tokens(self, tokenizer: Any, text: str, options: TextOptions) -> int:
        """Count the tokens a text occupies: full chunks count 75 each, the last what it holds."""
        return count(chunks_of(tokenizer, text, options))

    def network(self, model: Components, tiling: bool) -> Callable[[Tensor, Tensor, Conditioning], Tensor]:
        """Return the network as a function of (x [B, 4, h, w], t [B], conditioning of B rows)."""
        unet = model.unet
        layers = convolutions(unet) if tiling else ()

        def run(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
            dtype = next(unet.parameters()).dtype
            with circular_padding(layers):
                return unet(x.to(dtype), t, conditioning.tokens.to(x.device, dtype)).to(x.dtype)

        return run

    def encoders(self, model: Components) -> Mapping[str, int]:
        """Return the text encoders and how wide the vectors of their tokens are."""
        return {"toy": TEXT_WIDTH}

    def key_map(self, model: Components) -> KeyMap:
        """Return the layers of a model by their own names."""
        return key_map(model, unet=plain_layers("unet", model.unet), te1=plain_layers("text", model.text))

    def decode(self, model: Components, x: Tensor, tiling: bool) -> Tensor:
        """Decode latents [B, 4, h, w] to pictures [B, 3, 8 h, 8 w] between -1 and 1."""
        weight = next(model.vae.parameters())
        with circular_padding(convolutions(model.vae) if tiling else ()):
            return cast(ToyVAE, model.vae).decode(x.to(weight.device, weight.dtype) / LATENT.scale)

    def encode(self, model: Components, picture: Tensor, tiling: bool) -> Tensor:
        """Encode pictures [B, 3, 8 h, 8 w] in -1..1 to latents [B, 4, h, w]."""
        weight = next(model.vae.parameters())
        return cast(ToyVAE, model.vae).encode(picture.to(weight.device, weight.dtype)).float() * LATENT.scale


def _load(file: Tensors, part: str, make: Callable[[], nn.Module], build: Build, dtype: torch.dtype) -> nn.Module:
    prefix = PREFIXES[part]
    path = file.header.path
    stored = {name.removeprefix(prefix): name for name in file.names if name.startswith(prefix)}
    module = build_network(path, make)
    fill(module, part, stored, file.get, path=path, device=build.device, dtype=dtype)
    return module


def _load_vae(file: Tensors, build: Build) -> nn.Module:
    return _load(file, "vae", partial(ToyVAE, build.ops), build, build.vae_dtype)


TOY = Toy()
