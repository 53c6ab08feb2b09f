"""A1111's `p`: one mutable object with everything about a job."""

import random
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from modules.domain.request import MAX_SEED

opt_C = 4  # noqa: N816 - A1111's names
opt_f = 8


@dataclass(repr=False, eq=False)
class StableDiffusionProcessing:
    """A job. Extensions assign to everything here, add attributes of their own, and clone it with `copy`."""

    sd_model: Any = None
    outpath_samples: str | None = None
    outpath_grids: str | None = None
    prompt: Any = ""
    prompt_for_display: str | None = None
    negative_prompt: Any = ""
    styles: list[str] | None = None
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    seed_enable_extras: bool = True
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 50
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    extra_generation_params: dict[str, Any] | None = None
    overlay_images: list[Any] | None = None
    eta: float | None = None
    do_not_reload_embeddings: bool = False
    denoising_strength: float | None = None
    ddim_discretize: str | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: dict[str, Any] | None = None
    override_settings_restore_afterwards: bool = True
    sampler_index: Any = None
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    token_merging_ratio: float = 0
    token_merging_ratio_hr: float = 0
    disable_extra_networks: bool = False
    firstpass_image: Any = None
    scripts_value: Any = field(default=None, init=False)
    script_args_value: Any = field(default=None, init=False)
    scripts_setup_complete: bool = field(default=False, init=False)
    comments: dict[str, int] | None = None
    sampler: Any = field(default=None, init=False)
    is_using_inpainting_conditioning: bool = field(default=False, init=False)
    paste_to: Any = field(default=None, init=False)
    is_hr_pass: bool = field(default=False, init=False)
    c: Any = field(default=None, init=False)
    uc: Any = field(default=None, init=False)
    rng: Any = field(default=None, init=False)
    step_multiplier: int = field(default=1, init=False)
    color_corrections: list[Any] | None = field(default=None, init=False)
    all_prompts: list[str] | None = field(default=None, init=False)
    all_negative_prompts: list[str] | None = field(default=None, init=False)
    all_seeds: list[int] | None = field(default=None, init=False)
    all_subseeds: list[int] | None = field(default=None, init=False)
    iteration: int = field(default=0, init=False)
    main_prompt: str | None = field(default=None, init=False)
    main_negative_prompt: str | None = field(default=None, init=False)
    prompts: list[str] | None = field(default=None, init=False)
    negative_prompts: list[str] | None = field(default=None, init=False)
    seeds: list[int] | None = field(default=None, init=False)
    subseeds: list[int] | None = field(default=None, init=False)
    extra_network_data: dict[str, Any] | None = field(default=None, init=False)
    user: str | None = field(default=None, init=False)
    sd_model_name: str | None = field(default=None, init=False)
    sd_model_hash: str | None = field(default=None, init=False)
    sd_vae_name: str | None = field(default=None, init=False)
    sd_vae_hash: str | None = field(default=None, init=False)
    is_api: bool = field(default=False, init=False)
    latents_after_sampling: list[Any] = field(default_factory=list, init=False)
    pixels_after_sampling: list[Any] = field(default_factory=list, init=False)
    batch_index: int = field(default=0, init=False)
    sampler_noise_scheduler_override: Any = field(default=None, init=False)

    cached_c: ClassVar[list[Any]] = [None, None]
    cached_uc: ClassVar[list[Any]] = [None, None]

    def __post_init__(self) -> None:
        from modules.compat.sd_model import sd_model_now

        self.sd_model = self.sd_model if self.sd_model is not None else sd_model_now()
        self.styles = list(self.styles or ())
        self.override_settings = {} if self.override_settings is None else self.override_settings
        self.extra_generation_params = {} if self.extra_generation_params is None else self.extra_generation_params
        self.comments = {}
        if isinstance(self.sampler_index, str) and self.sampler_name is None:
            self.sampler_name = self.sampler_index

    @property
    def scripts(self) -> Any:
        """The runner of the tab; None for a run without always-on scripts."""
        return self.scripts_value

    @scripts.setter
    def scripts(self, value: Any) -> None:
        self.scripts_value = value
        self._setup_when_ready()

    @property
    def script_args(self) -> Any:
        """The values of all controls in one list."""
        return self.script_args_value

    @script_args.setter
    def script_args(self, value: Any) -> None:
        self.script_args_value = value
        self._setup_when_ready()

    def _setup_when_ready(self) -> None:
        if self.scripts_value and self.script_args_value and not self.scripts_setup_complete:
            self.setup_scripts()

    def setup_scripts(self) -> None:
        """Tell the scripts that there is a job, once."""
        self.scripts_setup_complete = True
        if self.scripts_value is not None:
            self.scripts_value.setup_scrips(self, is_ui=not self.is_api)

    def comment(self, text: str) -> None:
        """Say something about the result."""
        from modules.compat.host import current_job

        (self.comments if self.comments is not None else {})[text] = 1
        job = current_job()
        if job is not None:
            job.ctx.note(text)

    def clear_prompt_cache(self) -> None:
        """Forget encoded prompts; they are kept by content here."""
        vars(self).update(cached_c=[None, None], cached_uc=[None, None])

    def init(self, all_prompts: Any, all_seeds: Any, all_subseeds: Any) -> None:
        """Be told what is decided; a run on pictures takes what it starts from."""
        from modules.compat.host import own_job
        from modules.compat.sampling import open_pictures

        job = own_job()
        if job is not None and job.p is self and job.moment.opening is not None:
            open_pictures(self, job.moment.opening)

    def sample(self, conditioning: Any, unconditional_conditioning: Any, seeds: Any, subseeds: Any, subseed_strength: Any, prompts: Any) -> Any:  # fmt: skip
        """Sample one batch, in one pass or two; replaced by some extensions.

        Args:
            conditioning: encoded prompts, as in `p.c`.
            unconditional_conditioning: encoded negative prompts, as in `p.uc`.
            seeds: of the batch.
            subseeds: of the batch.
            subseed_strength: of the job.
            prompts: of the batch.

        Returns:
            Latents, [B, C, h, w].

        Raises:
            RuntimeError: no run is at this point.
        """
        from modules.compat.sampling import sample_as_planned

        return sample_as_planned(self, conditioning, unconditional_conditioning)

    def close(self) -> None:
        """Let go of what belongs to one run."""
        self.sampler = self.c = self.uc = None

    def save_samples(self) -> bool:
        """Tell whether pictures are written to disk."""
        from modules.compat.host import host

        return bool(host().options.samples_save) and not self.do_not_save_samples

    def get_token_merging_ratio(self, for_hr: bool = False) -> float:
        """Return the share of tokens that is merged."""
        from modules.compat.host import host

        if for_hr:
            return self.token_merging_ratio_hr or host().options.token_merging_ratio_hr or self.token_merging_ratio
        return self.token_merging_ratio or host().options.token_merging_ratio

    def txt2img_image_conditioning(self, x: Any, width: int | None = None, height: int | None = None) -> Any:
        """Return what the network is told of a picture; for most models that is nothing, [B, 5, 1, 1]."""
        from modules.compat.job_conds import image_conditioning

        return image_conditioning(self, x)

    def img2img_image_conditioning(
        self, source_image: Any, latent_image: Any, image_mask: Any = None, round_image_mask: bool = True
    ) -> Any:
        """Return what the network is told of a picture; for most models that is nothing, [B, 5, 1, 1]."""
        from modules.compat.job_conds import seen_of_picture

        return seen_of_picture(self, source_image, latent_image, image_mask)

    def setup_prompts(self) -> None:
        """Make one prompt per picture; prompts are decided before `process` here."""

    def setup_conds(self) -> None:
        """Encode the prompts of the batch into `c` and `uc`."""
        from modules.compat.job_conds import set_up_conds

        set_up_conds(self)

    def parse_extra_network_prompts(self) -> None:
        """Cut the tags out of the prompts of the batch."""
        from modules.compat.extra_networks import parse_prompts

        self.prompts, self.extra_network_data = parse_prompts(self.prompts or [])


