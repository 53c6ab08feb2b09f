"""`sgm.util`."""

from modules.compat.networks_parts import (
    count_params,
    default,
    disabled_train,
    exists,
    get_obj_from_str,
    instantiate_from_config,
    mean_flat,
)

__all__ = [
    "count_params", "default", "disabled_train", "exists", "get_obj_from_str", "instantiate_from_config", "mean_flat",
]  # fmt: skip
