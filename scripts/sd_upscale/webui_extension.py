"""Enlarge a picture and repaint it tile by tile."""

from modules.extending.registry import Registry

from .script import SdUpscale


def register(registry: Registry) -> None:
    """Offer the script."""
    registry.selectable_script(SdUpscale())
