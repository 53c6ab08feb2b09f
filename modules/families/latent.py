"""What the families of one UNet, one VAE and CLIP-like text encoders have in common.

B batch, h w latent height and width, H W those of the picture.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.domain.plan import TextOptions
from modules.families.chunked import chunks_of
from modules.families.family import Build, Components, Files, Match
from modules.families.opening import open_checkpoint, open_vae
from modules.families.sd1.network import UNet
from modules.families.sd1.vae import VAE
from modules.nn.chunks import count
from modules.nn.eight_bit import FORMATS
from modules.nn.tiling import circular_padding, convolutions
from modules.sampling.types import Conditioning


class LatentDiffusion(ABC):
    """The part of `Family` that does not depend on how text is read or how a file is laid out."""

    told_size = False

    def load_vae(self, files: Files, match: Match, build: Build) -> nn.Module:
        """Build and fill the VAE alone, from its own file or the checkpoint's."""
        from modules.families.sd1.load import load_vae

        opened = open_vae(files.vae, allow_unsafe=files.allow_unsafe) if files.vae else open_checkpoint(files)
        with opened as file:
            return load_vae(file, match.config, build)

    @abstractmethod
    def condition(self, model: Components, texts: Sequence[str], options: TextOptions) -> Conditioning:
        """Encode the texts of one sub-prompt's timeline together."""

    def empty_chunk(self, model: Components, options: TextOptions) -> Tensor:
        """Return the encoded empty prompt, [1, 77, D]."""
        return self.condition(model, [""], options).tokens

    def count_tokens(self, tokenizer: Any, text: str, options: TextOptions) -> int:
        """Count the tokens a text occupies: full chunks count 75 each, the last what it holds."""
        return count(chunks_of(tokenizer, text, options))

    def network(self, model: Components, tiling: bool) -> Callable[[Tensor, Tensor, Conditioning], Tensor]:
        """Return the UNet as a function of (x [B, 4, h, w], t [B], conditioning of B rows), in and out in x's type.

        Further input channels come from `conditioning.extras["concat"]` [B, C, h, w]; without it an inpainting
        model repaints everything and an editing model sees an empty picture. What else a model is told comes from
        `conditioning.extras["y"]`.
        """
        unet = cast(UNet, model.unet)
        extra = unet.config.in_channels - model.latent.channels
        blank: dict[torch.Size, Tensor] = {}

        def concat(x: Tensor, conditioning: Conditioning) -> Tensor:
            given = conditioning.extras.get("concat")
            if given is None or given.shape[1] != extra:  # a refiner may be of another variant than what began the run
                if x.shape not in blank:
                    blank[x.shape] = _blank(model, x, extra)
                given = blank[x.shape]
            if given.shape[-2:] != x.shape[-2:]:  # some samplers ask about smaller latents on the way
                given = F.interpolate(given, size=x.shape[-2:], mode="nearest-exact")
            return torch.cat([x, given.to(x)], dim=1)

        def run(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
            dtype = place(unet)[1]
            seen = (concat(x, conditioning) if extra else x).to(dtype)
            told = conditioning.extras.get("y")
            y = None if told is None else told.to(x.device, dtype)
            return unet(seen, t, conditioning.tokens.to(x.device, dtype), y).to(x.dtype)

        return _seamless(run, unet) if tiling else run

    def decode(self, model: Components, x: Tensor, tiling: bool) -> Tensor:
        """Decode latents [B, 4, h, w] (sampler scale) to pictures [B, 3, 8 h, 8 w] in about -1..1."""
        device, dtype = place(model.vae)
        latent = (x / model.latent.scale + model.latent.shift).to(device, dtype)
        with circular_padding(convolutions(model.vae) if tiling else ()):
            return cast(VAE, model.vae).decode(latent)

    def encode(self, model: Components, picture: Tensor, tiling: bool) -> Tensor:
        """Encode pictures [B, 3, H, W] in -1..1 to the means of their latents [B, 4, h, w], sampler scale.

        Differs from A1111, which draws from the posterior: its spread is tiny, and the mean can be repeated.
        """
        device, dtype = place(model.vae)
        with circular_padding(convolutions(model.vae) if tiling else ()):
            mean, _ = cast(VAE, model.vae).encode(picture.to(device, dtype))
        return (mean.float() - model.latent.shift) * model.latent.scale


def place(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return where a network is now and the number format it computes in; both may change between calls."""
    weight = next(one for one in module.parameters() if one.dtype not in FORMATS)
    return weight.device, weight.dtype


def _blank(model: Components, x: Tensor, channels: int) -> Tensor:
    """Return the further input of a variant that was given none, [B, channels, h, w]."""
    batch, latent_channels, height, width = x.shape
    if channels != latent_channels + 1:
        return x.new_zeros(batch, channels, height, width)
    device, dtype = place(model.vae)
    scale = model.latent.downscale
    grey = torch.zeros(1, 3, height * scale, width * scale, device=device, dtype=dtype)
    mean, _ = cast(VAE, model.vae).encode(grey)
    everything = mean.new_ones(1, 1, height, width)
    known = torch.cat([everything, (mean - model.latent.shift) * model.latent.scale], dim=1)
    return known.expand(batch, -1, -1, -1).to(x)


def _seamless(
    run: Callable[[Tensor, Tensor, Conditioning], Tensor], unet: nn.Module
) -> Callable[[Tensor, Tensor, Conditioning], Tensor]:
    layers = convolutions(unet)

    def wrapped(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        with circular_padding(layers):
            return run(x, t, conditioning)

    return wrapped
