"""Run the three stages one after the other and write the checkpoint."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from modules.families.sd1.network import UNet
from modules.training.shapes import text_stage, unet_stage, vae_stage
from modules.training.shapes.config import ShapesConfig, build
from modules.training.shapes.dataset import Dataset, make_dataset
from modules.training.shapes.drawing import draw
from modules.training.shapes.export import export
from modules.training.shapes.loop import Budget, Loop, Plan, Stage
from modules.training.shapes.precision import mixed_precision
from modules.training.shapes.render import load
from modules.training.shapes.sheet import save_sheet

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=nn.Module)
Call = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The last features of a denoising network: x, t, context -> [B, C, h, w]."""

STAGES = ("vae", "text", "unet")
SIZES = ((128, 128), (192, 128), (128, 192), (192, 192), (256, 256))
"""Trained picture sizes, the main one first."""
NAME = "shapes-v1.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything; the defaults are for one large GPU."""

    scenes: int = 262_144
    captions: int = 4
    """Per scene."""
    others: int = 24_576
    """Scenes encoded in each size but the main one; 0 trains the main size alone."""
    vae_pixels: int = 1_048_576
    """Per step."""
    text_batch: int = 1024
    unet_batch: int = 512
    lr: float = 1e-3
    text_learns: bool = True
    """Whether the text encoder trains on together with the denoising network."""


CPU_SCALE = Scale(
    scenes=20_480, captions=4, others=0, vae_pixels=16_384, text_batch=64, unet_batch=32, lr=1.4e-3, text_learns=False
)
TOY_SCALE = Scale(scenes=512, captions=2, others=64, vae_pixels=8192, text_batch=16, unet_batch=8)


