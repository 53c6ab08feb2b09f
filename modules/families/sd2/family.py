"""Stable Diffusion v2 and what was trained from it, as one value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

from torch import Tensor

from modules.domain.plan import TextOptions
from modules.families.chunked import Placement, encode_texts
from modules.families.facts import IMAGE_SIZE, stated_prediction, trained_prediction, training_facts
from modules.families.family import Build, Components, Files, Match
from modules.families.key_map import key_map, openclip_layers, unet_layers
from modules.families.latent import LatentDiffusion, place
from modules.families.openclip import PAD, OpenClip
from modules.families.recognise import STABLE_DIFFUSION_2, STABLE_DIFFUSION_2_DEPTH, STABLE_UNCLIP, lineage
from modules.families.sd1.defaults import LATENT
from modules.families.sd1.network import UNet
from modules.families.sd2.unclip import EMBEDDING
from modules.library.header import Header
from modules.nn.patches.key_map import KeyMap
from modules.sampling.types import Conditioning

VARIANTS = {
    (STABLE_DIFFUSION_2, 4): "base",
    (STABLE_DIFFUSION_2, 9): "inpainting",
    (STABLE_DIFFUSION_2, 5): "depth",
    (STABLE_DIFFUSION_2_DEPTH, 5): "depth",
    (STABLE_UNCLIP, 4): "unclip",
}
"""By lineage and input channels of the UNet."""
UNET_HEAD_CHANNELS = 64
LARGE_IMAGE_SIZE = 96
"""Side of the latents of the models that predict velocity."""


class StableDiffusion2(LatentDiffusion):
    """The lineage of Stable Diffusion 2.0 and 2.1, with its inpainting, depth and unCLIP variants, and SD Turbo."""

    id = "sd2"
    label = "Stable Diffusion 2"

    def detect(self, header: Header, config: Mapping[str, Any]) -> Match | None:
        """Claim checkpoints of this lineage that bring a text encoder.

        Nothing in a header tells base models of 512 and 768 pixels apart. Where neither a yaml nor metadata does, the
        fact `prediction_by_weights` leaves it to the weights.
        """
        from modules.families.sd2.load import text_prefix

        first = header.tensors.get("model.diffusion_model.input_blocks.0.0.weight")
        if first is None or len(first.shape) != 4:
            return None
        variant = VARIANTS.get((lineage(header) or "", first.shape[1]))
        if variant is None or text_prefix(header.tensors) is None:
            return None
        facts, stated = training_facts(header, config), stated_prediction(header, config)
        if "unet_heads" not in facts:
            facts = {"unet_head_channels": UNET_HEAD_CHANNELS, **facts}
        if stated is None and variant == "base":
            facts["prediction_by_weights"] = True
        if variant == "unclip":
            stated = stated or "v"
        if stated == "v" and facts.get("image_size", IMAGE_SIZE) == IMAGE_SIZE:
            facts["image_size"] = LARGE_IMAGE_SIZE  # the published yaml gives the size of the smaller model here
        return Match(family=self.id, variant=variant, prediction=stated or "eps", config=MappingProxyType(facts))

    def load(self, files: Files, match: Match, build: Build) -> Components:
        """Build the networks on the meta device and assign the file's tensors; strict."""
        from modules.families.sd2.load import load_networks
        from modules.nn.clip_tokenizer import load_clip_tokenizer

        stated = None if match.config.get("prediction_by_weights") else match.prediction
        found = load_networks(files, match.config, build, variant=match.variant, prediction=stated)
        return Components(
            family=self,
            match=replace(match, prediction=found.prediction),
            build=build,
            text=found.text,
            unet=found.unet,
            vae=found.vae,
            tokenizer=load_clip_tokenizer(),
            latent=replace(LATENT, scale=match.config.get("latent_scale", LATENT.scale)),
            prediction=trained_prediction(found.prediction, match.config),
            eye=found.eye,
        )

    def condition(self, model: Components, texts: Sequence[str], options: TextOptions) -> Conditioning:
        """Encode the texts of one sub-prompt's timeline together, [B, 77 n, D]; clip skip has no effect."""
        encoder = cast(OpenClip, model.text)

        def encode(ids: Tensor, placements: Sequence[Placement]) -> Tensor:
            return encoder.normalised(ids, placements)

        device = place(encoder)[0]
        return Conditioning(
            tokens=encode_texts(
                encode, model.tokenizer, texts, options, device=device, embeddings=model.words.get("clip_h"), pad=PAD
            )
        )

    def network(self, model: Components, tiling: bool) -> Callable[[Tensor, Tensor, Conditioning], Tensor]:
        """Return the UNet as a function, as the others have it; one of unCLIP is told the embedding of a picture.

        Without a picture it is told nothing: zeros, as in the part of its training without a picture.
        """
        run, width = super().network(model, tiling), cast(UNet, model.unet).config.vector_dim
        if width is None:
            return run

        def told(x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
            seen = conditioning.extras.get(EMBEDDING)
            y = x.new_zeros(len(x), width) if seen is None else seen
            return run(x, t, replace(conditioning, extras={**conditioning.extras, "y": y}))

        return told

    def encoders(self, model: Components) -> Mapping[str, int]:
        """Return the text encoders and how wide the vectors of their tokens are."""
        return {"clip_h": cast(OpenClip, model.text).config.width}

    def key_map(self, model: Components) -> KeyMap:
        """Return the layers of a model under the names that trainers of patches know."""
        return key_map(model, unet=unet_layers(model.unet), te1=openclip_layers(model.text))


SD2 = StableDiffusion2()
