"""A1111's `scripts/postprocessing_upscale.py`, for extensions that enlarge pictures with it."""

from modules.compat.extras_steps import NativeView as _NativeView
from modules.compat.facade import compute, other_modules
from modules.compat.host import host as _host
from modules.pipeline.extras.builtin import Upscale as _Upscale


class ScriptPostprocessingUpscale(_NativeView):
    """The program's own step that enlarges."""

    def __init__(self) -> None:
        super().__init__(_Upscale(lambda: _host().workshop().shelf().upscalers))


compute(__name__, other_modules("scripts_postprocessing"))
