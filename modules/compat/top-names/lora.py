"""`lora`: the older names of what `networks` holds."""

from networks import available_network_aliases as available_lora_aliases
from networks import available_networks as available_loras
from networks import list_available_networks as list_available_loras
from networks import loaded_networks as loaded_loras

from modules.compat.facade import compute

__all__ = ["available_lora_aliases", "available_loras", "list_available_loras", "loaded_loras"]


def _of(name: str) -> object:
    import networks

    return getattr(networks, name)


compute(
    __name__,
    {
        "forbidden_lora_aliases": lambda: _of("forbidden_network_aliases"),
        "available_lora_hash_lookup": lambda: _of("available_network_hash_lookup"),
    },
)
