"""A1111's `modules.scripts`."""

import importlib as _importlib
from typing import Any

from modules.compat.callback_params import (
    MaskBlendArgs,
    OnComponent,
    PostprocessBatchListArgs,
    PostprocessImageArgs,
    PostProcessMaskOverlayArgs,
    PostSampleArgs,
)
from modules.compat.facade import compute
from modules.compat.host import host as _host
from modules.compat.listing import basedir, list_files_with_name, list_scripts
from modules.compat.scripts import (
    AlwaysVisible,
    Script,
    ScriptBuiltinUI,
    ScriptClassData,
    ScriptFile,
    ScriptRunner,
)

__all__ = [
    "AlwaysVisible", "MaskBlendArgs", "OnComponent", "PostProcessMaskOverlayArgs", "PostSampleArgs",
    "PostprocessBatchListArgs", "PostprocessImageArgs", "Script", "ScriptBuiltinUI", "ScriptClassData", "ScriptFile",
    "ScriptRunner", "basedir", "list_files_with_name", "list_scripts",
]  # fmt: skip


def _other(name: str) -> Any:
    return _importlib.import_module(f"modules.{name}")


compute(
    __name__,
    {
        "scripts_data": lambda: _host().scripts.scripts_data,
        "postprocessing_scripts_data": lambda: _host().scripts.postprocessing_data,
        "scripts_txt2img": lambda: _host().scripts.txt2img,
        "scripts_img2img": lambda: _host().scripts.img2img,
        "scripts_current": lambda: _host().scripts.current,
        "script_callbacks": lambda: _other("script_callbacks"),
        "shared": lambda: _other("shared"),
        "paths": lambda: _other("paths"),
        "errors": lambda: _other("errors"),
        "extensions": lambda: _other("extensions"),
    },
)
