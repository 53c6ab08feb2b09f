"""`modules.devices`: where models run and in which number formats."""

import contextlib
import gc
from typing import Any

from modules.compat.host import host


def policy() -> Any:
    """Return the decision about devices."""
    return host().workshop().pool.policy


def cpu() -> Any:
    """Return the processor."""
    import torch

    return torch.device("cpu")


def device() -> Any:
    """Return where models run."""
    return policy().device


def dtype() -> Any:
    """Return the number format of the denoising network."""
    return policy().dtype


def dtype_vae() -> Any:
    """Return the number format of VAEs."""
    return policy().vae_dtype


def get_optimal_device_name() -> str:
    """Name the device."""
    return str(policy().device)


def get_device_for(task: str) -> Any:
    """Return the device for a kind of work; `--use-cpu` may move it to the processor."""
    moved = getattr(host().flags, "use_cpu", None) or ()
    return cpu() if task in moved or "all" in moved else device()


def torch_gc() -> None:
    """Give memory back that nobody uses."""
    from modules.residency.relief import free_device_cache

    gc.collect()
    free_device_cache()


def autocast(disable: bool = False) -> Any:
    """Return a context for mixed precision; networks bring their own number formats, so it does nothing."""
    return contextlib.nullcontext()


def without_autocast(disable: bool = False) -> Any:
    """Return a context without mixed precision."""
    return contextlib.nullcontext()


def cond_cast_unet(input: Any) -> Any:
    """Bring a tensor to the number format of the denoising network."""
    return input.to(dtype())


def cond_cast_float(input: Any) -> Any:
    """Bring a tensor to single precision."""
    return input.float()


class NansException(Exception):
    """A network made numbers that are none."""


def test_for_nans(x: Any, where: str) -> None:
    """Refuse a tensor that holds nothing but NaN.

    Raises:
        NansException: it does.
    """
    import torch

    if bool(torch.all(torch.isnan(x))):
        raise NansException(f"A tensor with all NaNs was produced in {where}.")


def has_mps() -> bool:
    """Tell whether this is a Mac with a graphics chip."""
    return policy().device.type == "mps"
