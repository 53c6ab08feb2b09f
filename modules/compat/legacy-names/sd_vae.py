"""A1111's `modules.sd_vae`."""

from modules.compat.facade import compute
from modules.compat.host import host as _host
from modules.compat.vaes import (
    clear_loaded_vae,
    find_vae_near_checkpoint,
    get_filename,
    load_vae,
    load_vae_dict,
    loaded_vae_file,
    refresh_vae_list,
    reload_vae_weights,
    vae_files,
)

__all__ = [
    "clear_loaded_vae",
    "find_vae_near_checkpoint",
    "get_filename",
    "load_vae",
    "load_vae_dict",
    "refresh_vae_list",
    "reload_vae_weights",
]

unspecified = object()
compute(
    __name__,
    {
        "vae_dict": vae_files,
        "loaded_vae_file": loaded_vae_file,
        "vae_path": lambda: str(_host().layout.vae),
    },
)
