"""What somebody asked for. Frozen, comparable, JSON-able; no tensors and no pictures inside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from modules.domain.param import param

MAX_SEED = 2**32 - 3
"""Random seeds are drawn from 0 up to and including this value, as in A1111."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Picture size in pixels."""

    width: int = param(512, label="Width", ge=8, le=8192, slider=(64, 2048), step=8, elem_id="_width")
    height: int = param(512, label="Height", ge=8, le=8192, slider=(64, 2048), step=8, elem_id="_height")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSpec:
    """Where the noise comes from. -1 draws a random number when the job is planned."""

    seed: int = param(-1, label="Seed", infotext="Seed", ge=-(2**63), le=2**64 - 1, elem_id="_seed")
    subseed: int = param(
        -1, label="Variation seed", infotext="Variation seed", ge=-(2**63), le=2**64 - 1, elem_id="_subseed"
    )
    subseed_strength: float = param(
        0.0, label="Variation strength", infotext="Variation seed strength", ge=0, le=1, slider=(0, 1), step=0.01,
        elem_id="_subseed_strength",
    )  # fmt: skip
    resize_from_width: int = param(
        -1, label="Resize seed from width", api="seed_resize_from_w", ge=-1, le=8192, slider=(0, 2048), step=8,
        elem_id="_seed_resize_from_w",
    )  # fmt: skip
    resize_from_height: int = param(
        -1, label="Resize seed from height", api="seed_resize_from_h", ge=-1, le=8192, slider=(0, 2048), step=8,
        elem_id="_seed_resize_from_h",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSpec:
    """Which integrator runs, over which schedule, for how long. None leaves a number to the setting of that name."""

    sampler: str = param(
        "DPM++ 2M", label="Sampling method", api="sampler_name", infotext="Sampler", choices="samplers",
        elem_id="_sampling",
    )  # fmt: skip
    scheduler: str = param(
        "Automatic", label="Schedule type", infotext="Schedule type", choices="schedulers", elem_id="_scheduler"
    )
    steps: int = param(
        20, label="Sampling steps", infotext="Steps", ge=1, le=500, slider=(1, 150), step=1, elem_id="_steps"
    )
    eta: float | None = param(None, label="Eta", ge=0, le=100)
    s_churn: float | None = param(None, label="Sigma churn", ge=0, le=1000)
    s_tmin: float | None = param(None, label="Sigma tmin", ge=0, le=1000)
    s_tmax: float | None = param(None, label="Sigma tmax", ge=0, le=10000)
    s_noise: float | None = param(None, label="Sigma noise", ge=0, le=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidanceSpec:
    """How far to move from the negative prompt towards the prompt."""

    cfg_scale: float = param(
        7.0, label="CFG Scale", infotext="CFG scale", ge=-1000, le=1000, slider=(1, 30), step=0.5, elem_id="_cfg_scale"
    )
    s_min_uncond: float | None = param(None, label="Negative Guidance minimum sigma", ge=0, le=1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSpec:
    """How many pictures: `count` forward runs of `size` pictures each."""

    size: int = param(
        1, label="Batch size", api="batch_size", ge=1, le=64, slider=(1, 8), step=1, elem_id="_batch_size"
    )
    count: int = param(
        1, label="Batch count", api="n_iter", ge=1, le=1000, slider=(1, 100), step=1, elem_id="_batch_count"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """Which files to use. None means what the settings say when the job starts."""

    checkpoint: str | None = None
    vae: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PostSpec:
    """Switches of A1111's request that act on the whole picture. None leaves them to the settings."""

    tiling: bool | None = param(None, label="Tiling")
    restore_faces: bool | None = param(None, label="Restore faces")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """What happens with finished pictures."""

    save_images: bool = False
    save_grid: bool = False
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One request for pictures, whoever sent it."""

    prompt: str | tuple[str, ...] = param("", label="Prompt", elem_id="_prompt")
    """One text for all pictures, or one text per picture."""
    negative_prompt: str | tuple[str, ...] = param(
        "", label="Negative prompt", infotext="Negative prompt", elem_id="_neg_prompt"
    )
    styles: tuple[str, ...] = param((), label="Styles", elem_id="_styles")
    size: Size = field(default_factory=Size)
    seed: SeedSpec = field(default_factory=SeedSpec)
    sampling: SamplingSpec = field(default_factory=SamplingSpec)
    guidance: GuidanceSpec = field(default_factory=GuidanceSpec)
    batch: BatchSpec = field(default_factory=BatchSpec)
    model: ModelChoice = field(default_factory=ModelChoice)
    post: PostSpec = field(default_factory=PostSpec)
    overrides: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Settings that hold for this request only, by A1111's flat names."""
    output: OutputSpec = field(default_factory=OutputSpec)
