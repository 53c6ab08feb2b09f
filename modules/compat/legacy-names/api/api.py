"""A1111's `modules.api.api`."""

from modules.compat.web_api import (
    Api,
    decode_base64_to_image,
    encode_pil_to_base64,
    script_name_to_index,
    validate_sampler_name,
)

__all__ = ["Api", "decode_base64_to_image", "encode_pil_to_base64", "script_name_to_index", "validate_sampler_name"]
