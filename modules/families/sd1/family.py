"""Stable Diffusion v1 and what was trained from it, as one value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn

from modules.domain.plan import TextOptions
from modules.families.chunked import Placement, chunks_of, encode_texts
from modules.families.facts import prediction_name, trained_prediction, training_facts
from modules.families.family import Build, Components, Files, Match
from modules.families.recognise import STABLE_DIFFUSION_1, lineage
from modules.families.sd1.defaults import LATENT
from modules.families.sd1.network import UNet
from modules.families.sd1.vae import VAE
from modules.library.header import Header
from modules.nn.chunks import count
from modules.nn.tiling import circular_padding, convolutions
from modules.sampling.types import Conditioning

VARIANTS = {4: "base", 9: "inpainting", 8: "pix2pix"}
"""By the input channels of the UNet."""


class StableDiffusion1:
    """The lineage of Stable Diffusion 1.1 to 1.5, with its inpainting and instruct-pix2pix variants."""

    id = "sd1"
    label = "Stable Diffusion 1"

    def detect(self, header: Header, config: Mapping[str, Any]) -> Match | None:
        """Claim checkpoints of this lineage that bring a text encoder."""
        first = header.tensors.get("model.diffusion_model.input_blocks.0.0.weight")
        text = any(name.startswith("cond_stage_model.transformer.") for name in header.tensors)
        if first is None or len(first.shape) != 4 or not text or lineage(header) != STABLE_DIFFUSION_1:
            return None
        variant = VARIANTS.get(first.shape[1])
        if variant is None:
            return None
        return Match(
            family=self.id,
            variant=variant,
            prediction=prediction_name(header, config),
            config=MappingProxyType(training_facts(header, config)),
        )

    def load(self, files: Files, match: Match, build: Build) -> Components:
        """Build the networks on the meta device and assign the file's tensors; strict."""
        from modules.families.sd1.load import load_networks
        from modules.nn.clip_tokenizer import load_clip_tokenizer

        text, unet, vae = load_networks(files, match.config, build)
        return Components(
            family=self,
            match=match,
            build=build,
            text=text,
            unet=unet,
            vae=vae,
            tokenizer=load_clip_tokenizer(),
            latent=replace(LATENT, scale=match.config.get("latent_scale", LATENT.scale)),
            prediction=trained_prediction(match.prediction, match.config),
        )

    def condition(self, model: Components, texts: Sequence[str], options: TextOptions) -> Conditioning:
        """Encode the texts of one sub-prompt's timeline together, [B, 77 n, D]."""

        def encode(ids: Tensor, placements: Sequence[Placement]) -> Tensor:
            return model.text(ids, options.clip_skip, placements)

        device = _place(model.text)[0]
        return Conditioning(tokens=encode_texts(encode, model.tokenizer, texts, options, device=device))

    def empty_chunk(self, model: Components, options: TextOptions) -> Tensor:
        """Return the encoded empty prompt, [1, 77, D]."""
        return self.condition(model, [""], options).tokens

    def count_tokens(self, tokenizer: Any, text: str, options: TextOptions) -> int:
        """Count the tokens a text occupies: full chunks count 75 each, the last what it holds."""
        return count(chunks_of(tokenizer, text, options))

    def network(self, model: Components, tiling: bool) -> Callable[[Tensor, Tensor, Conditioning], Tensor]:
        """Return the UNet as a function of (x [B, 4, h, w], t [B], conditioning of B rows), in and out in x's type.

        Further input channels come from `conditioning.extras["concat"]` [B, C, h, w]; without it an inpainting
        model repaints everything and an editing model sees an empty picture.
        """
        unet = cast(UNet, model.unet)
        extra = unet.config.in_channels - model.latent.channels
        blank: dict[torch.Size, Tensor] = {}

        def concat(x: Tensor, conditioning: Conditioning) -> Tensor:
            given = conditioning.extras.get("concat")
            if given is None:
                if x.shape not in blank:
                    blank[x.shape] = self._blank(model, x, extra)
                given = blank[x.shape]
            return torch.cat([x, given.to(x)], dim=1)

        def run(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
            dtype = _place(unet)[1]
            seen = concat(x, conditioning) if extra else x
            return unet(seen.to(dtype), t, conditioning.tokens.to(x.device, dtype)).to(x.dtype)

        return _seamless(run, unet) if tiling else run

    def _blank(self, model: Components, x: Tensor, channels: int) -> Tensor:
        """Return the further input of a variant that was given none, [B, channels, h, w]."""
        batch, latent_channels, height, width = x.shape
        if channels != latent_channels + 1:
            return x.new_zeros(batch, channels, height, width)
        device, dtype = _place(model.vae)
        scale = model.latent.downscale
        grey = torch.zeros(1, 3, height * scale, width * scale, device=device, dtype=dtype)
        mean, _ = cast(VAE, model.vae).encode(grey)
        everything = mean.new_ones(1, 1, height, width)
        known = torch.cat([everything, (mean - model.latent.shift) * model.latent.scale], dim=1)
        return known.expand(batch, -1, -1, -1).to(x)

    def decode(self, model: Components, x: Tensor, tiling: bool) -> Tensor:
        """Decode latents [B, 4, h, w] (sampler scale) to pictures [B, 3, 8 h, 8 w] in about -1..1."""
        device, dtype = _place(model.vae)
        latent = (x / model.latent.scale + model.latent.shift).to(device, dtype)
        with circular_padding(convolutions(model.vae) if tiling else ()):
            return cast(VAE, model.vae).decode(latent)

    def encode(self, model: Components, picture: Tensor, tiling: bool) -> Tensor:
        """Encode pictures [B, 3, H, W] in -1..1 to the means of their latents [B, 4, h, w], sampler scale.

        Differs from A1111, which draws from the posterior: its spread is tiny, and the mean can be repeated.
        """
        device, dtype = _place(model.vae)
        with circular_padding(convolutions(model.vae) if tiling else ()):
            mean, _ = cast(VAE, model.vae).encode(picture.to(device, dtype))
        return (mean.float() - model.latent.shift) * model.latent.scale


def _place(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return where a network is now and its number format; both may change between calls."""
    weight = next(module.parameters())
    return weight.device, weight.dtype


def _seamless(
    run: Callable[[Tensor, Tensor, Conditioning], Tensor], unet: nn.Module
) -> Callable[[Tensor, Tensor, Conditioning], Tensor]:
    layers = convolutions(unet)

    def wrapped(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        with circular_padding(layers):
            return run(x, t, conditioning)

    return wrapped


SD1 = StableDiffusion1()
