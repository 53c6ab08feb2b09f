"""What holds models in memory, as extensions ask about it."""

import threading
from typing import Any

from modules.compat.host import host


class ModelData:
    """What holds the model in memory."""

    was_loaded_at_least_once = True

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.loaded_sd_models: list[Any] = []
        self._given: Any = None

    @property
    def sd_model(self) -> Any:
        """The model in memory; None when there is none."""
        from modules.compat.sd_model import sd_model_now

        if self._given is not None:
            return self._given
        return sd_model_now() if host().workshop().pool.loaded is not None else None

    @sd_model.setter
    def sd_model(self, value: Any) -> None:
        self._given = value

    def get_sd_model(self) -> Any:
        """Return the model; its parts are loaded when somebody looks at them."""
        from modules.compat.sd_model import sd_model_now

        return self._given or sd_model_now()

    def set_sd_model(self, v: Any, already_loaded: bool = False) -> None:
        """Let another object stand for the model."""
        self._given = v


class SkipWritingToConfig:
    """Kept for extensions that switch models; nothing global is written by a switch here."""

    skip = False

    def __enter__(self) -> "SkipWritingToConfig":
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""


def send_everything_to_cpu() -> None:
    """Have models leave the device."""
    host().services().unload_models()


def setup_for_low_vram(sd_model: Any, use_medvram: bool) -> None:
    """Prepare a model for a small card; the program decides that by itself."""


def is_enabled(sd_model: Any) -> bool:
    """Tell whether a model is moved part by part."""
    from modules.residency.device import Offload

    return host().workshop().pool.policy.offload is not Offload.NONE


is_needed = is_enabled
