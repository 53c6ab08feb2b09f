"""A1111's `modules.processing`."""

import importlib as _importlib
from typing import Any

from modules.compat.facade import compute
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
from modules.compat.latents import decode_first_stage, old_hires_fix_first_pass_dimensions
from modules.compat.masking import apply_color_correction, apply_overlay, create_binary_mask, setup_color_correction
from modules.compat.noise import create_random_tensors, slerp
from modules.compat.results import Processed

__all__ = [
    "Processed", "StableDiffusionProcessing", "StableDiffusionProcessingImg2Img", "StableDiffusionProcessingTxt2Img",
    "apply_color_correction", "apply_overlay", "create_binary_mask", "create_infotext", "create_random_tensors",
    "decode_first_stage", "fix_seed", "get_fixed_seed", "old_hires_fix_first_pass_dimensions", "opt_C", "opt_f",
    "process_images", "process_images_inner", "program_version", "setup_color_correction", "slerp",
]  # fmt: skip


def _other(name: str) -> Any:
    return _importlib.import_module(f"modules.{name}")


compute(
    __name__,
    {
        name: (lambda name=name: _other(name))
        for name in ("devices", "images", "masking", "prompt_parser", "scripts", "sd_samplers", "sd_models", "shared")
    },
)
