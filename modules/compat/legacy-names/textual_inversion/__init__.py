"""A1111's `modules.textual_inversion`."""

import importlib as _importlib

from modules.compat.facade import compute

compute(__name__, {"textual_inversion": lambda: _importlib.import_module(f"{__name__}.textual_inversion")})
