"""Stable Diffusion v1 and what was trained from it, as one value."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

from torch import Tensor

from modules.domain.plan import TextOptions
from modules.families.chunked import Placement, encode_texts
from modules.families.facts import prediction_name, trained_prediction, training_facts
from modules.families.family import Build, Components, Files, Match
from modules.families.key_map import clip_layers, key_map, unet_layers
from modules.families.latent import LatentDiffusion, place
from modules.families.recognise import STABLE_DIFFUSION_1, lineage
from modules.families.sd1.defaults import LATENT
from modules.families.sd1.text import TextEncoder
from modules.library.header import Header
from modules.nn.patches.key_map import KeyMap
from modules.sampling.types import Conditioning

VARIANTS = {4: "base", 9: "inpainting", 8: "pix2pix"}
"""By the input channels of the UNet."""


class StableDiffusion1(LatentDiffusion):
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

        device = place(model.text)[0]
        return Conditioning(
            tokens=encode_texts(
                encode, model.tokenizer, texts, options, device=device, embeddings=model.words.get("clip_l")
            )
        )

    def encoders(self, model: Components) -> Mapping[str, int]:
        """Return the text encoders and how wide the vectors of their tokens are."""
        return {"clip_l": cast(TextEncoder, model.text).config.width}

    def key_map(self, model: Components) -> KeyMap:
        """Return the layers of a model under the names that trainers of patches know."""
        return key_map(model, unet=unet_layers(model.unet), te1=clip_layers(model.text))


SD1 = StableDiffusion1()
