"""Turn a request and the settings into resolved options, each number decided once."""

from modules.domain.plan import (
    CodingOptions,
    GuidanceOptions,
    ImageOptions,
    NoiseOptions,
    SamplerOptions,
    ScheduleOptions,
    TextOptions,
)
from modules.domain.request import Generation
from modules.sampling.catalogue import Sampler
from modules.settings.snapshot import Snapshot


def sampler_options(request: Generation, settings: Snapshot, sampler: Sampler) -> SamplerOptions:
    """Decide eta, churn and solver parameters.

    The request's eta comes before the setting. With churn and its noise it is the other way round, as it always was: a
    setting that was changed is what runs and what the infotext tells.
    """
    asked, default = request.sampling, settings.sampler
    s_tmax = default.s_tmax or _either(asked.s_tmax, 0.0)
    return SamplerOptions(
        eta=_either(asked.eta, getattr(default, sampler.eta_setting)),
        s_churn=default.s_churn or _either(asked.s_churn, 0.0),
        s_tmin=default.s_tmin or _either(asked.s_tmin, 0.0),
        s_tmax=s_tmax or float("inf"),
        s_noise=default.s_noise if default.s_noise != 1 else _either(asked.s_noise, 1.0),
        uni_pc_variant=default.uni_pc_variant,
        uni_pc_skip_type=default.uni_pc_skip_type,
        uni_pc_order=default.uni_pc_order,
        uni_pc_lower_order_final=default.uni_pc_lower_order_final,
    )


def schedule_options(settings: Snapshot) -> ScheduleOptions:
    """Decide the numbers of the noise schedule; all of them are settings."""
    sampler, compatibility = settings.sampler, settings.compatibility
    return ScheduleOptions(
        sigma_min=sampler.sigma_min,
        sigma_max=sampler.sigma_max,
        rho=sampler.rho,
        old_karras_range=compatibility.use_old_karras_scheduler_sigmas,
        discard_penultimate=sampler.always_discard_next_to_last_sigma,
        beta_alpha=sampler.beta_dist_alpha,
        beta_beta=sampler.beta_dist_beta,
        sgm_noise_multiplier=sampler.sgm_noise_multiplier,
        zero_terminal_snr=sampler.sd_noise_schedule == "Zero Terminal SNR",
        downcast_alphas=compatibility.use_downcasted_alpha_bar,
        quantize_timesteps=settings.sd.enable_quantization,
    )


def text_options(settings: Snapshot) -> TextOptions:
    """Decide how prompts are read and encoded."""
    return TextOptions(
        emphasis=settings.sd.emphasis,
        old_emphasis=settings.compatibility.use_old_emphasis_implementation,
        clip_skip=settings.sd.CLIP_stop_at_last_layers,
        comma_backtrack=settings.sd.comma_padding_backtrack,
        old_scheduling=settings.compatibility.use_old_scheduling,
        clip_l_skip=settings.sd.sdxl_clip_l_skip,
        crop=(settings.sdxl.sdxl_crop_top, settings.sdxl.sdxl_crop_left),
        aesthetic_scores=(
            settings.sdxl.sdxl_refiner_high_aesthetic_score,
            settings.sdxl.sdxl_refiner_low_aesthetic_score,
        ),
    )


def guidance_options(request: Generation, settings: Snapshot) -> GuidanceOptions:
    """Decide guidance: the request's scale, and the settings that trade accuracy for speed."""
    fast = settings.optimizations
    return GuidanceOptions(
        cfg_scale=request.guidance.cfg_scale,
        s_min_uncond=_either(request.guidance.s_min_uncond, fast.s_min_uncond),
        s_min_uncond_all=fast.s_min_uncond_all,
        skip_early=settings.sampler.skip_early_cond,
        rescale=settings.sampler.cfg_rescale,
        batch_cond_uncond=fast.batch_cond_uncond,
        pad_cond_uncond=fast.pad_cond_uncond,
        pad_cond_uncond_v0=fast.pad_cond_uncond_v0,
    )


def merge_ratio(request: Generation, settings: Snapshot, *, hires: bool = False) -> float:
    """Decide the share of merged tokens: that of the pass or of runs on pictures where it is set, else the general one.

    A general one that the request brings itself wins over that of runs on pictures.
    """
    fast = settings.optimizations
    if request.init is None:
        return (fast.token_merging_ratio_hr if hires else 0.0) or fast.token_merging_ratio
    brought = fast.token_merging_ratio if "token_merging_ratio" in request.overrides else 0.0
    return brought or fast.token_merging_ratio_img2img or fast.token_merging_ratio


def coding_options(settings: Snapshot) -> CodingOptions:
    """Decide what encodes and decodes pictures."""
    return CodingOptions(encode=settings.vae.sd_vae_encode_method, decode=settings.vae.sd_vae_decode_method)


def noise_options(settings: Snapshot) -> NoiseOptions:
    """Decide where random numbers come from."""
    return NoiseOptions(
        source=settings.sd.randn_source,
        eta_seed_delta=settings.sampler.eta_noise_seed_delta,
        sde_batch_determinism=not settings.compatibility.no_dpmpp_sde_batch_determinism,
    )


def image_options(request: Generation, settings: Snapshot) -> ImageOptions:
    """Decide how runs on a picture begin and end: the request's noise multiplier, and settings."""
    chosen, asked = settings.img2img, request.init.noise_multiplier if request.init else None
    saving = settings.saving
    return ImageOptions(
        fix_steps=chosen.img2img_fix_steps,
        noise_multiplier=_either(asked, chosen.initial_noise_multiplier),
        extra_noise=chosen.img2img_extra_noise,
        background=chosen.img2img_background_color,
        color_correction=chosen.img2img_color_correction,
        overlay=chosen.overlay_inpaint,
        mask_weight=chosen.inpainting_mask_weight,
        return_mask=chosen.return_mask,
        return_mask_composite=chosen.return_mask_composite,
        save_mask=saving.save_mask,
        save_mask_composite=saving.save_mask_composite,
        save_uncorrected=saving.save_images_before_color_correction,
        save_first_pass=saving.save_images_before_highres_fix,
        save_init=saving.save_init_img,
    )


def _either(asked: float | None, setting: float) -> float:
    return setting if asked is None else asked
