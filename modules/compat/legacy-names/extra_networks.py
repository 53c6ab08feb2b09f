"""A1111's `modules.extra_networks`."""

from typing import Any

from modules.compat import extra_networks as _own
from modules.compat.extra_networks import ExtraNetwork, ExtraNetworkParams, parse_prompt, parse_prompts

__all__ = ["ExtraNetwork", "ExtraNetworkParams", "parse_prompt", "parse_prompts"]

extra_network_registry: dict[str, ExtraNetwork] = {}
extra_network_aliases: dict[str, ExtraNetwork] = {}


def register_extra_network(extra_network: ExtraNetwork) -> None:
    """Add a kind of tag."""
    extra_network_registry[extra_network.name] = extra_network


def register_extra_network_alias(extra_network: ExtraNetwork, alias: str) -> None:
    """Add another name for a kind of tag."""
    extra_network_aliases[alias] = extra_network


def activate(p: Any, extra_network_data: Any) -> None:
    """Let the kinds of extensions do what tags ask for."""
    _own.activate(extra_network_registry, p, extra_network_data)


def deactivate(p: Any, extra_network_data: Any) -> None:
    """Let them undo it."""
    _own.deactivate(extra_network_registry, p, extra_network_data)
