"""Every sampler of this program, with what it needs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

from torch import Tensor

from modules.domain.errors import UnknownName
from modules.domain.plan import SamplerOptions
from modules.sampling.adams import deis, ipndm, ipndm_v
from modules.sampling.ancestral import ddpm, dpm2_ancestral, dpmpp_2s_ancestral, euler_ancestral, lcm
from modules.sampling.cfgpp import dpmpp_2m_cfgpp, euler_cfgpp
from modules.sampling.dpm_solver import dpm_adaptive, dpm_fast
from modules.sampling.dpmpp import dpmpp_2m, dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_sde
from modules.sampling.er_sde import er_sde
from modules.sampling.exponential import dpmpp_3m, res_multistep, sa_solver
from modules.sampling.ode import dpm2, euler, gradient_estimation, heun, heunpp2, lms
from modules.sampling.prediction import Prediction
from modules.sampling.restart import restart
from modules.sampling.timesteps import Unconditional, ddim, plms
from modules.sampling.types import Denoise, Noise, Step, Tell
from modules.sampling.unipc import Variant, unipc


def no_tell(step: Step) -> None:
    """Tell nobody of a step."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Controls:
    """What a sampler may use besides the denoiser, the start and the levels."""

    noise: Noise
    options: SamplerOptions
    unconditional: Unconditional | None = None
    """Estimate without the prompt, for samplers that say `needs_uncond`."""
    tell: Tell = no_tell
    """For an integrator that is no generator: takes all its steps but the last, which it yields."""


Run = Callable[[Denoise, Tensor, Tensor, Controls], Iterator[Step]]


def _plain(
    function: Callable[[Denoise, Tensor, Tensor], Iterator[Step]],
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    controls: Controls,
) -> Iterator[Step]:
    return function(denoise, x, sigmas)


def _noisy(
    function: Callable[..., Iterator[Step]], denoise: Denoise, x: Tensor, sigmas: Tensor, controls: Controls
) -> Iterator[Step]:
    return function(denoise, x, sigmas, noise=controls.noise)


def _churned(
    function: Callable[..., Iterator[Step]], denoise: Denoise, x: Tensor, sigmas: Tensor, controls: Controls
) -> Iterator[Step]:
    o = controls.options
    return function(
        denoise,
        x,
        sigmas,
        noise=controls.noise,
        s_churn=o.s_churn,
        s_tmin=o.s_tmin,
        s_tmax=o.s_tmax or float("inf"),
        s_noise=o.s_noise,
    )


def _with_eta(
    function: Callable[..., Iterator[Step]], denoise: Denoise, x: Tensor, sigmas: Tensor, controls: Controls
) -> Iterator[Step]:
    return function(denoise, x, sigmas, noise=controls.noise, eta=controls.options.eta)


def _with_eta_and_scale(
    function: Callable[..., Iterator[Step]], denoise: Denoise, x: Tensor, sigmas: Tensor, controls: Controls
) -> Iterator[Step]:
    o = controls.options
    return function(denoise, x, sigmas, noise=controls.noise, eta=o.eta, s_noise=o.s_noise)


def _scaled(
    function: Callable[..., Iterator[Step]], denoise: Denoise, x: Tensor, sigmas: Tensor, controls: Controls
) -> Iterator[Step]:
    return function(denoise, x, sigmas, noise=controls.noise, s_noise=controls.options.s_noise)


def _cfgpp(
    function: Callable[..., Iterator[Step]], denoise: Denoise, x: Tensor, sigmas: Tensor, controls: Controls
) -> Iterator[Step]:
    return function(denoise, x, sigmas, unconditional=controls.unconditional)


def _ddim_cfgpp(denoise: Denoise, x: Tensor, sigmas: Tensor, controls: Controls) -> Iterator[Step]:
    return ddim(
        denoise, x, sigmas, noise=controls.noise, eta=controls.options.eta, unconditional=controls.unconditional
    )


