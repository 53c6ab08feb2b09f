"""A1111's `modules.extra_networks`."""

from typing import Any

from modules.compat import networks as _networks
from modules.compat.extra_networks import ExtraNetwork, ExtraNetworkParams, parse_prompt, parse_prompts
from modules.compat.networks import activate, deactivate

__all__ = [
    "ExtraNetwork", "ExtraNetworkParams", "activate", "deactivate", "initialize", "lookup_extra_networks",
    "parse_prompt", "parse_prompts", "register_default_extra_networks", "register_extra_network",
    "register_extra_network_alias",
]  # fmt: skip

extra_network_registry: dict[str, ExtraNetwork] = _networks.own_kinds()
extra_network_aliases: dict[str, ExtraNetwork] = {"lyco": extra_network_registry["lora"]}


def initialize() -> None:
    """Forget what extensions registered."""
    extra_network_registry.clear()
    extra_network_aliases.clear()
    register_default_extra_networks()


def register_default_extra_networks() -> None:
    """Put the kinds of this program back."""
    extra_network_registry.update(_networks.own_kinds())
    extra_network_aliases.setdefault("lyco", extra_network_registry["lora"])


def register_extra_network(extra_network: ExtraNetwork) -> None:
    """Add a kind of tag, or put one in the place of another."""
    extra_network_registry[extra_network.name] = extra_network


def register_extra_network_alias(extra_network: ExtraNetwork, alias: str) -> None:
    """Add another name for a kind of tag."""
    extra_network_aliases[alias] = extra_network


def lookup_extra_networks(extra_network_data: Any) -> dict[ExtraNetwork, list[ExtraNetworkParams]]:
    """Return the kinds that tags name, with their tags."""
    return dict(_networks.lookup(extra_network_data))
