"""CompVis's package `ldm`, as far as extensions use it."""

from modules.compat.networks_told import dress as _dress

_dress()
