"""Every combination of the parts of a prompt."""

from modules.extending.registry import Registry

from .script import PromptMatrix


def register(registry: Registry) -> None:
    """Offer the script."""
    registry.selectable_script(PromptMatrix())
