"""A run for each line of a list of prompts."""

from modules.extending.registry import Registry

from .script import PromptsFromFile


def register(registry: Registry) -> None:
    """Offer the script."""
    registry.selectable_script(PromptsFromFile())
