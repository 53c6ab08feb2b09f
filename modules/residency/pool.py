"""Loaded models, lent out one job at a time."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from modules.domain.plan import ResolvedModel
from modules.families.family import Build, Family, Files, Match
from modules.nn.attention.backend import Backend
from modules.nn.ops import Ops
from modules.residency.device import DevicePolicy, Offload
from modules.residency.model import Model
from modules.residency.relief import climb, free_caches
from modules.residency.resident import Resident, Where
from modules.residency.sizes import num_bytes

logger = logging.getLogger(__name__)

Identify = Callable[[Path, Path | None], tuple[Family, Match]]
"""(checkpoint, sidecar yaml) -> the family that loads it; raises `UnsupportedCheckpoint` or `BrokenFile`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """Everything that makes one loaded model different from another."""

    checkpoint: Path
    vae: Path | None
    stamps: tuple[tuple[int, ...], ...]
    """Time, size and inode of each file, so that a replaced file is loaded anew."""
    attention: str


class Pool:
    """Keeps the last used model loaded and lends it.

    Args:
        policy: where and in which number formats models run.
        identify: finds the family of a file.
        ops: layer classes that networks are built from.
        models: folder of models, where some families look for what a checkpoint lacks.
    """

    def __init__(self, policy: DevicePolicy, identify: Identify, ops: Ops, models: Path | None = None) -> None:
        self._policy, self._identify, self._ops, self._models = policy, identify, ops, models
        self._lock = threading.RLock()
        self._key: _Key | None = None
        self._model: Model | None = None
        self._resolved: ResolvedModel | None = None
        self._since = datetime.now(UTC)
        self._leases = 0

    @property
    def policy(self) -> DevicePolicy:
        """Where models run."""
        return self._policy

    @property
    def loaded(self) -> ResolvedModel | None:
        """The files of the model that is in memory, if any."""
        return self._resolved

    def present(self) -> tuple[Resident, ...]:
        """Return the models in memory, the last used first. Never waits for a job."""
        model, wanted = self._model, self._resolved
        if model is None or wanted is None:
            return ()
        home = Where.DEVICE if model.policy.offload is Offload.NONE else Where.RAM
        return (
            Resident(
                name=wanted.name, checkpoint=wanted.checkpoint, vae=wanted.vae, where=home, since=self._since,
                num_bytes=num_bytes(model.components), in_use=self._leases > 0,
            ),
        )  # fmt: skip

    @contextmanager
    def lease(self, wanted: ResolvedModel, attention: Backend) -> Iterator[Model]:
        """Lend the model made of the wanted files, loading it if it is not the one in memory.

        The model in memory stays usable when loading another one fails, unless memory does not hold both.

        Raises:
            ModelError: a file cannot be used; names it and says why.
            OutOfMemory: the model does not fit.
        """
        with self._lock:
            key = _key(wanted, attention)
            model = self._model
            if model is None or self._key != key:
                model = self._load_somehow(wanted, attention)
                self._model, self._key, self._resolved = model, key, wanted
                self._since = datetime.now(UTC)
                free_caches()
            self._leases += 1
            try:
                yield model
            finally:
                self._leases -= 1

    def unload(self) -> None:
        """Forget the model in memory."""
        with self._lock:
            self._model = self._key = self._resolved = None
            free_caches()

    def _load_somehow(self, wanted: ResolvedModel, attention: Backend) -> Model:
        """Load beside the model in memory, or in its place when there is no room for two."""

        def alone() -> Model:
            self.unload()
            return self._load(wanted, attention)

        rungs = [
            ("beside the last one", lambda: self._load(wanted, attention)),
            ("after unloading the last one", alone),
        ]
        return climb(f"loading {wanted.checkpoint.name}", rungs, logger.info)

    def _load(self, wanted: ResolvedModel, attention: Backend) -> Model:
        start = time.monotonic()
        config = sidecar(wanted.checkpoint)
        family, match = self._identify(wanted.checkpoint, config)
        policy = self._policy.for_family(match.family)
        home = policy.device if policy.offload is Offload.NONE else torch.device("cpu")
        build = Build(
            ops=self._ops,
            attend=attention,
            device=home,
            dtype=policy.dtype,
            text_dtype=policy.text_dtype,
            vae_dtype=policy.vae_dtype,
        )
        files = Files(checkpoint=wanted.checkpoint, vae=wanted.vae, config=config, models=self._models)
        components = family.load(files, match, build)
        if policy.channels_last:
            for part in (components.unet, components.vae):
                part.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] -- missing overload
        logger.info("%s: %s loaded in %.1f s", wanted.checkpoint.name, family.label, time.monotonic() - start)
        return Model(components=components, policy=policy)


def sidecar(checkpoint: Path) -> Path | None:
    """Return the yaml beside a checkpoint, if there is one."""
    path = checkpoint.with_suffix(".yaml")
    return path if path.is_file() else None


def _key(wanted: ResolvedModel, attention: Backend) -> _Key:
    files = [wanted.checkpoint, *([wanted.vae] if wanted.vae else [])]
    config = sidecar(wanted.checkpoint)
    if config:
        files.append(config)
    stamps = tuple(_stamp(path) for path in files)
    return _Key(checkpoint=wanted.checkpoint, vae=wanted.vae, stamps=stamps, attention=attention.name)


def _stamp(path: Path) -> tuple[int, ...]:
    """Describe a file so that a change shows; a missing one is left to the loader, which says so."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
