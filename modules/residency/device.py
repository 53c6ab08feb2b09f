"""Decide once on which device and in which number formats the networks run."""

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import Self

import torch

from modules.domain.errors import WebuiError

logger = logging.getLogger(__name__)


class Offload(Enum):
    """What stays on the device while something else runs."""

    NONE = "none"
    """Everything stays."""
    COMPONENTS = "components"
    """One of text encoder, UNet and VAE at a time (`--medvram`)."""
    BLOCKS = "blocks"
    """As COMPONENTS, and the UNet one block at a time (`--lowvram`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWish:
    """What the command line says about devices and precision, in its own words."""

    use_cpu: Collection[str] = ()
    device_id: str | None = None
    no_half: bool = False
    no_half_vae: bool = False
    precision: str = "autocast"
    medvram: bool = False
    medvram_sdxl: bool = False
    lowvram: bool = False
    channels_last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePolicy:
    """The one place that knows devices and number formats; passed down, never looked up."""

    device: torch.device
    dtype: torch.dtype
    text_dtype: torch.dtype
    vae_dtype: torch.dtype
    offload: Offload = Offload.NONE
    offload_sdxl: Offload | None = None
    """Another way for Stable Diffusion XL, whose networks are three times as large as those before; None for none."""
    channels_last: bool = False
    """Keep the weights of convolutions in the order in which some cards compute faster."""
    why: str = ""
    """One line for the log."""

    def for_family(self, family: str) -> Self:
        """Return the policy for models of one family."""
        return replace(self, offload=self.offload_sdxl) if family == "sdxl" and self.offload_sdxl else self


def decide(wish: DeviceWish) -> DevicePolicy:
    """Choose the device and number formats for this process.

    Half precision is used on accelerators only: on a CPU it is slower and several kernels are missing.

    Raises:
        WebuiError: there is no CUDA device with the index asked for.
    """
    device, why = _device(wish)
    half = device.type != "cpu" and not wish.no_half and wish.precision != "full"
    dtype = torch.float16 if half else torch.float32
    vae_dtype = torch.float16 if half and not wish.no_half_vae else torch.float32
    offload, offload_sdxl = Offload.NONE, None
    if device.type != "cpu" and (wish.medvram or wish.lowvram):
        offload = Offload.BLOCKS if wish.lowvram else Offload.COMPONENTS
    if device.type != "cpu" and wish.medvram_sdxl and offload is Offload.NONE:
        offload_sdxl = Offload.COMPONENTS
    policy = DevicePolicy(
        device=device, dtype=dtype, text_dtype=dtype, vae_dtype=vae_dtype, offload=offload, offload_sdxl=offload_sdxl,
        channels_last=wish.channels_last, why=why,
    )  # fmt: skip
    logger.info("%s, %s, VAE %s, offload: %s", why, _name(dtype), _name(vae_dtype), offload.value)
    return policy


def memory_bytes(device: torch.device) -> int:
    """Return how much memory a device has."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    import psutil

    return psutil.virtual_memory().total


def _device(wish: DeviceWish) -> tuple[torch.device, str]:
    if {"all", "sd"} & set(wish.use_cpu):
        return torch.device("cpu"), "Running on the CPU because --use-cpu asks for it"
    if torch.cuda.is_available():
        index = _cuda_index(wish.device_id)
        return torch.device("cuda", index), f"Running on {torch.cuda.get_device_name(index)}"
    if torch.backends.mps.is_available():
        return torch.device("mps"), "Running on the Apple GPU"
    return torch.device("cpu"), "No GPU found: running on the CPU, which works but is slow for large models"


def _cuda_index(asked: str | None) -> int:
    """Return the device to use; "2", "cuda:2" and, as A1111 has it, the first of "2,3" mean the same."""
    if not asked:
        return torch.cuda.current_device()
    first, count = asked.split(",")[0].strip().removeprefix("cuda:"), torch.cuda.device_count()
    if not (first.isascii() and first.isdigit() and int(first) < count):
        raise WebuiError(f"--device-id {asked}: there are {count} CUDA devices, numbered from 0")
    return int(first)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
