"""Keys of the infotext that follow the core ones: what differs from the defaults and shaped the picture."""

from collections.abc import Iterable

from modules.domain.plan import (
    CodingOptions,
    ImageOptions,
    ImagePlan,
    ResolvedModel,
    SamplerOptions,
    ScheduleOptions,
    TextOptions,
)
from modules.domain.request import Generation
from modules.prompting.schedule import timeline
from modules.sampling.book import Resolved
from modules.sampling.catalogue import Sampler
from modules.settings.snapshot import Snapshot

Facts = dict[str, str | int | float | bool]


def of_sampler(sampler: Sampler, options: SamplerOptions, settings: Snapshot) -> Facts:
    """Tell eta and churn where the sampler uses them and they differ from the default.

    Churn given by the request alone is not told: A1111's reader would turn it into a setting that outlives the picture.
    """
    found = Facts()
    key, neutral = ("Eta DDIM", 0.0) if sampler.eta_setting == "eta_ddim" else ("Eta", 1.0)
    if "eta" in sampler.takes and options.eta != neutral:
        found[key] = options.eta
    told = settings.sampler
    churn = {
        "s_churn": ("Sigma churn", told.s_churn, 0.0),
        "s_tmin": ("Sigma tmin", told.s_tmin, 0.0),
        "s_tmax": ("Sigma tmax", told.s_tmax, 0.0),
        "s_noise": ("Sigma noise", told.s_noise, 1.0),
    }
    found.update(
        {key: value for name, (key, value, plain) in churn.items() if name in sampler.takes and value != plain}
    )
    return found


def of_schedule(chosen: Resolved, options: ScheduleOptions) -> Facts:
    """Tell overridden noise levels."""
    found = Facts()
    if options.zero_terminal_snr:
        found["Noise Schedule"] = "Zero Terminal SNR"
    if options.downcast_alphas:
        found["Downcast alphas_cumprod"] = True
    if chosen.sampler.timesteps:
        return found
    if options.discard_penultimate and not chosen.sampler.discard_penultimate:
        found["Discard penultimate sigma"] = True
    ranged = {"Schedule min sigma": options.sigma_min, "Schedule max sigma": options.sigma_max}
    found.update({key: value for key, value in ranged.items() if value})
    if options.rho and chosen.runs.default_rho not in (None, options.rho):
        found["Schedule rho"] = options.rho
    if chosen.runs.name == "beta":
        found["Beta schedule alpha"], found["Beta schedule beta"] = options.beta_alpha, options.beta_beta
    if options.sgm_noise_multiplier:
        found["SGM noise multiplier"] = True
    return found


def of_prompts(images: Iterable[ImagePlan], options: TextOptions, steps: int) -> Facts:
    """Tell how prompts were read where another way would have read them differently."""
    texts = {text for image in images for text in (image.prompt, image.negative_prompt)}
    found = Facts()
    if options.emphasis != "Original" and any(mark in text for text in texts for mark in "(["):
        found["Emphasis"] = options.emphasis
    if options.old_scheduling and any(timeline(text, steps, old=True) != timeline(text, steps) for text in texts):
        found["Old prompt editing timelines"] = True
    return found


def of_image(request: Generation, options: ImageOptions) -> Facts:
    """Tell how noise was changed for a run on a picture."""
    return (
        Facts({"Noise multiplier": options.noise_multiplier})
        if request.init and options.noise_multiplier != 1
        else Facts()
    )


def of_model(model: ResolvedModel) -> Facts:
    """Tell what was put beside the checkpoint and what somebody said of it."""
    found = Facts({f"Module {number}": path.stem for number, path in enumerate(model.modules, start=1)})
    if model.prediction:
        found["Prediction type"] = model.prediction
    return found


def of_coding(options: CodingOptions, *, encodes: bool) -> Facts:
    """Tell what stood in for the VAE.

    Args:
        options: what is used.
        encodes: whether the run turns a picture into a latent.
    """
    found = Facts()
    if encodes and options.encode != "Full":
        found["VAE Encoder"] = options.encode
    if options.decode != "Full":
        found["VAE Decoder"] = options.decode
    return found
