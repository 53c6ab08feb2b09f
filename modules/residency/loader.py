"""From files to networks."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import nn

from modules.domain.errors import WebuiError
from modules.domain.plan import ResolvedModel
from modules.families.facts import foretold
from modules.families.family import Build, Components, Family, Files, Match
from modules.library.folders import read_model_header
from modules.library.sidecars import config_path
from modules.nn.attention.backend import Backend
from modules.nn.ops import Ops
from modules.residency.device import DevicePolicy

logger = logging.getLogger(__name__)

Identify = Callable[[Files], tuple[Family, Match]]
"""The files of a model -> the family that loads it; raises `UnsupportedCheckpoint` or `BrokenFile`."""

EXTRA_WEIGHTS = ("model_ema.",)
"""Begin the names of tensors that nobody loads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides how a model is made."""

    wanted: ResolvedModel
    attention: Backend
    family: Family
    match: Match
    policy: DevicePolicy
    """As it is for this family."""


class Loader:
    """Recognises files and builds networks from them.

    Args:
        policy: where and in which number formats models run.
        identify: finds the family of a file.
        ops: layer classes that networks are built from.
        models: folder of models, where some families look for what a checkpoint lacks.
        allow_unsafe: let pickled files run the code they ask for.
    """

    def __init__(
        self, policy: DevicePolicy, identify: Identify, ops: Ops, models: Path | None, *, allow_unsafe: bool = False
    ) -> None:
        self._policy, self._identify, self._ops, self._models = policy, identify, ops, models
        self._allow_unsafe = allow_unsafe

    def recognise(self, wanted: ResolvedModel, attention: Backend) -> Recipe:
        """Look into the files.

        Raises:
            ModelError: the checkpoint cannot be used; names it and says why.
        """
        family, match = self._identify(self._files(wanted))
        if wanted.prediction:
            match = foretold(match, wanted.prediction)
        policy = self._policy.for_family(match.family)
        return Recipe(wanted=wanted, attention=attention, family=family, match=match, policy=policy)

    def load(self, recipe: Recipe, home: torch.device, vae_dtype: torch.dtype) -> Components:
        """Load a whole model to a device.

        Raises:
            ModelError: a file cannot be used; names it and says why.
        """
        start, wanted = time.monotonic(), recipe.wanted
        with torch.inference_mode(False), torch.no_grad():  # training takes only weights from outside of that mode
            components = recipe.family.load(self._files(wanted), recipe.match, self._build(recipe, home, vae_dtype))
        _arrange(recipe.policy, components.unet, components.vae)
        seconds = time.monotonic() - start
        logger.info("%s: %s loaded in %.1f s", wanted.checkpoint.name, recipe.family.label, seconds)
        return components

    def load_vae(self, recipe: Recipe, home: torch.device, vae_dtype: torch.dtype) -> nn.Module:
        """Load only the VAE to a device.

        Raises:
            ModelError: a file cannot be used; names it and says why.
        """
        build = self._build(recipe, home, vae_dtype)
        with torch.inference_mode(False), torch.no_grad():
            vae = recipe.family.load_vae(self._files(recipe.wanted), recipe.match, build)
        _arrange(recipe.policy, vae)
        return vae

    def _files(self, wanted: ResolvedModel) -> Files:
        return Files(
            checkpoint=wanted.checkpoint, vae=wanted.vae, config=config_path(wanted.checkpoint), models=self._models,
            modules=wanted.modules, allow_unsafe=self._allow_unsafe,
        )  # fmt: skip

    def _build(self, recipe: Recipe, home: torch.device, vae_dtype: torch.dtype) -> Build:
        policy = recipe.policy
        return Build(
            ops=self._ops,
            attend=recipe.attention,
            device=home,
            dtype=policy.dtype,
            text_dtype=policy.text_dtype,
            vae_dtype=vae_dtype,
            fp8=bool(recipe.wanted.fp8),
            keep_half=recipe.wanted.keep_half,
        )


def estimated_bytes(recipe: Recipe) -> int:
    """Tell about how much memory a model is going to take, from what its files hold."""
    wanted, itemsize = recipe.wanted, recipe.policy.dtype.itemsize
    beside = [*wanted.modules, *([wanted.vae] if wanted.vae else [])]
    small = itemsize // 2 if wanted.fp8 else itemsize
    return _stored_numbers(wanted.checkpoint) * small + sum(_stored_numbers(path) * itemsize for path in beside)


def _stored_numbers(path: Path) -> int:
    try:
        tensors = read_model_header(path).tensors
    except WebuiError:  # whoever loads it says what is wrong; most files hold numbers of two bytes
        return path.stat().st_size // 2 if path.is_file() else 0
    return sum(prod(info.shape) for name, info in tensors.items() if not name.startswith(EXTRA_WEIGHTS))


def _arrange(policy: DevicePolicy, *parts: nn.Module) -> None:
    if policy.channels_last:
        for part in parts:
            part.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] -- missing overload
