"""What the web layer is given to work with; built once by the composition root and attached when it is ready."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from modules.adapters.lora.catalog import LoraEntry
from modules.engine.desk import Desk
from modules.engine.engine import Engine
from modules.engine.ledger import Ledger
from modules.extending.manage import Manager
from modules.extending.scripts import Scripts
from modules.extending.steps import Steps
from modules.hooks.dispatch import Hooks
from modules.imaging.infotext_styles import StyleTexts
from modules.settings.snapshot import Snapshot
from modules.settings.store import SettingsStore
from modules.web.cards.pages import CardPages

if TYPE_CHECKING:
    from modules.imaging.upscale import NamedUpscaler


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
class CheckpointFacts:
    """What is known of a checkpoint file from a look at its header."""

    name: str = ""
    """Relative to its folder, with its ending; empty when there is no checkpoint at all."""
    filename: str = ""
    family: str = ""
    """Id of the lineage that loads it; empty when none does."""
    label: str = ""
    """What people call the lineage."""
    variant: str = "base"
    prediction: str = "eps"
    native_size: int = 512
    """Side of the pictures that it was trained on, pixels."""
    size_bytes: int = 0
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    fault: str = ""
    """Why it cannot be used; empty when it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in memory."""

    filename: str
    """Of its checkpoint."""
    num_bytes: int
    where: str
    """The kind of memory, in words."""
    in_use: bool = False
    """Whether a job works with it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayFile:
    """A file in a folder of checkpoints that is not one this program lists."""

    name: str
    size_bytes: int
    reason: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingInfo:
    """One entry of `/sdapi/v1/embeddings`."""

    step: int | None
    """Training steps."""
    sd_checkpoint: str | None
    sd_checkpoint_name: str | None
    shape: int
    """Numbers of one vector, of all text encoders together."""
    vectors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingLists:
    """The embeddings on disk, by name."""

    loaded: Mapping[str, EmbeddingInfo] = field(default_factory=lambda: MappingProxyType({}))
    """Those that prompts may use with the model in memory."""
    skipped: Mapping[str, EmbeddingInfo] = field(default_factory=lambda: MappingProxyType({}))
    """Those made for other models."""


def _own_upscalers() -> "Mapping[str, NamedUpscaler]":
    """Return what enlarges pictures without extensions."""
    from modules.imaging.upscale import PLAIN

    return PLAIN


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
    """Looks for VAE files and text encoders again."""
    samplers: Callable[[], Sequence[SamplerInfo]]
    schedulers: Callable[[], Sequence[SchedulerInfo]]
    choose_sampler: Callable[[str, str], SamplerChoice]
    """Finds the sampler and schedule that the two names of a request stand for."""
    knows_checkpoint: Callable[[str], bool]
    checkpoint_facts: Callable[[str], CheckpointFacts]
    """Finds a checkpoint by any of its names, the one in use when none is configured for an empty one; looks into its
    file the first time, which takes a while on a slow disk."""
    stray_files: Callable[[], Sequence[StrayFile]]
    """Other files that lie where checkpoints belong, with what is wrong with them."""
    loaded: Callable[[], Sequence[LoadedModel]]
    """The models that are in memory now; never waits for a job."""
    unload_models: Callable[[], None]
    """Has the models leave the graphics card, or memory where there is none; one in use leaves when its job ends."""
    reload_model: Callable[[], None]
    """Brings back the one that was used last."""
    localizations: Callable[[], Mapping[str, Path]]
    """Files of translations of the page, by name."""
    styles: Callable[[], Sequence[StyleTexts]]
    start_profile: Callable[[], Mapping[str, Any]]
    """`total` and `records`, as `/internal/profile-startup` shows them."""
    fetch_picture: Callable[[str, Snapshot], bytes]
    """Downloads a picture that a request names by its address, or refuses to."""
    memory: Callable[[], Mapping[str, Any]]
    """`ram` and `cuda`, as `/sdapi/v1/memory` shows them."""
    embeddings: Callable[[bool], EmbeddingLists] = lambda fresh: EmbeddingLists()
    """Lists the embeddings; reads every file again if told so."""
    loras: Callable[[], Sequence[LoraEntry]] = tuple
    """Lists the files that are there now; only those that are new or changed are looked into."""
    lora_by_hash: Callable[[str], str | None] = lambda digest: None
    """Names the LoRA file that has a hash; None when no file is known to have it."""
    refresh_loras: Callable[[], object] = lambda: None
    hypernetworks: Callable[[], Mapping[str, Path]] = dict
    """Lists the files that are there now, by name."""
    scripts: Scripts = field(default_factory=Scripts)
    """What extensions offer to switch on for a run."""
    steps: Steps = field(default_factory=Steps)
    """What can be done to finished pictures."""
    hooks: Hooks = field(default_factory=Hooks)
    """Handlers of extensions."""
    early_page_files: tuple[str, ...] = ()
    """Scripts and style sheets that the page loads before those of extensions; addresses relative to the page."""
    extensions: Manager | None = None
    """What there is of extensions, and what can be done with them."""
    cards: CardPages = field(default_factory=CardPages)
    """Embeddings, hypernetworks, checkpoints and LoRAs with their previews and notes."""
    face_restorers: Callable[[], Sequence[str]] = tuple
    """Names of what restores faces."""
    unets: Callable[[], Sequence[str]] = tuple
    """Names of networks that may stand in the place of a checkpoint's own."""
    upscalers: "Callable[[], Mapping[str, NamedUpscaler]]" = _own_upscalers
    """What enlarges pictures, by name."""
    modules: Callable[[], Sequence[VaeInfo]] = tuple
    """Files of VAEs and text encoders, any of which may be put beside a checkpoint."""
