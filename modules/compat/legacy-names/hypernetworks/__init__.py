"""A1111's `modules.hypernetworks`."""

import importlib as _importlib

from modules.compat.facade import compute

compute(__name__, {"hypernetwork": lambda: _importlib.import_module(f"{__name__}.hypernetwork")})
