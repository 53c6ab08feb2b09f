"""What the web layer is given to work with; built once by the composition root and attached when it is ready."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modules.engine.desk import Desk
from modules.engine.engine import Engine
from modules.engine.ledger import Ledger
from modules.imaging.infotext_styles import StyleTexts
from modules.settings.store import SettingsStore
from modules.settings.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointInfo:
    """One line of `/sdapi/v1/sd-models`."""

    title: str
    """Name with the short hash once it is known."""
    model_name: str
    hash: str | None
    """First ten hex digits of the SHA-256."""
    sha256: str | None
    filename: str
    config: str | None = None
    """Configuration file beside the checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaeInfo:
    """One line of `/sdapi/v1/sd-vae`."""

    model_name: str
    filename: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerInfo:
    """One line of `/sdapi/v1/samplers`."""

    name: str
    aliases: tuple[str, ...] = ()
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerInfo:
    """One line of `/sdapi/v1/schedulers`."""

    name: str
    label: str
    aliases: tuple[str, ...] | None = None
    default_rho: float = -1.0
    """-1 when the schedule has no rho."""
    need_inner_model: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerChoice:
    """A sampler and a schedule that exist, found for the names of a request."""

    sampler: str
    scheduler: str
    warnings: tuple[str, ...] = ()
    """What had to be replaced, in sentences; empty when the names were right."""
    known: bool = True
    """False when the sampler's name matched nothing and another sampler stands in."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Services:
    """Everything that answering a request needs."""

    settings: SettingsStore
    desk: Desk
    engine: Engine
    ledger: Ledger
    flags: Mapping[str, Any]
    """Command line flags by A1111's names, secrets replaced."""
    version: str
    checkpoints: Callable[[], Sequence[CheckpointInfo]]
    refresh_checkpoints: Callable[[], None]
    vaes: Callable[[], Sequence[VaeInfo]]
    refresh_vaes: Callable[[], None]
    samplers: Callable[[], Sequence[SamplerInfo]]
    schedulers: Callable[[], Sequence[SchedulerInfo]]
    choose_sampler: Callable[[str, str], SamplerChoice]
    """Finds the sampler and schedule that the two names of a request stand for."""
    knows_checkpoint: Callable[[str], bool]
    native_size: Callable[[str], int]
    """Returns the side of the pictures that a checkpoint was trained on, pixels, by any of its names; looks into its
    file the first time, which takes a while on a slow disk."""
    styles: Callable[[], Sequence[StyleTexts]]
    memory: Callable[[], Mapping[str, Any]]
    """`ram` and `cuda`, as `/sdapi/v1/memory` shows them."""
    fetch_picture: Callable[[str, Snapshot], bytes]
    """Downloads a picture that a request names by its address, or refuses to."""
