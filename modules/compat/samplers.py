"""`modules.sd_samplers` and its siblings: lists of samplers and schedules, and the classes that extensions patch."""

import math
from collections import namedtuple
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from modules.compat.cfg_denoiser import CFGDenoiser, CFGDenoiserKDiffusion
from modules.compat.host import facade, host, own_job
from modules.compat.sampling import walk_with

__all__ = ["CFGDenoiser", "CFGDenoiserKDiffusion"]

SamplerDataTuple = namedtuple("SamplerData", ["name", "constructor", "aliases", "options"])


class SamplerData(SamplerDataTuple):
    """One line of the list of samplers."""

    def total_steps(self, steps: int) -> int:
        """Return how often the network is called."""
        return steps * 2 if self.options.get("second_order") else steps


approximation_indexes = {"Full": 0, "Approx NN": 1, "Approx cheap": 2, "TAESD": 3}


class InterruptedException(BaseException):
    """Ends sampling."""


class Sampler:
    """Base of what walks from noise to a picture. The loop over pictures is the pipeline's."""

    def __init__(self, funcname: Any = None) -> None:
        self.funcname = funcname
        self.func: Any = funcname
        self.extra_params: list[str] = []
        self.p: Any = None
        self.config: Any = None
        self.eta: float | None = None
        self.s_min_uncond, self.s_churn, self.s_tmin, self.s_tmax, self.s_noise = 0.0, 0.0, 0.0, math.inf, 1.0
        self.eta_option_field, self.eta_infotext_field, self.eta_default = "eta_ancestral", "Eta", 1.0
        self.last_latent: Any = None
        self.sampler_extra_args: dict[str, Any] = {}
        self.sampler_noises: Any = None
        self.stop_at: int | None = None
        self.conditioning_key = "crossattn"
        self.model_wrap: Any = None
        self.model_wrap_cfg: Any = None

    def callback_state(self, d: dict[str, Any]) -> None:
        """Hear of each step; `d` has x, i, sigma, sigma_hat and denoised."""

    def launch_sampling(self, steps: int, func: Any) -> Any:
        """Run a walk."""
        return func()

    def sample(self, p: Any, x: Any, conditioning: Any, unconditional_conditioning: Any, steps: Any = None, image_conditioning: Any = None) -> Any:  # fmt: skip
        """Walk from noise alone to a latent [B, C, h, w].

        Args:
            p: the job that runs.
            x: [B, C, h, w], unit noise; its size is that of the result.
            conditioning: encoded prompts, as in `p.c`.
            unconditional_conditioning: encoded negative prompts, as in `p.uc`.
            steps: how many; those of the job when left out.
            image_conditioning: what the network is told of a picture.
        """
        return walk_with(self, p, None, x, conditioning, unconditional_conditioning, steps, image_conditioning)

    def sample_img2img(self, p: Any, x: Any, noise: Any, conditioning: Any, unconditional_conditioning: Any, steps: Any = None, image_conditioning: Any = None) -> Any:  # fmt: skip
        """Walk from a clean latent x [B, C, h, w] with noise on it, as far as `p.denoising_strength` says."""
        return walk_with(self, p, x, noise, conditioning, unconditional_conditioning, steps, image_conditioning)

    def number_of_needed_noises(self, p: Any) -> int:
        """Return how many noises a run draws."""
        return p.steps

    def initialize(self, p: Any) -> dict[str, Any]:
        """Take the numbers of a job; returns those that the function is given besides the usual ones."""
        self.p = p
        return {}


class KDiffusionSampler(Sampler):
    """A sampler over noise levels.

    Args:
        funcname: a function in the form of `k_diffusion`, or the name of one in `k_diffusion.sampling`.
        sd_model: the model.
        options: of its line in the list.
    """

    def __init__(self, funcname: Any = None, sd_model: Any = None, options: Any = None) -> None:
        super().__init__(funcname)
        self.options = options or {}
        self.func = funcname if callable(funcname) else _function_named(funcname)
        self.extra_params = list(facade("sd_samplers_kdiffusion").sampler_extra_params.get(funcname, ()))
        self.model_wrap_cfg = CFGDenoiserKDiffusion(self)

    def walk_now(self, walk: Any, x: Any) -> Any:
        """Walk from a noised latent [B, C, h, w] to a clean one."""
        from modules.compat.walks import arguments

        inner, p = self.model_wrap_cfg, walk.p
        inner.begin(walk, p)
        self.model_wrap = inner.inner_model
        given = {**arguments(self, x, walk), **(self.initialize(p) or {})}
        job = own_job()
        # The sampler of a job hears of all its steps already.
        heard = _unheard if job is not None and getattr(job.moment, "sampler", None) is self else self.callback_state
        self.sampler_extra_args = inner.told(x)
        return self.launch_sampling(
            len(walk.sigmas) - 1,
            lambda: self.func(
                inner, x, extra_args=self.sampler_extra_args, disable=True, callback=partial(walk.callback, heard),
                **given,
            ),
        )  # fmt: skip


