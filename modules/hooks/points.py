"""Every place where an extension may look at or change what a job does.

A hook payload is frozen; a handler returns None to leave it alone or a changed copy (`dataclasses.replace`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modules.domain.plan import BatchPlan, ImagePlan, Plan

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from modules.sampling.types import Denoise, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Base of all payloads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMade(Hook):
    """The request is decided; a handler may return another plan."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeConditioning(Hook):
    """The texts of a batch are about to be encoded; prompts may be rewritten."""

    plan: Plan
    batch: BatchPlan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WrapDenoise(Hook):
    """The guided denoiser of a pass; a handler may return one that wraps it."""

    plan: Plan
    batch: BatchPlan
    denoise: "Denoise"


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
class AfterDecode(Hook):
    """A picture was decoded and is about to get its infotext."""

    plan: Plan
    image_plan: ImagePlan
    image: "Image"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BeforeSave(Hook):
    """A picture is about to be encoded (and saved if the request says so)."""

    plan: Plan
    image_plan: ImagePlan
    image: "Image"
    infotext: str


HOOKS: tuple[type[Hook], ...] = (
    PlanMade,
    BeforeConditioning,
    WrapDenoise,
    BeforeSampling,
    AfterStep,
    AfterSampling,
    AfterDecode,
    BeforeSave,
)
"""All hook points, in the order in which a job reaches them."""
