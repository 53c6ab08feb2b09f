"""Every place where an extension may look at or change what the program does.

A hook payload is frozen; a handler returns None to leave it alone or a changed copy (`dataclasses.replace`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from modules.domain.plan import BatchPlan, ImagePlan, Plan, TextOptions
from modules.domain.request import Generation
from modules.domain.result import Produced
from modules.hooks.axes import Axis
from modules.settings.sections import Section

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from modules.sampling.types import Conditioning, Denoise, Step, Timeline
    from modules.sampling.walks import Start, Walk
    from modules.sampling.watching import NetworkCall, Predict


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTab:
    """A tab of the page that an extension brings."""

    id: str
    label: str
    build: Callable[[], None]
    """Builds its content with gradio, inside the tab."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Base of all payloads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsBuilding(Hook):
    """The pages of settings that extensions bring are about to be declared; pages may be added or left out."""

    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageBuilding(Hook):
    """The page is about to be built, or would be if there were one. Read only: what a handler returns is ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TabsBuilding(Hook):
    """The page is about to be built; tabs of extensions may be added, left out or put in another order."""

    tabs: tuple[PageTab, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PageBuilt(Hook):
    """All of the page is built, and events can still be added. Read only: what a handler returns is ignored."""

    controls: Mapping[str, Mapping[str, object]]
    """Tab -> name of a parameter -> its component."""
    send: Callable[[Any, str, Sequence[Any], Callable[..., tuple[str, bytes | None, tuple[str, ...] | None]]], None]
    """Connects a button with where it sends something: `txt2img`, `img2img`, `inpaint` or `extras`. Takes the button, that
    place, components, and what makes of their values a parameters text, a picture as a file, and the names of the
    parameters that may change, None for all."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AxesOffered(Hook):
    """The X/Y/Z plot is about to offer what it can vary, or to use it; axes may be added, left out or reordered.

    Over A1111's API an axis is named by its place, so new ones belong behind the others.
    """

    tab: str
    """txt2img or img2img."""
    axes: tuple[Axis, ...]
    """Those of this tab."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageReloading(Hook):
    """Somebody asked for the page to be built anew. Read only: what a handler returns is ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeTokenCount(Hook):
    """The tokens of a prompt on the page are about to be counted; what is counted may be changed."""

    prompt: str
    steps: int
    styles: tuple[str, ...]
    """Names of those that are chosen."""
    positive: bool
    """False for a negative prompt."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AppStarted(Hook):
    """The program is ready to answer. Read only: what a handler returns is ignored."""

    app: Any
    """The FastAPI application, to which routes may be added."""
    page: Any = None
    """What gradio built; None without a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppStopping(Hook):
    """The program ends; jobs have ended already. Read only: what a handler returns is ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InfotextPasted(Hook):
    """A parameters text is about to fill the controls of a tab; entries may be changed."""

    tab: str
    """txt2img or img2img."""
    text: str
    entries: Mapping[str, Any]
    """Keys of the text, with their values as it writes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAccepted(Hook):
    """A request is about to be checked and queued; a handler may return another request."""

    request: Generation
    source: str
    """ui or api."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMade(Hook):
    """The request is decided; a handler may return another plan."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BeforeBatches(Hook):
    """The model is loaded, and what a run on pictures starts from is encoded; the batches are about to begin."""

    plan: Plan
    latent: "Tensor | None" = None
    """[B, C, h, w]: what the pictures start from; None for a run from noise alone."""
    repaint: "Tensor | None" = None
    """[1, 1, h, w]: 1 where the latent is repainted, 0 where it is kept; None without a mask."""
    extras: "Mapping[str, Tensor]" = field(default_factory=lambda: MappingProxyType({}))
    """What the network is told of the pictures besides, each [B, ...]."""
    overlays: "tuple[Image, ...]" = ()
    """RGBA: what will be laid over the results; see `BeforeOverlay` for changing it."""
    overlay_mask: "Image | None" = None
    """The mask at the size of the finished pictures."""
    box: tuple[int, int, int, int] | None = None
    """Where results will be put back, left, top, right, bottom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeConditioning(Hook):
    """The texts of a batch are about to be encoded; prompts may be rewritten."""

    plan: Plan
    batch: BatchPlan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WrapConditioning(Hook):
    """The texts of a batch are about to be encoded by the model in use; a handler may return another way to do it."""

    plan: Plan
    batch: BatchPlan
    encode: "Callable[[Sequence[str], TextOptions], Conditioning]"
    """Encodes the texts of one timeline; rows are those of the texts."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AfterConditioning(Hook):
    """The texts of a batch are encoded, once for each pass and for each checkpoint that takes part."""

    plan: Plan
    batch: BatchPlan
    positives: "tuple[tuple[Timeline, ...], ...]"
    """For each picture the parts of its prompt that are joined by AND."""
    negatives: "tuple[Timeline, ...]"
    """One for each picture."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WrapSampling(Hook):
    """A batch is about to be sampled, in one pass or two; a handler may return another way to do it."""

    plan: Plan
    batch: BatchPlan
    start: "Start"
    """What the first pass starts from."""
    walk: "Walk"
    """Walks the first pass's sampler from any start and of any size, as often as wanted."""
    sample: "Callable[[], Tensor]"
    """Does what was planned; returns the latent [B, C, h, w]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WrapPass(Hook):
    """One walk of the sampler is about to begin; a handler may return one that wraps it or starts elsewhere."""

    plan: Plan
    batch: BatchPlan
    number: int
    """0, or 1 for the hires pass."""
    start: "Start"
    walk: "Walk"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WrapNetwork(Hook):
    """The network is opened for a pass; a handler may return what asks it for estimates in another way."""

    plan: Plan
    batch: BatchPlan
    predict: "Predict"
    """(x [R, C, h, w], sigma [R], what R rows are told) -> estimates x0 [R, C, h, w]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WrapDenoise(Hook):
    """The guided denoiser of a pass; a handler may return one that wraps it."""

    plan: Plan
    batch: BatchPlan
    denoise: "Denoise"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExtraNoise(Hook):
    """A latent is noised, and more noise than its level asks for is about to be added; that noise may be changed."""

    plan: Plan
    batch: BatchPlan
    noise: "Tensor"
    """[B, C, h, w], of unit strength."""
    latent: "Tensor"
    """[B, C, h, w], clean."""
    x: "Tensor"
    """[B, C, h, w], noised."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BeforeSampling(Hook):
    """The sampler is about to start."""

    plan: Plan
    batch: BatchPlan
    x: "Tensor"
    """[B, C, h, w], already noised"""
    sigmas: "Tensor"
    """[N + 1]"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BeforeNetwork(Hook):
    """Guidance is about to ask the network; what it is given may be changed."""

    plan: Plan
    batch: BatchPlan
    given: "NetworkCall"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AfterNetwork(Hook):
    """The network has answered; guidance is about to combine its estimates."""

    plan: Plan
    batch: BatchPlan
    given: "NetworkCall"
    estimates: "Tensor"
    """[R, C, h, w]: estimates of the clean latent, those of the prompts first."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AfterGuidance(Hook):
    """The estimates are combined."""

    plan: Plan
    batch: BatchPlan
    given: "NetworkCall"
    x0: "Tensor"
    """[B, C, h, w]: the guided estimate of the clean latent."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AfterBlend(Hook):
    """The part that is kept was put over a latent: over an estimate or an input in each call, at last over the result."""

    plan: Plan
    batch: BatchPlan
    current: "Tensor"
    """[B, C, h, w]: what it was put over."""
    clean: "Tensor"
    """[B, C, h, w]: the original."""
    repaint: "Tensor"
    """[1, 1, h, w]: 1 where the latent is repainted, 0 where it is kept."""
    blended: "Tensor"
    """[B, C, h, w]: both; this may be changed."""
    sigma: "Tensor | None"
    """[B]; None for the result."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AfterStep(Hook):
    """A sampler step was done. Read only: what a handler returns is ignored."""

    plan: Plan
    batch: BatchPlan
    step: "Step"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AfterSampling(Hook):
    """The latent of a batch is final."""

    plan: Plan
    batch: BatchPlan
    x: "Tensor"
    """[B, C, h, w]"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchDecoded(Hook):
    """All pictures of a batch are decoded."""

    plan: Plan
    batch: BatchPlan
    pixels: "Tensor | Sequence[Tensor]"
    """[B, 3, H, W] in 0..1; a handler may also return any number of pictures, each [3, H, W], of any size."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AfterDecode(Hook):
    """A picture was decoded and is about to get its infotext."""

    plan: Plan
    image_plan: ImagePlan
    image: "Image"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BeforeOverlay(Hook):
    """A picture is about to be put under the kept part of its original, if it has one."""

    plan: Plan
    image_plan: ImagePlan
    mask: "Image | None"
    """At the size of the finished picture."""
    overlay: "Image | None"
    """RGBA; None lays nothing over it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BeforeSave(Hook):
    """A picture is about to be encoded (and saved if the request says so)."""

    plan: Plan
    image_plan: ImagePlan
    image: "Image"
    infotext: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterSave(Hook):
    """The file of a picture or of an overview was written. Read only: what a handler returns is ignored."""

    plan: Plan
    image_plan: ImagePlan
    """Of the first picture for an overview."""
    path: Path
    image: Produced


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BeforeGrid(Hook):
    """Pictures of a run are about to be put together to one overview."""

    plan: Plan
    pictures: "tuple[Image, ...]"
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureReady(Hook):
    """A picture is encoded, and saved if it is to be. Read only: what a handler returns is ignored."""

    plan: Plan
    image: Produced


READ_ONLY: tuple[type[Hook], ...] = (
    AppStarted, PageBuilding, PageBuilt, PageReloading, AppStopping, AfterStep, AfterSave, PictureReady,
)  # fmt: skip
"""Points where handlers may only look."""

HOOKS: tuple[type[Hook], ...] = (
    SettingsBuilding,
    PageBuilding,
    TabsBuilding,
    PageBuilt,
    AxesOffered,
    AppStarted,
    PageReloading,
    BeforeTokenCount,
    InfotextPasted,
    RequestAccepted,
    PlanMade,
    BeforeBatches,
    BeforeConditioning,
    WrapConditioning,
    AfterConditioning,
    WrapSampling,
    WrapPass,
    WrapNetwork,
    ExtraNoise,
    WrapDenoise,
    BeforeSampling,
    BeforeNetwork,
    AfterNetwork,
    AfterGuidance,
    AfterBlend,
    AfterStep,
    AfterSampling,
    BatchDecoded,
    AfterDecode,
    BeforeOverlay,
    BeforeSave,
    AfterSave,
    PictureReady,
    BeforeGrid,
    AppStopping,
)
"""All hook points, in the order in which the program and a job reach them."""
