"""A1111's `modules.sd_unet`."""

from modules.compat.facade import compute
from modules.compat.unets import (
    SdUnet,
    SdUnetOption,
    apply_unet,
    current_option,
    current_unet,
    get_unet_option,
    list_unets,
)

__all__ = ["SdUnet", "SdUnetOption", "apply_unet", "get_unet_option", "list_unets"]

compute(
    __name__,
    {"unet_options": list_unets, "current_unet": current_unet, "current_unet_option": current_option},
)
