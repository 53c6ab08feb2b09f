"""A1111's `modules.extensions`."""

from modules.compat.extension_list import Extension, active, extensions_now, list_extensions
from modules.compat.facade import compute
from modules.compat.host import host as _host

__all__ = ["Extension", "active", "list_extensions"]

compute(
    __name__,
    {
        "extensions": extensions_now,
        "extension_paths": lambda: {one.path: one for one in extensions_now()},
        "loaded_extensions": lambda: {one.canonical_name: one for one in extensions_now()},
        "extensions_dir": lambda: str(_host().layout.extensions),
        "extensions_builtin_dir": lambda: str(_host().layout.extensions_builtin),
    },
)