@dataclass(repr=False, eq=False)
class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    """A job from text."""

    enable_hr: bool = False
    denoising_strength: float | None = 0.75
    firstphase_width: int = 0
    firstphase_height: int = 0
    hr_scale: float = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""
    force_task_id: str | None = None
    hr_upscale_to_x: int = field(default=0, init=False)
    hr_upscale_to_y: int = field(default=0, init=False)
    hr_checkpoint_info: Any = field(default=None, init=False)
    all_hr_prompts: list[str] | None = field(default=None, init=False)
    all_hr_negative_prompts: list[str] | None = field(default=None, init=False)
    hr_prompts: list[str] | None = field(default=None, init=False)
    hr_negative_prompts: list[str] | None = field(default=None, init=False)
    hr_c: Any = field(default=None, init=False)
    hr_uc: Any = field(default=None, init=False)

    cached_hr_c: ClassVar[list[Any]] = [None, None]
    cached_hr_uc: ClassVar[list[Any]] = [None, None]

    @property
    def firstpass_steps(self) -> int:
        """Steps of the first pass."""
        return self.steps

    def sample_hr_pass(self, samples: Any, decoded_samples: Any, seeds: Any, subseeds: Any, subseed_strength: Any, prompts: Any) -> Any:  # fmt: skip
        """Sample the hires pass over what the first one made; replaced by some extensions.

        Returns:
            Latents, [B, C, h, w].

        Raises:
            RuntimeError: no run is at this point.
        """
        from modules.compat.sampling import hires_as_planned

        return hires_as_planned(self)

    def calculate_hr_conds(self) -> None:
        """Encode the prompts of the hires pass into `hr_c` and `hr_uc`."""
        from modules.compat.job_conds import set_up_hires_conds

        set_up_hires_conds(self)


