"""Stable Diffusion XL and its refiner, as one value."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor

from modules.domain.plan import TextOptions
from modules.families.chunked import Placement, encode_texts
from modules.families.facts import prediction_name, trained_prediction, training_facts
from modules.families.family import Build, Components, Files, Match
from modules.families.key_map import clip_layers, key_map, openclip_layers, unet_layers
from modules.families.latent import LatentDiffusion, place
from modules.families.openclip import PAD
from modules.families.recognise import STABLE_DIFFUSION_XL, STABLE_DIFFUSION_XL_REFINER, lineage
from modules.families.sdxl.defaults import IMAGE_SIZE, LATENT, SMALL_LAYER, UNET_HEAD_CHANNELS
from modules.families.sdxl.text import TextEncoders, embedded_numbers, told_numbers
from modules.library.header import Header
from modules.nn.patches.key_map import KeyMap
from modules.sampling.types import Conditioning

VARIANTS = {
    (STABLE_DIFFUSION_XL, 4): "base",
    (STABLE_DIFFUSION_XL, 9): "inpainting",
    (STABLE_DIFFUSION_XL, 8): "pix2pix",
    (STABLE_DIFFUSION_XL_REFINER, 4): "refiner",
}
"""By lineage and input channels of the UNet."""


class StableDiffusionXL(LatentDiffusion):
    """Stable Diffusion XL 0.9 and 1.0, what was trained from it, its inpainting and editing variants and its refiner."""

    id = "sdxl"
    label = "Stable Diffusion XL"
    told_size = True

    def detect(self, header: Header, config: Mapping[str, Any]) -> Match | None:
        """Claim checkpoints of this lineage that bring their text encoders."""
        first = header.tensors.get("model.diffusion_model.input_blocks.0.0.weight")
        text = any(name.startswith("conditioner.embedders.") for name in header.tensors)
        if first is None or len(first.shape) != 4 or not text:
            return None
        variant = VARIANTS.get((lineage(header) or "", first.shape[1]))
        if variant is None:
            return None
        facts = {"image_size": IMAGE_SIZE, **training_facts(header, config)}
        if "unet_heads" not in facts:
            facts = {"unet_head_channels": UNET_HEAD_CHANNELS, **facts}
        return Match(
            family=self.id,
            variant=variant,
            prediction=prediction_name(header, config),
            config=MappingProxyType(facts),
        )

    def load(self, files: Files, match: Match, build: Build) -> Components:
        """Build the networks on the meta device and assign the file's tensors; strict."""
        from modules.families.sdxl.load import load_networks, with_edm_range
        from modules.nn.clip_tokenizer import load_clip_tokenizer

        match = with_edm_range(match, files)
        told = len(told_numbers(TextOptions(), refiner=match.variant == "refiner"))
        text, unet, vae = load_networks(files, match.config, build, told=told)
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
        """Encode the texts of one sub-prompt's timeline together.

        Returns:
            tokens [B, 77 n, D] of both encoders side by side, and the extra input `y` [B, P + 256 k]: what the first
            chunk of each text means as a whole, and numbers on the picture.
        """
        encoders, device = cast(TextEncoders, model.text), place(model.text)[0]
        small, wholes = encoders.small, list[Tensor]()
        layer = options.clip_skip if options.clip_l_skip else SMALL_LAYER

        def read_large(ids: Tensor, placements: Sequence[Placement]) -> Tensor:
            read, whole = encoders.large.with_pooled(ids, placements)
            wholes.append(whole.float())
            return read

        words = model.words.get
        parts = [
            encode_texts(
                read_large, model.tokenizer, texts, options, device=device, embeddings=words("clip_g"), pad=PAD
            )
        ]
        if small is not None:

            def read_small(ids: Tensor, placements: Sequence[Placement]) -> Tensor:
                return small.hidden(ids, layer, placements)

            parts.insert(
                0, encode_texts(read_small, model.tokenizer, texts, options, device=device, embeddings=words("clip_l"))
            )
        tokens, pooled = torch.cat(parts, dim=2), wholes[0]
        if options.negative and not any(texts):  # an absent negative prompt is no text, as in training
            tokens, pooled = torch.zeros_like(tokens), torch.zeros_like(pooled)
        numbers = embedded_numbers(told_numbers(options, refiner=model.match.variant == "refiner"), device)
        y = torch.cat([pooled, numbers.expand(len(texts), -1)], dim=1)
        return Conditioning(tokens=tokens, pooled=pooled, extras={"y": y})

    def encoders(self, model: Components) -> Mapping[str, int]:
        """Return the text encoders and how wide the vectors of their tokens are."""
        encoders = cast(TextEncoders, model.text)
        small = {"clip_l": encoders.small.config.width} if encoders.small else {}
        return {**small, "clip_g": encoders.large.config.width}

    def key_map(self, model: Components) -> KeyMap:
        """Return the layers of a model under the names that trainers of patches know."""
        text, alone = model.text, cast(TextEncoders, model.text).small is None
        small = {} if alone else clip_layers(text, "embedders.0.")
        large = openclip_layers(text, "embedders.0." if alone else "embedders.1.")
        return key_map(model, unet=unet_layers(model.unet), te1=small, te2=large)


SDXL = StableDiffusionXL()