def _euler_a_cfgpp(denoise: Denoise, x: Tensor, sigmas: Tensor, controls: Controls) -> Iterator[Step]:
    o = controls.options
    return euler_cfgpp(
        denoise,
        x,
        sigmas,
        unconditional=controls.unconditional,
        noise=controls.noise,
        eta=o.eta,
        s_noise=o.s_noise,
    )


def _unipc(denoise: Denoise, x: Tensor, sigmas: Tensor, controls: Controls) -> Iterator[Step]:
    o = controls.options
    return unipc(
        denoise,
        x,
        sigmas,
        order=o.uni_pc_order,
        variant=cast(Variant, o.uni_pc_variant),
        lower_order_final=o.uni_pc_lower_order_final,
    )


def _as_trained(prediction: Prediction) -> Prediction:
    return prediction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampler:
    """One integrator and the facts that the rest of the program needs about it."""

    label: str
    name: str
    """Name of the function in older lists."""
    run: Run
    aliases: tuple[str, ...] = ()
    default_schedule: str | None = None
    """Label of the schedule that Automatic means; None is the model's own uniform spacing."""
    second_order: bool = False
    """It calls the network about twice a step: progress and prompt timelines count 2n."""
    third_order: bool = False
    """It calls the network about three times a step: they count 3n."""
    brownian: bool = False
    """Its noise comes from Brownian paths over the schedule."""
    solver: str = ""
    uses_ensd: bool = False
    """The seed delta of later noise is reported for it."""
    discard_penultimate: bool = False
    """One more level is computed and the last above zero dropped."""
    levels: Literal["schedule", "trained", "unipc"] = "schedule"
    """Where its levels come from; all but "schedule" are the timestep family, which no schedule affects."""
    own_levels: bool = False
    """It uses only the ends of the schedule; from pure noise they are those of the model."""
    takes: tuple[str, ...] = ()
    """Which of eta, s_churn, s_tmin, s_tmax, s_noise reach it."""
    eta_setting: Literal["eta_ancestral", "eta_ddim"] = "eta_ancestral"
    """Which setting its eta falls back to."""
    cfg_factor: float = 1.0
    """Multiplies the guidance scale."""
    needs_uncond: bool = False
    """The estimate without the prompt is used by itself, so it is never skipped for a guidance scale of 1."""
    adapt: Callable[[Prediction], Prediction] = _as_trained
    """How it wants the network read; the result's table is the one its levels come from."""

    @property
    def timesteps(self) -> bool:
        """Tell whether it belongs to the timestep family."""
        return self.levels != "schedule"

    def calls(self, steps: int) -> int:
        """Return how many network calls progress and prompt timelines count for that many steps."""
        return steps * (3 if self.third_order else 2 if self.second_order else 1)

    def listing(self) -> dict[str, str]:
        """Return the options that the list of samplers shows."""
        shown = {"scheduler": self.default_schedule.lower()} if self.default_schedule else {}
        flags = {
            "discard_next_to_last_sigma": self.discard_penultimate,
            "uses_ensd": self.uses_ensd,
            "second_order": self.second_order,
            "brownian_noise": self.brownian,
        }
        shown |= {name: "True" for name, on in flags.items() if on}
        return shown | ({"solver_type": self.solver} if self.solver else {})


CHURN = ("s_churn", "s_tmin", "s_tmax", "s_noise")
CFGPP_FACTOR = 1 / 12.5
"""Brings the usual guidance scales into the range of CFG++, 0 to about 1."""

