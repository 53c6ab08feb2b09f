"""The X/Y/Z plot: one request, varied along three axes, as a table of pictures."""

from modules.extending.registry import Registry

from .plot import XyzPlot


def register(registry: Registry) -> None:
    """Offer the script."""
    registry.selectable_script(XyzPlot())