class OwnSamplerData(SamplerData):
    """A line of the list that is this program's own."""


def _unheard(_d: dict[str, Any]) -> None:
    """Leave a step to those who hear of all of them."""


def _function_named(name: Any) -> Any:
    """Return a function of `k_diffusion.sampling`; None where there is none of that name."""
    if not isinstance(name, str):
        return None
    from importlib import import_module

    return getattr(import_module("k_diffusion.sampling"), name, None)


def extra_params() -> dict[str, list[str]]:
    """Return name of a function -> which numbers of a job it takes, as extensions extend it."""
    from modules.sampling.catalogue import SAMPLERS

    churned = {one.name: [name for name in one.takes if name != "eta"] for one in SAMPLERS}
    return {name: names for name, names in churned.items() if names}


def sampler_list() -> list[Any]:
    """Return all samplers; the list is kept, so that what extensions append stays."""
    bound = host()
    if not bound.samplers:
        from modules.sampling.catalogue import SAMPLERS

        for one in SAMPLERS:
            make = partial(KDiffusionSampler, one.name)
            bound.samplers.append(OwnSamplerData(one.label, make, list(one.aliases), one.listing()))
    return bound.samplers


def replace_samplers(entries: Any) -> None:
    """Put others in the place of all samplers; this program's own stay usable."""
    sampler_list()[:] = list(entries)


def sampler_map() -> dict[str, Any]:
    """Return name -> line; kept, so that what extensions put in stays."""
    found = host().sampler_map
    found.update({one.name: one for one in sampler_list() if found.get(one.name) is not one})
    return found


def replace_sampler_map(entries: Any) -> None:
    """Put others in the place of the whole map."""
    known = dict(entries)
    host().sampler_map.clear()
    host().sampler_map.update(known)


def set_samplers() -> None:
    """Take note of a changed list; it is read anew each time anyway."""


def added_samplers() -> list[Any]:
    """Return those of extensions as samplers of this program."""
    from modules.compat.walks import as_sampler

    lines = {one.name: one for one in (*sampler_list(), *sampler_map().values()) if not isinstance(one, OwnSamplerData)}
    return native_forms("samplers", lines.values(), lambda line: as_sampler(line, partial(made_sampler, line)))


def native_forms(kind: str, entries: Iterable[Any], make: Callable[[Any], Any]) -> list[Any]:
    """Return the native forms of the entries of a list, the same ones each time; entries that left it are forgotten.

    Args:
        kind: names the list.
        entries: what extensions put into it.
        make: makes the native form of one.
    """
    known, made = host().made, dict[tuple[int, int], tuple[Any, Any, Any]]()
    for one in entries:
        call = getattr(one, "function", None)
        key = id(one), id(call)
        made[key] = known.get(kind, {}).get(key) or (one, call, make(one))
    known[kind] = made
    return [native for _, _, native in made.values()]


def made_sampler(config: Any) -> Any:
    """Make the object behind a line of the list."""
    from modules.compat.sd_model import sd_model_now

    job = own_job()
    walking = getattr(job.moment, "sampler", None) if job is not None else None
    if walking is not None and walking.config is config:
        return walking
    made = config.constructor(sd_model_now())
    made.config = config
    return made


def find_sampler_config(name: str | None) -> Any:
    """Return the line of a sampler, of the first one without a name."""
    known = sampler_list()
    return sampler_map().get(name or "", known[0])


def create_sampler(name: str, model: Any) -> Any:
    """Make a sampler object for extensions that hold one."""
    config = find_sampler_config(name)
    made: Any = config.constructor(model)
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
