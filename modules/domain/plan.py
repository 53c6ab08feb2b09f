"""A request with nothing left to decide. Infotext is printed from this, so it cannot disagree with what ran."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from modules.domain.request import Generation, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something the person should know about how the request was understood."""

    text: str
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """The files a plan runs on, found and named."""

    checkpoint: Path
    name: str
    """Base name without extension, as infotext prints it."""
    short_hash: str | None = field(compare=False)
    """First ten hex digits of the file's SHA-256, None while it is not known."""
    vae: Path | None = None
    vae_hash: str | None = field(default=None, compare=False)
    modules: tuple[Path, ...] = ()
    """Further files, whose text encoders or VAE take the place of the checkpoint's."""
    prediction: str | None = None
    """eps, v, x0 or "v + zero SNR" where somebody said so; None leaves it to the files."""
    fp8: str = ""
    """Value of the setting by which the weights of the denoising network are kept in 8 bits; empty when they are not."""
    keep_half: bool = False
    """With `fp8`, remember in main memory what was rounded."""

    @property
    def title(self) -> str:
        """Name and hash, as infotext writes a second model."""
        return f"{self.name} [{self.short_hash}]" if self.short_hash else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerOptions:
    """Resolved numbers of the sampler: request over setting over family default."""

    eta: float
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = float("inf")
    s_noise: float = 1.0
    uni_pc_variant: str = "bh1"
    uni_pc_skip_type: str = "time_uniform"
    uni_pc_order: int = 3
    uni_pc_lower_order_final: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOptions:
    """Resolved numbers of the noise schedule. 0 means the model's own value."""

    sigma_min: float = 0.0
    sigma_max: float = 0.0
    rho: float = 0.0
    old_karras_range: bool = False
    discard_penultimate: bool = False
    beta_alpha: float = 0.6
    beta_beta: float = 0.6
    sgm_noise_multiplier: bool = False
    zero_terminal_snr: bool = False
    downcast_alphas: bool = False
    quantize_timesteps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """How prompts become conditioning; every field changes the result and so is part of any cache key."""

    emphasis: str = "Original"
    """Original, No norm, Ignore or None."""
    old_emphasis: bool = False
    """Find brackets among the tokens and cut each text off after one chunk."""
    clip_skip: int = 1
    comma_backtrack: int = 20
    old_scheduling: bool = False
    clip_l_skip: bool = False
    """Let `clip_skip` choose the layer of the smaller of SDXL's encoders."""
    crop: tuple[int, int] = (0, 0)
    """(top, left): where SDXL is told that the picture was cut out of a larger one."""
    aesthetic_scores: tuple[float, float] = (6.0, 2.5)
    """Beauty that SDXL's refiner is told of what is wanted and of what is not."""
    size: Size | None = None
    """Of the picture, for families that are told it."""
    negative: bool = False
    """Whether the texts are of a negative prompt, for those families."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidanceOptions:
    """Resolved guidance."""

    cfg_scale: float
    s_min_uncond: float = 0.0
    s_min_uncond_all: bool = False
    skip_early: float = 0.0
    """Fraction of first steps without the negative prompt."""
    rescale: float = 0.0
    """How far the guided estimate goes back to the contrast of the one with the prompt."""
    batch_cond_uncond: bool = True
    pad_cond_uncond: bool = False
    pad_cond_uncond_v0: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseOptions:
    """Where random numbers come from."""

    source: str = "GPU"
    """GPU, CPU or NV."""
    eta_seed_delta: int = 0
    sde_batch_determinism: bool = True
    """One Brownian path per picture, seeded by it; False uses one path for the whole batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingOptions:
    """What turns pictures into latents and back: Full for the VAE, TAESD for its tiny copy."""

    encode: str = "Full"
    decode: str = "Full"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """Resolved numbers of runs that start from a picture."""

    fix_steps: bool = False
    """Run all steps asked for, whatever the denoising strength."""
    noise_multiplier: float = 1.0
    extra_noise: float = 0.0
    background: str = "#ffffff"
    """Colour under transparent pictures."""
    color_correction: bool = False
    overlay: bool = True
    """Put the original pixels back outside the mask."""
    mask_weight: float = 1.0
    """How much of the masked part an inpainting model does not get to see."""
    return_mask: bool = False
    return_mask_composite: bool = False
    save_mask: bool = False
    save_mask_composite: bool = False
    save_uncorrected: bool = False
    """Save each picture also as it was before the correction of its colours."""
    save_first_pass: bool = False
    """Save each picture also as it was before the hires pass."""
    save_init: bool = False
    """Keep the pictures that a run starts from, and tell their hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """One picture of the run."""

    index: int
    prompt: str
    negative_prompt: str
    seed: int
    subseed: int
    hires_prompt: str = ""
    """Of the second pass, when there is one."""
    hires_negative_prompt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One run of the sampler over the schedule."""

    size: Size
    """Size asked for; the latent is this divided by eight, rounded down."""
    steps: int
    sampler: str
    """Label of an existing sampler."""
    scheduler: str
    """Label of the schedule that runs."""
    schedule_label: str
    """What infotext prints as Schedule type."""
    uses_ensd: bool = False
    """Whether this sampler draws noise while it runs, so that infotext mentions a shifted seed."""
    merge_ratio: float = 0.0
    """Share of the tokens that is merged where layers attend to themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HiresPlan:
    """The second pass over an enlarged picture."""

    run: Pass
    """Its size is that of the finished picture."""
    options: SamplerOptions
    """Of its own sampler."""
    upscaler: str
    upscaled: Size
    """Before the parts beyond the wanted size are cut off."""
    denoising_strength: float
    cfg_scale: float
    model: ResolvedModel
    first_pass_texts: bool = False
    """Encode its prompts with the first pass's model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerPlan:
    """A change of checkpoint while sampling."""

    model: ResolvedModel
    switch_at: float | None
    """Fraction of the noise levels, or of the steps; None switches at once."""
    by_steps: bool = False
    passes: str = "second pass"
    """Which passes of a hires run switch: first pass, second pass or both passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraUse:
    """A LoRA file and how strongly it is used."""

    name: str
    """As the prompt has it."""
    path: Path
    text: float = 1.0
    """Strength in text encoders."""
    unet: float = 1.0
    """Strength everywhere else."""
    rank: int | None = None
    """Use only that many of its ranks."""
    layers: tuple[tuple[str, float], ...] = ()
    """Further factors of single layers, by part of the model and weight there (`unet.input_blocks.1...weight`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HypernetworkUse:
    """A hypernetwork and how strongly it is used."""

    name: str
    path: Path
    strength: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The extra networks of one pass, in the order in which they are applied."""

    loras: tuple[LoraUse, ...] = ()
    hypernetworks: tuple[HypernetworkUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNetworks:
    """The extra networks of one batch: those of its first prompt."""

    first: Networks = field(default_factory=Networks)
    second: Networks = field(default_factory=Networks)
    """Of the hires pass."""
    told: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Infotext keys; their hashes are known later than the rest of the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """The pictures that share forward passes."""

    number: int
    """0-based position among the plan's batches."""
    images: tuple[ImagePlan, ...]
    networks: BatchNetworks = field(default_factory=BatchNetworks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a worker needs to make the pictures of one request."""

    request: Generation
    images: tuple[ImagePlan, ...]
    model: ResolvedModel
    main: Pass
    sampler: SamplerOptions
    schedule: ScheduleOptions
    text: TextOptions
    guidance: GuidanceOptions
    noise: NoiseOptions
    image: ImageOptions = field(default_factory=ImageOptions)
    coding: CodingOptions = field(default_factory=CodingOptions)
    hires: HiresPlan | None = None
    refiner: RefinerPlan | None = None
    tiling: bool = False
    networks: tuple[BatchNetworks, ...] = ()
    """One entry per batch, or none at all."""
    infotext_extra: Mapping[str, str | int | float | bool] = field(default_factory=lambda: MappingProxyType({}))
    """Keys that follow the core ones in infotext, in order."""
    notes: tuple[Note, ...] = ()
    created: datetime = field(default_factory=datetime.now)

    @property
    def num_batches(self) -> int:
        """How many groups `batches` yields."""
        return -(-len(self.images) // self.request.batch.size)

    @property
    def num_runs(self) -> int:
        """How often the sampler runs."""
        return self.num_batches * self.runs_per_batch

    @property
    def runs_per_batch(self) -> int:
        """Once or, with a hires pass over what a first pass made, twice."""
        return 2 if self.hires and not self.first_given else 1

    @property
    def first_given(self) -> bool:
        """Whether a picture came in place of a first pass."""
        return self.request.hires is not None and self.request.hires.first_image is not None

    @property
    def size(self) -> Size:
        """Size of the finished pictures."""
        return self.hires.run.size if self.hires else self.main.size

    @property
    def strength(self) -> float | None:
        """Denoising strength, None for a run that starts from noise alone."""
        if self.request.init:
            return self.request.init.denoising_strength
        return self.hires.denoising_strength if self.hires else None

    def batches(self) -> Iterator[BatchPlan]:
        """Yield the pictures in groups of the request's batch size."""
        size = self.request.batch.size
        for number, start in enumerate(range(0, len(self.images), size)):
            images, networks = self.images[start : start + size], self.networks_of(number)
            yield BatchPlan(number=number, images=images, networks=networks)

    def networks_of(self, batch: int) -> BatchNetworks:
        """Return the extra networks of a batch, by its number."""
        return self.networks[batch] if batch < len(self.networks) else BatchNetworks()
