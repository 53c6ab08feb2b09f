"""A1111's `modules.script_callbacks`."""

import inspect as _inspect
from collections.abc import Callable
from typing import Any

from modules.compat.callback_params import (
    AfterCFGCallbackParams,
    BeforeTokenCounterParams,
    CFGDenoisedParams,
    CFGDenoiserParams,
    ExtraNoiseParams,
    ImageGridLoopParams,
    ImageSaveParams,
    UiTrainTabParams,
)
from modules.compat.callbacks import NAMES as _NAMES
from modules.compat.facade import compute
from modules.compat.host import host as _host

__all__ = [
    "AfterCFGCallbackParams", "BeforeTokenCounterParams", "CFGDenoisedParams", "CFGDenoiserParams",
    "ExtraNoiseParams", "ImageGridLoopParams", "ImageSaveParams", "UiTrainTabParams", "remove_callbacks_for_function",
    "remove_current_script_callbacks",
]  # fmt: skip

_CALLED_OTHERWISE = {"ui_train_tabs": "ui_train_tabs_callback", "image_grid": "image_grid_callback"}


def _registering(kind: str) -> Callable[..., None]:
    def register(callback: Callable[..., Any], *, name: str | None = None) -> None:
        _host().callbacks.add(kind, callback, name=name)

    register.__name__, register.__doc__ = f"on_{kind}", f"Register a function for `{kind}`."
    return register


def _calling(kind: str) -> Callable[..., Any]:
    def call(*arguments: Any, **more: Any) -> Any:
        return _host().callbacks.call(kind, *arguments, **more)

    call.__name__, call.__doc__ = f"{kind}_callback", f"Call the functions that are registered for `{kind}`."
    return call


for _kind in _NAMES:
    globals()[f"on_{_kind}"] = _registering(_kind)
    globals()[f"{_kind}_callback"] = _calling(_kind)


def remove_callbacks_for_function(callback_func: Callable[..., Any]) -> None:
    """Forget a function everywhere."""
    _host().callbacks.remove(lambda one: one.call == callback_func)


def remove_current_script_callbacks() -> None:
    """Forget every function that the calling file registered."""
    file = _inspect.stack(context=0)[1].filename
    _host().callbacks.remove(lambda one: one.script == file)


compute(
    __name__,
    {"callback_map": lambda: {f"callbacks_{kind}": found for kind, found in _host().callbacks.by_kind.items()}},
)
