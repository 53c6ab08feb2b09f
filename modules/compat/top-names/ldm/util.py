"""`ldm.util`."""

from modules.compat.networks_parts import (
    count_params,
    default,
    exists,
    get_obj_from_str,
    instantiate_from_config,
    isimage,
    ismap,
    mean_flat,
)

__all__ = [
    "count_params", "default", "exists", "get_obj_from_str", "instantiate_from_config", "isimage", "ismap", "mean_flat",
]  # fmt: skip
