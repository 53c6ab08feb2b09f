"""A1111's `modules.devices`."""

from modules.compat import devices as _devices
from modules.compat.devices import (
    NansException,
    autocast,
    cond_cast_float,
    cond_cast_unet,
    get_device_for,
    get_optimal_device_name,
    has_mps,
    test_for_nans,
    torch_gc,
    without_autocast,
)
from modules.compat.facade import compute

__all__ = [
    "NansException", "autocast", "cond_cast_float", "cond_cast_unet", "get_device_for", "get_optimal_device",
    "get_optimal_device_name", "has_mps", "test_for_nans", "torch_gc", "without_autocast",
]  # fmt: skip

fp8 = False
unet_needs_upcast = False
force_fp16 = False
get_optimal_device = _devices.device

compute(
    __name__,
    {
        "cpu": _devices.cpu,
        "device": _devices.device,
        "device_interrogate": _devices.device,
        "device_gfpgan": _devices.device,
        "device_esrgan": _devices.device,
        "device_codeformer": _devices.device,
        "dtype": _devices.dtype,
        "dtype_unet": _devices.dtype,
        "dtype_inference": _devices.dtype,
        "dtype_vae": _devices.dtype_vae,
    },
)
