"""A1111's `modules.scripts`."""

from modules.compat.callback_params import (
    MaskBlendArgs,
    OnComponent,
    PostprocessBatchListArgs,
    PostprocessImageArgs,
    PostProcessMaskOverlayArgs,
    PostSampleArgs,
)
from modules.compat.facade import compute, other_modules
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

compute(
    __name__,
    {
        "scripts_data": lambda: _host().scripts.scripts_data,
        "postprocessing_scripts_data": lambda: _host().scripts.postprocessing_data,
        "scripts_txt2img": lambda: _host().scripts.txt2img,
        "scripts_img2img": lambda: _host().scripts.img2img,
        "scripts_postproc": lambda: _host().scripts.postproc,
        "scripts_current": lambda: _host().scripts.current,
        **other_modules("script_callbacks", "shared", "paths", "errors", "extensions"),
    },
)
