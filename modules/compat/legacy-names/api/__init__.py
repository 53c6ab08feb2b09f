"""A1111's `modules.api`."""

import importlib as _importlib

from modules.compat.facade import compute

compute(
    __name__,
    {
        "api": lambda: _importlib.import_module(f"{__name__}.api"),
        "models": lambda: _importlib.import_module(f"{__name__}.models"),
    },
)
