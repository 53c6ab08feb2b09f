"""What somebody asked for. Frozen, comparable, JSON-able; no tensors and no pictures inside."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

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
class ImageRef:
    """A picture that came with a request."""

    sha256: str
    """Of the file's bytes; equal pictures are equal references."""
    data: bytes | None = field(default=None, repr=False, compare=False)
    """The file. None in a record of a request, which names its pictures without keeping them."""

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Refer to a file by its bytes."""
        return cls(sha256=hashlib.sha256(data).hexdigest(), data=data)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookSpec:
    """What a model that looks at the init picture makes of it; others ignore it."""

    depth: ImageRef | None = None
    """For depth models: how near each place of the init picture is, white being nearest. None estimates it."""
    noise: int = param(
        0, label="Image noise level", infotext="Image noise level", ge=0, le=999, slider=(0, 999), step=1,
        help="For unCLIP models: how much noise hides the picture they look at. More keeps less of it.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class InitSpec:
    """The pictures that a run starts from. Its presence makes a request img2img."""

    images: tuple[ImageRef, ...]
    """One for all pictures of a batch, or one for each; none where a folder has them."""
    denoising_strength: float = param(
        0.75, label="Denoising strength", infotext="Denoising strength", ge=0, le=1, slider=(0, 1), step=0.01,
        elem_id="_denoising_strength",
    )  # fmt: skip
    resize_mode: int = param(0, label="Resize mode", ge=0, le=3, elem_id="_resize_mode")
    """0 stretch, 1 crop, 2 fill the border, 3 resize the latent."""
    noise_multiplier: float | None = param(
        None, label="Noise multiplier for img2img", api="initial_noise_multiplier", ge=0, le=100
    )
    """None leaves it to the setting of that name."""
    image_cfg_scale: float | None = param(
        None, label="Image CFG Scale", infotext="Image CFG scale", ge=0, le=1000, slider=(0, 3), step=0.05,
        elem_id="_image_cfg_scale",
    )  # fmt: skip
    """How closely an editing model keeps to the picture; other models ignore it."""
    look: LookSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftSpec:
    """Soft inpainting: grey parts of the mask are repainted by a share, and the result fades into the original."""

    schedule_bias: float = param(
        1, label="Schedule bias", infotext="Soft inpainting schedule bias", ge=0, le=100, slider=(0, 8), step=0.1,
        elem_id="_mask_blend_power",
    )  # fmt: skip
    """How strongly the share follows the noise level: above 1 keeps the original for most of the run."""
    preservation_strength: float = param(
        0.5, label="Preservation strength", infotext="Soft inpainting preservation strength", ge=0, le=100,
        slider=(0, 8), step=0.05, elem_id="_mask_blend_scale",
    )  # fmt: skip
    """How much of the original stays under grey."""
    contrast_boost: float = param(
        4, label="Transition contrast boost", infotext="Soft inpainting transition contrast boost", ge=0.1, le=100,
        slider=(1, 32), step=0.5, elem_id="_inpaint_detail_preservation",
    )  # fmt: skip
    """Keeps the contrast that mixing two latents would lose."""
    mask_influence: float = param(
        0, label="Mask influence", infotext="Soft inpainting mask influence", ge=0, le=1, slider=(0, 1), step=0.05,
        elem_id="_composite_mask_influence",
    )  # fmt: skip
    """How much the mask, besides the change of the picture, decides where the original is put back."""
    difference_threshold: float = param(
        0.5, label="Difference threshold", infotext="Soft inpainting difference threshold", ge=0, le=100,
        slider=(0, 8), step=0.25, elem_id="_composite_difference_threshold",
    )  # fmt: skip
    """How much a place may change before half of it is repainted."""
    difference_contrast: float = param(
        2, label="Difference contrast", infotext="Soft inpainting difference contrast", ge=0, le=100,
        slider=(0, 8), step=0.25, elem_id="_composite_difference_contrast",
    )  # fmt: skip
    """How sharply the change turns from original to repainted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendSpec:
    """Room that is added around a picture and painted with it."""

    left: int = param(0, label="Left", infotext="Extend left", ge=0, le=8192, slider=(0, 1024), step=8)
    right: int = param(0, label="Right", infotext="Extend right", ge=0, le=8192, slider=(0, 1024), step=8)
    top: int = param(0, label="Top", infotext="Extend top", ge=0, le=8192, slider=(0, 1024), step=8)
    bottom: int = param(0, label="Bottom", infotext="Extend bottom", ge=0, le=8192, slider=(0, 1024), step=8)
    overlap: int = param(16, label="Overlap", infotext="Extend overlap", ge=0, le=1024, slider=(0, 128), step=4)
    """How far the repainted part reaches into the picture on sides where room is added, pixels."""

    def around(self, size: Size) -> Size:
        """Return the size of the extended picture."""
        return Size(width=size.width + self.left + self.right, height=size.height + self.top + self.bottom)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskSpec:
    """Which part of the picture is repainted."""

    image: ImageRef | None = None
    """White is repainted; where its transparency varies, what is opaque is repainted. Only None with `extend`."""
    extend: ExtendSpec | None = None
    """Add room around the picture, which has the size of the request, and repaint that too; always works on the whole."""
    blur_x: int = param(4, label="Mask blur X", api="mask_blur_x", ge=0, le=1024, slider=(0, 64), step=1)
    blur_y: int = param(4, label="Mask blur Y", api="mask_blur_y", ge=0, le=1024, slider=(0, 64), step=1)
    rounded: bool = param(True, label="Round mask", api="mask_round")
    """Repaint each pixel wholly or not at all."""
    fill: int = param(1, label="Masked content", api="inpainting_fill", ge=0, le=3, elem_id="_inpainting_fill")
    """What the run starts from under the mask: 0 blurred surroundings, 1 the picture, 2 noise, 3 nothing."""
    only_masked: bool = param(False, label="Inpaint area", api="inpaint_full_res", elem_id="_inpaint_full_res")
    """Work on the surroundings of the mask at the full size of the request, then put them back."""
    padding: int = param(
        32, label="Only masked padding, pixels", api="inpaint_full_res_padding", ge=0, le=8192, slider=(0, 256), step=4,
        elem_id="_inpaint_full_res_padding",
    )  # fmt: skip
    invert: int = param(0, label="Mask mode", api="inpainting_mask_invert", ge=0, le=1, elem_id="_mask_mode")
    """1 repaints what is not masked."""
    latent: ImageRef | None = None
    """Where the latent is repainted and filled, when that is not where the picture shows what was painted."""
    soft: SoftSpec | None = None
    """Repaint grey parts by a share; `rounded` then does not matter."""

    @property
    def binary(self) -> bool:
        """Whether each pixel is repainted wholly or not at all."""
        return self.rounded and self.soft is None


