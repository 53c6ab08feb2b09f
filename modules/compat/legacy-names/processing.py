"""A1111's `modules.processing`."""

from modules.compat.conds import txt2img_image_conditioning
from modules.compat.facade import compute, other_modules
from modules.compat.infotexts import create_infotext, program_version
from modules.compat.job_object import (
    StableDiffusionProcessing,
    StableDiffusionProcessingImg2Img,
    StableDiffusionProcessingTxt2Img,
    fix_seed,
    get_fixed_seed,
    opt_C,
    opt_f,
)
from modules.compat.jobs import process_images, process_images_inner
from modules.compat.latents import (
    DecodedSamples,
    decode_first_stage,
    decode_latent_batch,
    old_hires_fix_first_pass_dimensions,
)
from modules.compat.masking import apply_color_correction, apply_overlay, create_binary_mask, setup_color_correction
from modules.compat.noise import create_random_tensors, slerp
from modules.compat.results import Processed
from modules.compat.samplers import images_tensor_to_samples

__all__ = [
    "DecodedSamples", "Processed", "StableDiffusionProcessing", "StableDiffusionProcessingImg2Img", "StableDiffusionProcessingTxt2Img",
    "apply_color_correction", "apply_overlay", "create_binary_mask", "create_infotext", "create_random_tensors",
    "decode_first_stage", "decode_latent_batch", "fix_seed", "get_fixed_seed", "images_tensor_to_samples", "old_hires_fix_first_pass_dimensions", "opt_C", "opt_f",
    "process_images", "process_images_inner", "program_version", "setup_color_correction", "slerp",
    "txt2img_image_conditioning",
]  # fmt: skip


compute(
    __name__,
    other_modules(
        "devices",
        "extra_networks",
        "images",
        "masking",
        "prompt_parser",
        "scripts",
        "sd_samplers",
        "sd_models",
        "shared",
    ),
)