SAMPLERS: tuple[Sampler, ...] = (
    Sampler(
        label="DPM++ 2M",
        name="sample_dpmpp_2m",
        aliases=("k_dpmpp_2m",),
        run=partial(_plain, dpmpp_2m),
        default_schedule="Karras",
    ),
    Sampler(
        label="DPM++ SDE",
        name="sample_dpmpp_sde",
        aliases=("k_dpmpp_sde",),
        run=partial(_with_eta_and_scale, dpmpp_sde),
        default_schedule="Karras",
        second_order=True,
        brownian=True,
        takes=("eta", "s_noise"),
    ),
    Sampler(
        label="DPM++ 2M SDE",
        name="sample_dpmpp_2m_sde",
        aliases=("k_dpmpp_2m_sde",),
        run=partial(_with_eta_and_scale, dpmpp_2m_sde),
        default_schedule="Exponential",
        brownian=True,
        takes=("eta", "s_noise"),
    ),
    Sampler(
        label="DPM++ 2M SDE Heun",
        name="sample_dpmpp_2m_sde",
        aliases=("k_dpmpp_2m_sde_heun",),
        run=partial(_with_eta_and_scale, partial(dpmpp_2m_sde, solver="heun")),
        default_schedule="Exponential",
        brownian=True,
        solver="heun",
        takes=("eta", "s_noise"),
    ),
    Sampler(
        label="DPM++ 2S a",
        name="sample_dpmpp_2s_ancestral",
        aliases=("k_dpmpp_2s_a",),
        run=partial(_with_eta_and_scale, dpmpp_2s_ancestral),
        default_schedule="Karras",
        second_order=True,
        uses_ensd=True,
        takes=("eta", "s_noise"),
    ),
    Sampler(
        label="DPM++ 3M SDE",
        name="sample_dpmpp_3m_sde",
        aliases=("k_dpmpp_3m_sde",),
        run=partial(_with_eta_and_scale, dpmpp_3m_sde),
        default_schedule="Exponential",
        brownian=True,
        discard_penultimate=True,
        takes=("eta", "s_noise"),
    ),
    Sampler(
        label="Euler a",
        name="sample_euler_ancestral",
        aliases=("k_euler_a", "k_euler_ancestral"),
        run=partial(_with_eta, euler_ancestral),
        uses_ensd=True,
        takes=("eta",),
    ),
    Sampler(label="Euler", name="sample_euler", aliases=("k_euler",), run=partial(_churned, euler), takes=CHURN),
    Sampler(label="LMS", name="sample_lms", aliases=("k_lms",), run=partial(_plain, lms)),
    Sampler(
        label="Heun",
        name="sample_heun",
        aliases=("k_heun",),
        run=partial(_churned, heun),
        second_order=True,
        takes=CHURN,
    ),
    Sampler(
        label="DPM2",
        name="sample_dpm_2",
        aliases=("k_dpm_2",),
        run=partial(_churned, dpm2),
        default_schedule="Karras",
        second_order=True,
        discard_penultimate=True,
        takes=CHURN,
    ),
    Sampler(
        label="DPM2 a",
        name="sample_dpm_2_ancestral",
        aliases=("k_dpm_2_a",),
        run=partial(_with_eta_and_scale, dpm2_ancestral),
        default_schedule="Karras",
        second_order=True,
        uses_ensd=True,
        discard_penultimate=True,
        takes=("eta", "s_noise"),
    ),
    Sampler(
        label="DPM fast",
        name="sample_dpm_fast",
        aliases=("k_dpm_fast",),
        run=partial(_with_eta_and_scale, dpm_fast),
        uses_ensd=True,
        own_levels=True,
        takes=("eta", "s_noise"),
    ),
    Sampler(
        label="DPM adaptive",
        name="sample_dpm_adaptive",
        aliases=("k_dpm_ad",),
        run=partial(_with_eta, dpm_adaptive),
        uses_ensd=True,
        own_levels=True,
        takes=("eta",),
    ),
    Sampler(
        label="Restart",
        name="restart",
        aliases=("restart",),
        run=partial(_noisy, restart),
        default_schedule="Karras",
        second_order=True,
    ),
    Sampler(
        label="DDIM",
        name="ddim",
        aliases=("ddim",),
        run=partial(_with_eta, ddim),
        levels="trained",
        takes=("eta",),
        eta_setting="eta_ddim",
    ),
    Sampler(
        label="DDIM CFG++",
        name="ddim_cfgpp",
        aliases=("ddim_cfgpp",),
        run=_ddim_cfgpp,
        levels="trained",
        takes=("eta",),
        eta_setting="eta_ddim",
        cfg_factor=CFGPP_FACTOR,
        needs_uncond=True,
    ),
    Sampler(label="PLMS", name="plms", aliases=("plms",), run=partial(_plain, plms), levels="trained"),
    Sampler(label="UniPC", name="unipc", aliases=("unipc",), run=_unipc, levels="unipc"),
    Sampler(
        label="LCM", name="sample_lcm", aliases=("k_lcm",), run=partial(_noisy, lcm), adapt=Prediction.of_consistency
    ),
    Sampler(label="DDPM", name="ddpm", aliases=("ddpm",), run=partial(_noisy, ddpm), uses_ensd=True),
    Sampler(label="DEIS", name="deis", aliases=("deis",), run=partial(_plain, deis)),
    Sampler(label="IPNDM", name="ipndm", aliases=("ipndm",), run=partial(_plain, ipndm)),
    Sampler(label="IPNDM_V", name="ipndm_v", aliases=("ipndm_v",), run=partial(_plain, ipndm_v)),
    Sampler(label="HeunPP2", name="heunpp2", aliases=("heunpp2",), run=partial(_plain, heunpp2), third_order=True),
    Sampler(
        label="DPM++ 3M",
        name="dpmpp_3m",
        aliases=("k_dpmpp_3m", "dpmpp_3m"),
        run=partial(_plain, dpmpp_3m),
        default_schedule="Karras",
    ),
    Sampler(
        label="Res Multistep", name="res_multistep", aliases=("res_multistep",), run=partial(_plain, res_multistep)
    ),
    Sampler(
        label="ER SDE",
        name="er_sde",
        aliases=("er_sde",),
        run=partial(_scaled, er_sde),
        uses_ensd=True,
        takes=("s_noise",),
    ),
    Sampler(
        label="SA Solver",
        name="sa_solver",
        aliases=("sa_solver",),
        run=partial(_with_eta_and_scale, sa_solver),
        uses_ensd=True,
        takes=("eta", "s_noise"),
    ),
    Sampler(
        label="Gradient Estimation",
        name="gradient_estimation",
        aliases=("gradient_estimation",),
        run=partial(_plain, gradient_estimation),
    ),
    Sampler(
        label="Euler CFG++",
        name="euler_cfgpp",
        aliases=("euler_cfg_pp",),
        run=partial(_cfgpp, euler_cfgpp),
        cfg_factor=CFGPP_FACTOR,
        needs_uncond=True,
    ),
    Sampler(
        label="Euler a CFG++",
        name="euler_ancestral_cfgpp",
        aliases=("euler_ancestral_cfg_pp",),
        run=_euler_a_cfgpp,
        uses_ensd=True,
        takes=("eta", "s_noise"),
        cfg_factor=CFGPP_FACTOR,
        needs_uncond=True,
    ),
    Sampler(
        label="DPM++ 2M CFG++",
        name="dpmpp_2m_cfgpp",
        aliases=("dpmpp_2m_cfg_pp",),
        run=partial(_cfgpp, dpmpp_2m_cfgpp),
        default_schedule="Karras",
        cfg_factor=CFGPP_FACTOR,
        needs_uncond=True,
    ),
)
"""Every sampler, in the order in which people see them; the first stands in for unknown names.

The order of the first twenty, up to LCM, is that of older lists.
"""


def sampler_named(label: str) -> Sampler:
    """Find a sampler of this program by its exact label.

    Raises:
        UnknownName: there is none.
    """
    for sampler in SAMPLERS:
        if sampler.label == label:
            return sampler
    raise UnknownName("sampler", label, (s.label for s in SAMPLERS), field="sampler_name")
