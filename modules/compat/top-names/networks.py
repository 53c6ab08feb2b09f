"""`networks`, of A1111's own extension for LoRAs."""

from typing import Any

from modules.compat import networks_loaded as _loaded
from modules.compat.facade import compute
from modules.compat.networks_files import (
    Available,
    NetworkOnDisk,
    ambiguous,
    by_hash,
    list_available_networks,
    update_available_networks_by_names,
)
from modules.compat.networks_loaded import ORIGINALS as originals  # noqa: N811 - A1111's name
from modules.compat.networks_loaded import Network, load_network
from modules.compat.networks_loaded import plain_forward as network_forward
from modules.compat.networks_loaded import unchanged as network_apply_weights
from modules.compat.networks_loaded import unchanged as network_reset_cached_weight
from modules.compat.networks_loaded import unchanged as network_restore_weights_from_backup
from modules.compat.networks_modules import NetworkModule

__all__ = [
    "Network", "NetworkModule", "NetworkOnDisk", "list_available_networks", "load_network", "load_networks",
    "network_apply_weights", "network_forward", "network_reset_cached_weight",
    "network_restore_weights_from_backup", "originals", "update_available_networks_by_names",
]  # fmt: skip

loaded_networks = _loaded.current()
available_networks = Available(aliases=False)
available_network_aliases = Available(aliases=True)
loaded_bundle_embeddings: dict[str, Any] = {}
networks_in_memory: dict[str, Any] = {}
lora_cache: dict[str, Any] = {}


def load_networks(names: Any, te_multipliers: Any = None, unet_multipliers: Any = None, dyn_dims: Any = None) -> None:
    """Have the running batch use these LoRAs and no others."""
    _loaded.load_networks(loaded_networks, names, te_multipliers, unet_multipliers, dyn_dims)


globals().update({f"network_{name}": method for name, method in vars(originals).items()})

compute(
    __name__,
    {"forbidden_network_aliases": ambiguous, "available_network_hash_lookup": by_hash},
)
