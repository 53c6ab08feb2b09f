"""Small networks that stand in for a VAE, each loaded when something first asks for it."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from modules.domain.errors import ModelError, UnsupportedFeature
from modules.families.family import LatentSpec
from modules.families.loading import build, fill
from modules.library.tensors import open_tensors
from modules.nn.approx_decoder import ApproxDecoder
from modules.nn.taesd import tiny_decoder, tiny_encoder
from modules.nn.tiling import circular_padding, convolutions
from modules.residency.device import DevicePolicy

logger = logging.getLogger(__name__)

FULL, TINY = "Full", "TAESD"
"""What the settings call the VAE and its tiny copy."""
ENDINGS = (".safetensors", ".pth", ".pt")

Coder = Callable[[Tensor, bool], Tensor]
"""(latent or picture [B, ...], seamless) -> picture or latent."""


class Approximations:
    """Finds and keeps the small networks. Thread-safe.

    Args:
        folders: where their files may lie; complaints name the first.
        policy: where they run.
        allow_unsafe: let a pickle run the code it asks for (`--disable-safe-unpickle`).
    """

    def __init__(self, folders: Sequence[Path], policy: DevicePolicy, *, allow_unsafe: bool = False) -> None:
        self._folders, self._policy, self._allow_unsafe = tuple(folders), policy, allow_unsafe
        self._lock = threading.Lock()
        self._loaded: dict[tuple[Path, int], nn.Module] = {}
        self._told: set[str] = set()

    def decoder(self, latent: LatentSpec) -> Coder:
        """Return the tiny decoder: latents [B, C, h, w], sampler's scale, to pictures [B, 3, H, W] in about -1..1.

        Raises:
            UnsupportedFeature: there is none for this latent space.
            ModelError: its file is missing or broken.
        """
        name = _named(latent.tiny, "decoder", "sd_vae_decode_method")
        network = self._network(name, "sd_vae_decode_method", lambda: tiny_decoder(latent.channels))
        return self._seamless(network, lambda x: network(x) * 2 - 1)

    def encoder(self, latent: LatentSpec) -> Coder:
        """Return the tiny encoder: pictures [B, 3, H, W] in -1..1 to latents [B, C, h, w], sampler's scale.

        Raises:
            UnsupportedFeature: there is none for this latent space.
            ModelError: its file is missing or broken.
        """
        name = _named(latent.tiny, "encoder", "sd_vae_encode_method")
        network = self._network(name, "sd_vae_encode_method", lambda: tiny_encoder(latent.channels))
        return self._seamless(network, lambda picture: network(picture / 2 + 0.5))

    def previewer(self, method: str, latent: LatentSpec) -> Callable[[Tensor], Tensor] | None:
        """Return what previews with a method, as latents to pictures in about -1..1; None, said once, when it cannot.

        Args:
            method: "TAESD" or "Approx NN".
            latent: of the model.
        """
        try:
            if method == TINY:
                decode = self.decoder(latent)
                return lambda x: decode(x, False)
            name = latent.approx or _refuse(method, "show_progress_type")
            network = self._network(name, "show_progress_type", lambda: ApproxDecoder(latent.channels))
            return lambda x: network(x.to(next(network.parameters())))
        except (ModelError, UnsupportedFeature) as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                logger.warning("previews are approximated cheaply: %s", error)
            return None

    def _seamless(self, network: nn.Module, run: Callable[[Tensor], Tensor]) -> Coder:
        layers = convolutions(network)

        def code(x: Tensor, seamless: bool) -> Tensor:
            with circular_padding(layers if seamless else ()):
                return run(x.to(next(network.parameters())))

        return code

    def _network(self, name: str, setting: str, make: Callable[[], nn.Module]) -> nn.Module:
        path = self._find(name, setting)
        key = (path, path.stat().st_mtime_ns)
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = self._load(path, make)
            return self._loaded[key]

    def _find(self, name: str, setting: str) -> Path:
        for folder in self._folders:
            for ending in ENDINGS:
                if (path := folder / (name + ending)).is_file():
                    return path
        raise ModelError(
            f"{name}.safetensors or {name}.pth is not in {self._folders[0].name}. "
            f"Put it there, or choose something else in the setting {setting}."
        )

    def _load(self, path: Path, make: Callable[[], nn.Module]) -> nn.Module:
        network = build(path, make)
        with open_tensors(path, allow_unsafe=self._allow_unsafe) as file:
            stored = {key: key for key in file.names}
            fill(network, path.stem, stored, file.get, path=path, device=self._policy.device, dtype=self._dtype)
        return network

    @property
    def _dtype(self) -> torch.dtype:
        return self._policy.vae_dtype


def _named(base: str, half: str, setting: str) -> str:
    return f"{base}_{half}" if base else _refuse(TINY, setting)


def _refuse(method: str, setting: str) -> str:
    raise UnsupportedFeature(f"{method} for this kind of model", field=setting)
