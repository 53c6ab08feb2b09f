"""Image to image on its own results."""

from modules.extending.registry import Registry

from .script import Loopback


def register(registry: Registry) -> None:
    """Offer the script."""
    registry.selectable_script(Loopback())
