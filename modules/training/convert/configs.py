"""The JSON files of a folder in the layout of diffusers: sizes told from shapes and facts."""

from collections.abc import Mapping
from typing import Any

from modules.domain.errors import UnsupportedCheckpoint
from modules.families.facts import BETA_END, BETA_START, DOWNSCALE, IMAGE_SIZE, TIMESTEPS
from modules.families.family import Match
from modules.families.openclip import OpenClipConfig
from modules.families.sd1.keys import TextConfig
from modules.families.sd1.network import UNetConfig
from modules.families.sd1.vae import VAEConfig
from modules.families.sdxl.defaults import NUMBER_WIDTH
from modules.library.header import Header
from modules.nn.clip_tokenizer import ClipTokenizer

Json = dict[str, Any]

DIFFUSERS_VERSION = "0.30.0"
"""Of the form of these files."""
PIPELINES: Mapping[tuple[str, str], str] = {
    ("sd1", "base"): "StableDiffusionPipeline",
    ("sd1", "inpainting"): "StableDiffusionInpaintPipeline",
    ("sd1", "pix2pix"): "StableDiffusionInstructPix2PixPipeline",
    ("sd2", "base"): "StableDiffusionPipeline",
    ("sd2", "inpainting"): "StableDiffusionInpaintPipeline",
    ("sdxl", "base"): "StableDiffusionXLPipeline",
    ("sdxl", "inpainting"): "StableDiffusionXLInpaintPipeline",
    ("sdxl", "refiner"): "StableDiffusionXLImg2ImgPipeline",
}
"""By family and variant."""
PREDICTIONS: Mapping[str, str] = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
_MIDDLES: Mapping[int, str | None] = {2: "UNetMidBlock2DCrossAttn", 1: "UNetMidBlock2D", 0: None}
"""What diffusers calls a middle, by the number of its residual blocks."""
ABSENT = [None, None]
START, END = "<|startoftext|>", "<|endoftext|>"


def index_json(header: Header, match: Match) -> Json:
    """Return `model_index.json`.

    Raises:
        UnsupportedCheckpoint: no pipeline of diffusers is made for this kind of model.
    """
    pipeline = PIPELINES.get((match.family, match.variant))
    if pipeline is None:
        hint = f"{match.family} {match.variant} has no folder layout that this program writes."
        raise UnsupportedCheckpoint(header.path, hint=hint)
    common = {"_class_name": pipeline, "_diffusers_version": DIFFUSERS_VERSION}
    parts = {
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"], "feature_extractor": ABSENT, "image_encoder": ABSENT,
    }  # fmt: skip
    small, tokenizer = ["transformers", "CLIPTextModel"], ["transformers", "CLIPTokenizer"]
    if match.family != "sdxl":
        return common | parts | {
            "text_encoder": small, "tokenizer": tokenizer, "safety_checker": ABSENT, "requires_safety_checker": False,
        }  # fmt: skip
    refiner = match.variant == "refiner"
    more = {"requires_aesthetics_score": refiner} if refiner or match.variant == "inpainting" else {}
    return common | parts | more | {
        "text_encoder": ABSENT if refiner else small, "tokenizer": ABSENT if refiner else tokenizer,
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"], "tokenizer_2": tokenizer,
        "force_zeros_for_empty_prompt": not refiner,
    }  # fmt: skip


