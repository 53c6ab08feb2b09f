"""`modules.sd_samplers` and its siblings: lists of samplers and schedules, and the classes that extensions patch."""

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

from modules.compat.host import host

SamplerDataTuple = namedtuple("SamplerData", ["name", "constructor", "aliases", "options"])


class SamplerData(SamplerDataTuple):
    """One line of the list of samplers."""

    def total_steps(self, steps: int) -> int:
        """Return how often the network is called."""
        return steps * 2 if self.options.get("second_order") else steps


@dataclass
class Scheduler:
    """One line of the list of schedules."""

    name: str
    label: str
    function: Any = None
    default_rho: float = -1
    need_inner_model: bool = False
    aliases: list[str] | None = None


approximation_indexes = {"Full": 0, "Approx NN": 1, "Approx cheap": 2, "TAESD": 3}


class InterruptedException(BaseException):
    """Ends sampling."""


class Sampler:
    """Base of what walks from noise to a picture. The walk itself is the pipeline's; extensions patch methods here."""

    def __init__(self, funcname: Any = None) -> None:
        self.funcname, self.func = funcname, funcname
        self.p: Any = None
        self.eta: float | None = None
        self.last_latent: Any = None
        self.stop_at: int | None = None
        self.conditioning_key = "crossattn"

    def callback_state(self, d: dict[str, Any]) -> None:
        """Hear of each step; `d` has x, i, sigma, sigma_hat and denoised."""

    def launch_sampling(self, steps: int, func: Any) -> Any:
        """Run a walk."""
        return func()

    def number_of_needed_noises(self, p: Any) -> int:
        """Return how many noises a run draws."""
        return p.steps

    def initialize(self, p: Any) -> dict[str, Any]:
        """Take the numbers of a job."""
        self.p = p
        return {}


class KDiffusionSampler(Sampler):
    """A sampler over noise levels."""

    def __init__(self, funcname: Any = None, sd_model: Any = None, options: Any = None) -> None:
        super().__init__(funcname)
        self.model_wrap, self.model_wrap_cfg = sd_model, None
        self.options = options or {}
        self.config: Any = None

    def callback_state(self, d: dict[str, Any]) -> None:
        """Hear of each step; `d` has x, i, sigma, sigma_hat and denoised."""


class CFGDenoiser:
    """Guidance. What it computes is the pipeline's; the callbacks of each step see and change it."""

    def __init__(self, sampler: Any) -> None:
        self.sampler, self.p = sampler, getattr(sampler, "p", None)
        self.step, self.total_steps, self.steps = 0, None, None
        self.mask = self.nmask = self.init_latent = None

    @property
    def inner_model(self) -> Any:
        """The model."""
        from modules.compat.sd_model import sd_model_now

        return sd_model_now()

    def combine_denoised(self, x_out: Any, conds_list: Any, uncond: Any, cond_scale: float) -> Any:
        """Push each picture's negative estimate along its weighted prompts."""
        denoised = x_out[-uncond.shape[0] :].clone()
        for place, parts in enumerate(conds_list):
            for row, weight in parts:
                denoised[place] += (x_out[row] - x_out[-uncond.shape[0] + place]) * (weight * cond_scale)
        return denoised


class CFGDenoiserKDiffusion(CFGDenoiser):
    """Guidance over noise levels."""


def sampler_list() -> list[Any]:
    """Return all samplers; the list is kept, so that what extensions append stays."""
    bound = host()
    if not bound.samplers:
        for one in bound.services().samplers():
            bound.samplers.append(SamplerData(one.name, KDiffusionSampler, list(one.aliases), dict(one.options)))
    return bound.samplers


def scheduler_list() -> list[Scheduler]:
    """Return all schedules; the list is kept, so that what extensions append stays."""
    bound = host()
    if not bound.schedulers:
        for one in bound.services().schedulers():
            aliases = list(one.aliases) if one.aliases else None
            bound.schedulers.append(
                Scheduler(one.name, one.label, None, one.default_rho, one.need_inner_model, aliases)
            )
    return bound.schedulers


def find_sampler_config(name: str | None) -> Any:
    """Return the line of a sampler, of the first one without a name."""
    known = sampler_list()
    return next((one for one in known if one.name == name), known[0])


def create_sampler(name: str, model: Any) -> Any:
    """Make a sampler object for extensions that hold one."""
    config = find_sampler_config(name)
    made: Any = (
        config.constructor(config.name, model) if callable(config.constructor) else KDiffusionSampler(name, model)
    )
    made.config = config
    return made


def visible_samplers() -> list[Any]:
    """Return the samplers that the page offers."""
    hidden = set(host().options.hide_samplers)
    return [one for one in sampler_list() if one.name not in hidden]


def visible_sampler_names() -> list[str]:
    """Return the names of the samplers that the page offers."""
    return [one.name for one in visible_samplers()]


def get_sampler_and_scheduler(sampler_name: str | None, scheduler_name: str | None) -> tuple[str, str]:
    """Take a combined name apart."""
    found = host().services().choose_sampler(sampler_name or "", scheduler_name or "Automatic")
    return found.sampler, found.scheduler


def get_sampler_from_infotext(d: dict[str, Any]) -> str:
    """Return the sampler that a parameters text means."""
    return get_sampler_and_scheduler(d.get("Sampler"), d.get("Schedule type"))[0]


def images_tensor_to_samples(image: Any, approximation: Any = None, model: Any = None) -> Any:
    """Encode pictures [B, 3, H, W] in 0..1 to latents."""
    from modules.compat.sd_model import sd_model_now

    found = model or sd_model_now()
    return found.get_first_stage_encoding(found.encode_first_stage(image * 2 - 1))


def samples_to_images_tensor(sample: Any, approximation: Any = None, model: Any = None) -> Any:
    """Decode latents to pictures [B, 3, H, W] of about -1..1."""
    from modules.compat.sd_model import sd_model_now

    return (model or sd_model_now()).decode_first_stage(sample)


def single_sample_to_image(sample: Any, approximation: Any = None) -> Any:
    """Decode one latent to a picture."""
    from modules.pipeline.pixels import to_pil, to_unit

    return to_pil(to_unit(samples_to_images_tensor(sample[None])[0]))


def setup_img2img_steps(p: Any, steps: int | None = None) -> tuple[int, int]:
    """Return how many steps a schedule has, and with which one a run on pictures begins."""
    from modules.sampling.start import image_steps

    return image_steps(steps or p.steps, p.denoising_strength, fix_steps=host().options.img2img_fix_steps)