@dataclass(repr=False, eq=False)
class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    """A job on pictures."""

    init_images: list[Any] | None = None
    resize_mode: int = 0
    denoising_strength: float | None = 0.75
    image_cfg_scale: float | None = None
    mask: Any = None
    mask_blur_x: int = 4
    mask_blur_y: int = 4
    mask_blur: int | None = None
    mask_round: bool = True
    inpainting_fill: int = 0
    inpaint_full_res: bool = True
    inpaint_full_res_padding: int = 0
    inpainting_mask_invert: int = 0
    initial_noise_multiplier: float | None = None
    latent_mask: Any = None
    force_task_id: str | None = None
    image_mask: Any = field(default=None, init=False)
    nmask: Any = field(default=None, init=False)
    image_conditioning: Any = field(default=None, init=False)
    init_img_hash: str | None = field(default=None, init=False)
    mask_for_overlay: Any = field(default=None, init=False)
    init_latent: Any = field(default=None, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.image_mask, self.mask = self.mask, None

    def get_token_merging_ratio(self, for_hr: bool = False) -> float:
        """Return the share of tokens that is merged on pictures."""
        from modules.compat.host import host

        options = host().options
        return self.token_merging_ratio or options.token_merging_ratio_img2img or options.token_merging_ratio


def _get_mask_blur(self: StableDiffusionProcessingImg2Img) -> int | None:
    return self.mask_blur_x if self.mask_blur_x == self.mask_blur_y else None


def _set_mask_blur(self: StableDiffusionProcessingImg2Img, value: Any) -> None:
    if isinstance(value, int | float):
        self.mask_blur_x = self.mask_blur_y = int(value)


# After the dataclass is made, so that the constructor takes `mask_blur` too.
StableDiffusionProcessingImg2Img.mask_blur = property(_get_mask_blur, _set_mask_blur)  # pyright: ignore


def field_defaults(cls: type[StableDiffusionProcessing]) -> dict[str, Any]:
    """Return what the fields of a job hold when nothing is given."""
    from dataclasses import MISSING

    return {item.name: item.default for item in fields(cls) if item.default is not MISSING}


def get_fixed_seed(seed: Any) -> int:
    """Return a seed; a random one for -1, None and empty texts."""
    if seed in (None, "", -1, "-1"):
        return int(random.SystemRandom().randrange(MAX_SEED + 1))
    try:
        return get_fixed_seed(-1) if int(seed) == -1 else int(seed)
    except (TypeError, ValueError):
        return get_fixed_seed(-1)


def fix_seed(p: StableDiffusionProcessing) -> None:
    """Draw the seeds of a job that are random."""
    p.seed, p.subseed = get_fixed_seed(p.seed), get_fixed_seed(p.subseed)