def unet_json(header: Header, match: Match, config: UNetConfig) -> Json:
    """Return `unet/config.json`.

    Raises:
        UnsupportedCheckpoint: transformers in the middle that diffusers cannot describe.
    """
    widths = [config.model_channels * factor for factor in config.channel_mult]
    attends = [depth > 0 for depth in config.transformer_depth]
    depths, middle = [depth or 1 for depth in config.transformer_depth], _MIDDLES.get(config.middle_blocks)
    if config.middle_blocks == 2:
        if not config.middle_depth or (attends[-1] and config.middle_depth != depths[-1]):
            raise UnsupportedCheckpoint(
                header.path, hint="The middle of its UNet is unlike that of any network of diffusers."
            )
        depths[-1] = config.middle_depth  # diffusers takes the middle's from here
    told: Json = {} if config.vector_dim is None else {
        "addition_embed_type": "text_time", "addition_time_embed_dim": NUMBER_WIDTH,
        "projection_class_embeddings_input_dim": config.vector_dim,
    }  # fmt: skip
    return {
        "_class_name": "UNet2DConditionModel",
        "_diffusers_version": DIFFUSERS_VERSION,
        "act_fn": "silu",
        "attention_head_dim": [max(1, config.heads(width)) for width in widths],
        "block_out_channels": widths,
        "cross_attention_dim": config.context_dim,
        "down_block_types": ["CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "layers_per_block": config.num_res_blocks,
        "mid_block_type": middle,
        "norm_num_groups": config.norm_groups,
        "sample_size": match.config.get("image_size", IMAGE_SIZE),
        "transformer_layers_per_block": 1 if set(depths) == {1} else depths,
        "upcast_attention": match.family == "sd2",
        "use_linear_projection": config.linear_projection,
        **_way_up(config),
        **told,
    }


def _way_up(config: UNetConfig) -> Json:
    """Describe transformers on the way up, coarsest level first, where they differ from those on the way down."""
    if config.up_depth is None:
        return {}
    depths = [[depth or 1 for depth in level] for level in reversed(config.up_depth)]
    return {"reverse_transformer_layers_per_block": [level[0] if len(set(level)) == 1 else level for level in depths]}


def vae_json(header: Header, match: Match, config: VAEConfig, scale: float) -> Json:
    """Return `vae/config.json`.

    Args:
        header: of the model.
        match: what it is.
        config: sizes.
        scale: factor between what the VAE makes and what the UNet sees.

    Raises:
        UnsupportedCheckpoint: a bottleneck that diffusers cannot describe.
    """
    if config.embed_dim != config.z_channels:
        raise UnsupportedCheckpoint(header.path, hint="Its VAE has a bottleneck of another width than its latent.")
    levels = len(config.channel_mult)
    return {
        "_class_name": "AutoencoderKL",
        "_diffusers_version": DIFFUSERS_VERSION,
        "act_fn": "silu",
        "block_out_channels": [config.channels * factor for factor in config.channel_mult],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "force_upcast": match.family == "sdxl",
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "latent_channels": config.z_channels,
        "layers_per_block": config.num_res_blocks,
        "norm_num_groups": config.norm_groups,
        "sample_size": match.config.get("image_size", IMAGE_SIZE) * DOWNSCALE,
        "scaling_factor": scale,
    }


def text_json(config: TextConfig | OpenClipConfig, layers: int, *, projected: bool) -> Json:
    """Return `config.json` of a text encoder.

    Args:
        config: sizes.
        layers: how many of its layers are written.
        projected: whether the projection is written.
    """
    large = isinstance(config, OpenClipConfig)
    return {
        "architectures": ["CLIPTextModelWithProjection" if projected else "CLIPTextModel"],
        "model_type": "clip_text_model",
        "hidden_act": "gelu" if large else "quick_gelu",
        "hidden_size": config.width,
        "intermediate_size": config.mlp_width,
        "num_attention_heads": config.heads,
        "num_hidden_layers": layers,
        "max_position_embeddings": config.positions,
        "vocab_size": config.vocabulary,
        "projection_dim": (large and config.projection) or config.width,
        "layer_norm_eps": 1e-05,
        "bos_token_id": ClipTokenizer.bos,
        "eos_token_id": ClipTokenizer.eos,
        "pad_token_id": 0 if large else ClipTokenizer.eos,
    }


def scheduler_json(match: Match, prediction: str) -> Json:
    """Return `scheduler/scheduler_config.json`."""
    zero = bool(match.config.get("zero_terminal_snr"))
    return {
        "_class_name": "EulerDiscreteScheduler",
        "_diffusers_version": DIFFUSERS_VERSION,
        "beta_schedule": "scaled_linear",
        "beta_start": match.config.get("beta_start", BETA_START),
        "beta_end": match.config.get("beta_end", BETA_END),
        "num_train_timesteps": match.config.get("timesteps", TIMESTEPS),
        "prediction_type": PREDICTIONS[prediction],
        "rescale_betas_zero_snr": zero,
        "steps_offset": 1,
        "timestep_spacing": "trailing" if zero else "leading",
    }


def tokenizer_files(tokenizer: ClipTokenizer, *, large: bool) -> dict[str, Json | str]:
    """Return the files of a tokenizer by name; OpenCLIP fills chunks with the first symbol, CLIP with the end token."""
    symbols = (*tokenizer.symbols[: tokenizer.bos], START, END)
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": "!" if large else END}
    return {
        "vocab.json": {symbol: number for number, symbol in enumerate(symbols)},
        "merges.txt": "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in tokenizer.merges) + "\n",
        "special_tokens_map.json": special,
        "tokenizer_config.json": {
            **special, "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True,
            "errors": "replace", "add_prefix_space": False,
        },
    }  # fmt: skip