class Training:
    """A folder with the state of a run.

    Args:
        config: sizes of the networks.
        plan: folder, device, seed and habits.
        scale: sizes of set and batches.
        compiled: whether to compile the denoising network; gives way to plain execution where that fails.
    """

    def __init__(self, config: ShapesConfig, plan: Plan, scale: Scale, *, compiled: bool = False) -> None:
        self.config, self.plan, self.scale, self.compiled = config, plan, scale, compiled
        plan.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(plan.seed)
        networks = build(config)
        vae_stage.prepare(networks.vae)
        text_stage.prepare(networks.text)
        unet_stage.prepare(networks.unet)
        for module in (networks.vae, networks.text, networks.unet):
            module.to(plan.device)
        self.networks = networks
        self._trained = False
        self._data: Dataset | None = None

    @property
    def data(self) -> Dataset:
        """The training set, made on first use."""
        if self._data is None:
            began = time.monotonic()
            made = make_dataset(self.plan.seed, self.scale.scenes, self.scale.captions)
            self._data = made.to(self.plan.device)
            logger.info("data: %d scenes in %.1f s", len(made), time.monotonic() - began)
        return self._data

    def start_from(self, checkpoint: Path) -> None:
        """Take the weights of a finished checkpoint, to train a stage further without the states of its run.

        Raises:
            ModelError: the file cannot be used.
            RuntimeError: its networks have other sizes.
        """
        given = load(checkpoint, self.plan.device)
        for ours, theirs in (
            (self.networks.vae, given.vae),
            (self.networks.text, given.text),
            (self.networks.unet, given.unet),
        ):
            ours.load_state_dict(theirs.state_dict())
        self._trained = True

    def run(self, budgets: Mapping[str, Budget], *, resume: bool) -> bool:
        """Train the stages that have a budget, in order; a stage without one must have been trained before.

        Returns:
            Whether all budgets were used up before the deadline. The checkpoint is written in either case, as soon as
            there is anything to put into it.
        """
        done = True
        for name in STAGES:
            if name in budgets:
                done = self._stage(name, budgets[name], resume)
            else:
                done = self._trained or self._take_up(name)
            if not done and name != "unet":
                return False
        self.write()
        return done

    def write(self) -> None:
        """Write the checkpoint from the networks as they are."""
        path = self.plan.folder / NAME
        export(self.networks, self.config, path)
        logger.info("wrote %s, %.2f MB", path, path.stat().st_size / 1e6)

    def _take_up(self, name: str) -> bool:
        """Load the averaged weights of a stage trained before; the UNet may still be missing."""
        loop = Loop(self._make(name, light=True), self.plan)
        if loop.resume():
            self._finish(name, loop)
            return True
        return name == "unet"

    def _stage(self, name: str, budget: Budget, resume: bool) -> bool:
        loop = Loop(self._make(name), self.plan)
        if resume:
            loop.resume()
        if name == "unet":
            loop.on_save = partial(self._write_averaged, loop)
        done = loop.run(budget)
        self._finish(name, loop)
        return done

    def _make(self, name: str, *, light: bool = False) -> Stage:
        networks, scale = self.networks, self.scale
        if name == "vae":
            return vae_stage.VaeStage(channels_last(networks.vae), self.data, scale.vae_pixels)
        if name == "text":
            return text_stage.TextStage(networks.text, self.data, scale.text_batch)
        unet = channels_last(networks.unet)
        if light:
            return unet_stage.UnetStage(
                unet, networks.text, self.data, (), scale.unet_batch, text_learns=scale.text_learns
            )
        began = time.monotonic()
        networks.vae.eval()
        encoded = unet_stage.encode_all(networks.vae, self.data, SIZES if scale.others else SIZES[:1], scale.others)
        logger.info("encoded %d scenes in %.1f s", len(self.data), time.monotonic() - began)
        call = compiled_features(unet, self.plan.device, scale.unet_batch, self.config) if self.compiled else None
        return unet_stage.UnetStage(
            unet, networks.text, self.data, encoded, scale.unet_batch, scale.lr, call, scale.text_learns
        )

    def _finish(self, name: str, loop: Loop) -> None:
        """Put the averaged weights in place; make the autoencoder ready for the next stages."""
        loop.load_averaged()
        if name == "vae":
            self.finish_vae()

    def _write_averaged(self, loop: Loop) -> None:
        """Let the checkpoint be looked at, and survive, while training goes on."""
        with loop.averaged():
            self.write()

    def finish_vae(self) -> None:
        """Fold the whitening in and show what the autoencoder makes of some scenes."""
        vae = self.networks.vae
        numbers = self.data.numbers[:1024]
        before = vae_stage.psnr(vae, numbers[:64])
        vae_stage.fold_whitening(vae, numbers[:256])
        logger.info("vae: %.2f dB, %.2f dB after folding", before, vae_stage.psnr(vae, numbers[:64]))
        with torch.no_grad():
            pictures = draw(numbers[:24], 128, 128)
            back = vae.decode(vae.encode(pictures)[0])
        both = torch.stack([pictures, back], dim=1).flatten(0, 1)
        save_sheet(self.plan.folder / "vae.png", both, ["drawn", "decoded"] * len(pictures))


def channels_last(module: M) -> M:
    """Lay the convolutions' weights out with channels innermost, which is faster."""
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            child.weight.data = child.weight.data.contiguous(memory_format=torch.channels_last)
    return module


def compiled_features(unet: UNet, device: torch.device, batch: int, config: ShapesConfig) -> Call | None:
    """Compile the network; None, with the reason logged, where that fails or brings nothing."""
    x = torch.randn(batch, 4, 16, 16, device=device)
    context = torch.randn(batch, 77, config.text_width, device=device, requires_grad=True)
    t = torch.zeros(batch, dtype=torch.long, device=device)

    def seconds(call: Call, times: int = 5) -> float:
        began = time.monotonic()
        for _ in range(times):
            with mixed_precision(device):
                loss = call(x, t, context).float().mean()
            loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.monotonic() - began) / times

    compiled: Call = torch.compile(unet.features, dynamic=False)
    try:
        first = seconds(compiled, 1)
        seconds(unet.features, 1)
        plain, fast = seconds(unet.features), seconds(compiled)
    except Exception as error:  # noqa: BLE001 - compilers fail in many ways, and training can go on without one
        logger.warning("slower because the network could not be compiled: %s", str(error)[:500])
        return None
    finally:
        unet.zero_grad(set_to_none=True)
    logger.info("compiled in %.0f s: %.1f instead of %.1f ms per step", first, 1000 * fast, 1000 * plain)
    return compiled if fast < plain else None
