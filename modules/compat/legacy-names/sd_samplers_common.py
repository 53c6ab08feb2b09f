"""A1111's `modules.sd_samplers_common`."""

from modules.compat.networks_denoisers import apply_refiner
from modules.compat.samplers import (
    InterruptedException,
    Sampler,
    SamplerData,
    approximation_indexes,
    images_tensor_to_samples,
    samples_to_images_tensor,
    setup_img2img_steps,
    single_sample_to_image,
)

__all__ = [
    "InterruptedException", "Sampler", "SamplerData", "apply_refiner", "approximation_indexes", "images_tensor_to_samples",
    "samples_to_images_tensor", "setup_img2img_steps", "single_sample_to_image",
]  # fmt: skip
