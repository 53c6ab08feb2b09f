"""A1111's `modules.paths_internal`."""

from modules.compat.facade import compute
from modules.compat.host import host as _host

sd_configs_path = ""
paths: dict[str, str] = {}

compute(
    __name__,
    {
        "models_path": lambda: str(_host().layout.models),
        "script_path": lambda: str(_host().layout.root),
        "modules_path": lambda: str(_host().layout.root / "modules"),
        "data_path": lambda: str(_host().layout.data),
        "extensions_dir": lambda: str(_host().layout.extensions),
        "extensions_builtin_dir": lambda: str(_host().layout.extensions_builtin),
        "config_states_dir": lambda: str(_host().layout.config_states),
        "default_output_dir": lambda: str(_host().layout.outputs),
        "sd_path": lambda: str(_host().layout.root),
        "cwd": lambda: str(_host().layout.root),
    },
)
