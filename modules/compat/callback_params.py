"""What A1111's callbacks are given. Mutable: callbacks assign to their fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


class CFGDenoiserParams:
    """Before each call of the network."""

    def __init__(
        self, x: Any, image_cond: Any, sigma: Any, sampling_step: int, total_sampling_steps: int, text_cond: Any,
        text_uncond: Any, denoiser: Any = None,
    ) -> None:  # fmt: skip
        self.x = x
        """[rows, C, h, w]: what the network is about to see, prompts first."""
        self.image_cond = image_cond
        self.sigma = sigma
        """[rows]"""
        self.sampling_step = sampling_step
        self.total_sampling_steps = total_sampling_steps
        self.text_cond = text_cond
        """[rows of prompts, L, D], or a dict with `crossattn` and `vector`."""
        self.text_uncond = text_uncond
        self.denoiser = denoiser


class CFGDenoisedParams:
    """After each call of the network, before guidance."""

    def __init__(self, x: Any, sampling_step: int, total_sampling_steps: int, inner_model: Any) -> None:
        self.x = x
        """[rows, C, h, w]: estimates of the clean latent, prompts first."""
        self.sampling_step = sampling_step
        self.total_sampling_steps = total_sampling_steps
        self.inner_model = inner_model


class AfterCFGCallbackParams:
    """After guidance."""

    def __init__(self, x: Any, sampling_step: int, total_sampling_steps: int) -> None:
        self.x = x
        """[B, C, h, w]: the guided estimate."""
        self.sampling_step = sampling_step
        self.total_sampling_steps = total_sampling_steps
        self.output_altered = False


class ExtraNoiseParams:
    """Before extra noise is added to an encoded picture."""

    def __init__(self, noise: Any, x: Any, xi: Any) -> None:
        self.noise = noise
        self.x = x
        self.xi = xi


class ImageSaveParams:
    """Before and after a picture is saved."""

    def __init__(self, image: Any, p: Any, filename: str, pnginfo: dict[str, Any]) -> None:
        self.image = image
        self.p = p
        self.filename = filename
        self.pnginfo = pnginfo


class ImageGridLoopParams:
    """Before pictures are put into a grid."""

    def __init__(self, imgs: Sequence[Any], cols: int, rows: int) -> None:
        self.imgs = imgs
        self.cols = cols
        self.rows = rows


class UiTrainTabParams:
    """While the tab for training is built."""

    def __init__(self, txt2img_preview_params: Any) -> None:
        self.txt2img_preview_params = txt2img_preview_params


@dataclass
class BeforeTokenCounterParams:
    """Before the tokens of a prompt are counted."""

    prompt: str
    steps: int
    styles: list[str]
    is_positive: bool = True


@dataclass
class OnComponent:
    """A component of the page."""

    component: Any


@dataclass
class PostprocessImageArgs:
    """One finished picture."""

    image: Any
    index: int = -1


@dataclass
class PostProcessMaskOverlayArgs:
    """The mask of one picture, and what is laid over it."""

    index: int
    mask_for_overlay: Any
    overlay_image: Any


@dataclass
class PostSampleArgs:
    """The latents of a batch."""

    samples: Any
    """[B, C, h, w]"""


@dataclass
class PostprocessBatchListArgs:
    """The decoded pictures of a batch."""

    images: list[Any] = field(default_factory=list)
    """Each [3, H, W] in 0..1."""


@dataclass
class MaskBlendArgs:
    """Two latents that are mixed under a mask."""

    current_latent: Any
    nmask: Any
    init_latent: Any
    mask: Any
    blended_latent: Any
    denoiser: Any = None
    sigma: Any = None

    @property
    def is_final_blend(self) -> bool:
        """Whether this is the last one, after sampling."""
        return self.denoiser is None