@dataclass(frozen=True, slots=True, kw_only=True)
class HiresSpec:
    """A second pass over an enlarged first picture."""

    denoising_strength: float = param(
        0.7, label="Denoising strength", infotext="Denoising strength", ge=0, le=1, slider=(0, 1), step=0.01,
        elem_id="_denoising_strength",
    )  # fmt: skip
    upscaler: str | None = param(
        None, label="Upscaler", api="hr_upscaler", infotext="Hires upscaler", choices="hires_upscalers",
        elem_id="_hr_upscaler",
    )  # fmt: skip
    """None enlarges the latent, like Latent, and is not told."""
    steps: int = param(
        0, label="Hires steps", api="hr_second_pass_steps", infotext="Hires steps", ge=0, le=500, slider=(0, 150),
        step=1, elem_id="_hires_steps",
    )  # fmt: skip
    """0 takes as many as the first pass."""
    scale: float = param(
        2.0, label="Upscale by", api="hr_scale", infotext="Hires upscale", ge=0.01, le=64, slider=(1, 4), step=0.05,
        elem_id="_hr_scale",
    )  # fmt: skip
    resize_x: int = param(
        0, label="Resize width to", api="hr_resize_x", ge=0, le=8192, slider=(0, 2048), step=8, elem_id="_hr_resize_x"
    )
    resize_y: int = param(
        0, label="Resize height to", api="hr_resize_y", ge=0, le=8192, slider=(0, 2048), step=8, elem_id="_hr_resize_y"
    )
    checkpoint: str | None = param(
        None, label="Checkpoint", api="hr_checkpoint_name", infotext="Hires checkpoint", elem_id="hr_checkpoint"
    )
    sampler: str | None = param(
        None, label="Hires sampling method", api="hr_sampler_name", infotext="Hires sampler", choices="samplers",
        elem_id="hr_sampler",
    )  # fmt: skip
    scheduler: str | None = param(
        None, label="Hires schedule type", api="hr_scheduler", infotext="Hires schedule type", choices="schedulers",
        elem_id="hr_scheduler",
    )  # fmt: skip
    cfg_scale: float = param(
        0.0, label="Hires CFG Scale", api="hr_cfg", infotext="Hires CFG Scale", ge=-1000, le=1000, slider=(0, 30),
        step=0.5, elem_id="_hr_cfg", help="0 takes that of the first pass.",
    )  # fmt: skip
    """0 takes that of the first pass."""
    prompt: str = param("", label="Hires prompt", api="hr_prompt", infotext="Hires prompt", elem_id="hires_prompt")
    """Empty means that of the first pass."""
    negative_prompt: str = param(
        "", label="Hires negative prompt", api="hr_negative_prompt", infotext="Hires negative prompt",
        elem_id="hires_neg_prompt",
    )  # fmt: skip
    first_image: ImageRef | None = None
    """Enlarge this picture, of the size of the request, instead of making one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerSpec:
    """Another checkpoint that finishes what the first one began."""

    checkpoint: str = param(label="Checkpoint", api="refiner_checkpoint", infotext="Refiner", elem_id="_checkpoint")
    switch_at: float | None = param(
        None, label="Switch at", api="refiner_switch_at", infotext="Refiner switch at", ge=0, le=1, slider=(0.01, 1),
        step=0.01, elem_id="_switch_at",
    )  # fmt: skip
    """Fraction of the run; None switches at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSpec:
    """A run for every picture of a folder. Folders are inside the data folder or allowed on the command line."""

    input: str = param("", label="Input directory", elem_id="_batch_input_dir")
    output: str = param("", label="Output directory", elem_id="_batch_output_dir")
    """Results get the names of their pictures here, and a picture that has its results is left out. Empty saves results
    as other runs do."""
    masks: str = param("", label="Inpaint batch mask directory (required for inpaint batch processing only)",
                       elem_id="_batch_inpaint_mask_dir")  # fmt: skip
    """One mask for all pictures, or masks of the same names; pictures without one are left out."""
    use_png_info: bool = param(False, label="Append png info to prompts", elem_id="_batch_use_png_info")
    png_info: str = param("", label="PNG info directory", elem_id="_batch_png_info_dir")
    """Pictures of the same names whose infotext is used; those that are missing there speak for themselves."""
    png_info_props: tuple[str, ...] = param(("Prompt",), label="Parameters to take from png info",
                                            elem_id="_batch_png_info_props")  # fmt: skip
    """Out of `PNG_INFO_PROPS`."""
    scale: float | None = param(None, label="Scale", ge=0.01, le=64)
    """Makes each result so many times as large as its picture; None gives all of them the size of the request."""


PNG_INFO_PROPS = ("Prompt", "Negative prompt", "Seed", "CFG scale", "Sampler", "Steps", "Model hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptCall:
    """A script that makes several runs of one request."""

    name: str
    """A1111's title, in any case."""
    args: tuple[Any, ...] = ()
    """In A1111's order; `domain/scripts.py` knows what they mean."""


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
    init: InitSpec | None = None
    mask: MaskSpec | None = None
    hires: HiresSpec | None = None
    refiner: RefinerSpec | None = None
    extra_networks: bool = True
    """Whether tags in prompts switch networks on. They are cut out in any case."""
    script: ScriptCall | None = None
    scripts: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    """Extensions' scripts that are switched on: id -> values of their parameters by name."""
    folder: FolderSpec | None = None
    post: PostSpec = field(default_factory=PostSpec)
    overrides: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Settings that hold for this request only, by A1111's flat names."""
    output: OutputSpec = field(default_factory=OutputSpec)

    @property
    def run_size(self) -> Size:
        """Size of what the first pass makes."""
        return self.mask.extend.around(self.size) if self.mask and self.mask.extend else self.size
