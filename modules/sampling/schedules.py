"""How noise levels are spaced: each schedule is `Span -> sigmas [N + 1]`, decreasing."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from modules.domain.errors import UnknownName
from modules.domain.plan import ScheduleOptions
from modules.sampling import schedule_tables as tables
from modules.sampling.prediction import SigmaTable
from modules.sampling.steps import levels

LAPLACE_SPREAD = 0.5
LAPLACE_EDGE = 1e-5
"""Keeps the outermost quantiles finite."""
LINEAR_PART_ENDS_AT = 0.025
"""Noise removed by the linear first half of the linear-quadratic schedule."""
OLD_KARRAS_RANGE = (0.1, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Span:
    """What a schedule has to cover."""

    steps: int
    low: float
    """Lowest level above zero."""
    high: float
    rho: float
    table: SigmaTable
    options: ScheduleOptions
    sdxl: bool = False
    """Tables that were fitted per model use the one of SDXL."""


Build = Callable[[Span], Tensor]
"""Returns float32 [N + 1], N = steps except where a schedule says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One way to space the levels."""

    name: str
    label: str
    build: Build
    aliases: tuple[str, ...] = ()
    default_rho: float | None = None
    """None for a schedule without such a parameter."""
    needs_model: bool = False
    """It walks the model's timesteps rather than a formula over a range."""

    def answers_to(self) -> tuple[str, ...]:
        """Return every text that means this schedule, label first."""
        return (self.label, self.name, *self.aliases)


def uniform(span: Span) -> Tensor:
    """Space the trained timesteps evenly, from the last to the first; ignores the range."""
    return _ended(span.table.sigma_of(torch.linspace(span.table.t_max, span.table.t_min, span.steps)))


def karras(span: Span) -> Tensor:
    """Space the rho-th roots evenly. Source: Karras et al. 2022, arXiv:2206.00364, equation 5."""
    high, low = span.high ** (1 / span.rho), span.low ** (1 / span.rho)
    return _ended((high + _ramp(span.steps) * (low - high)) ** span.rho)


def exponential(span: Span) -> Tensor:
    """Space the logarithms evenly."""
    return _ended(torch.linspace(math.log(span.high), math.log(span.low), span.steps, dtype=torch.float64).exp())


def polyexponential(span: Span) -> Tensor:
    """Space the logarithms by a power rho of an even ramp."""
    ramp = torch.linspace(1, 0, span.steps, dtype=torch.float64) ** span.rho
    return _ended((ramp * (math.log(span.high) - math.log(span.low)) + math.log(span.low)).exp())


def sgm_uniform(span: Span) -> Tensor:
    """Space timesteps evenly over one more interval and drop the last, as Stability's generative-models did."""
    return _ended(span.table.sigma_of(_timesteps(span, span.steps + 1)[:-1]))


def kl_optimal(span: Span) -> Tensor:
    """Space the arctangents evenly; ends at the lowest level instead of zero.

    Source: Sabour et al. 2024, arXiv:2404.14507, section 3.1.
    """
    part = torch.arange(span.steps + 1, dtype=torch.float64) / span.steps
    return (part * math.atan(span.low) + (1 - part) * math.atan(span.high)).tan().float()


def from_table(points: Sequence[float], points_sdxl: Sequence[float], span: Span) -> Tensor:
    """Take fitted levels, log-linearly interpolated where their number is not the wanted one."""
    known = torch.tensor(points_sdxl if span.sdxl else points, dtype=torch.float64)
    if span.steps == len(known):
        return _ended(known)
    rising = known.log().flip(0)
    where = _ramp(span.steps) * (len(known) - 1)  # from the lowest level, which is what one step alone gets
    low = where.floor().long().clamp(max=len(known) - 2)
    return _ended(torch.lerp(rising[low], rising[low + 1], where - low).exp().flip(0))


def simple(span: Span) -> Tensor:
    """Take every (N / steps)-th trained level, from the highest down."""
    n = len(span.table)
    return _ended(span.table.sigmas[[n - 1 - int(i * n / span.steps) for i in range(span.steps)]])


def normal(span: Span) -> Tensor:
    """Space timesteps evenly between those of the range's ends."""
    return _ended(span.table.sigma_of(_timesteps(span, span.steps)))


def ddim(span: Span) -> Tensor:
    """Take DDIM's levels 1, 1 + s, ...; integer division makes more than `steps` of them for some counts."""
    n = len(span.table)
    return _ended(span.table.sigmas[torch.arange(1, n, max(n // span.steps, 1)).flip(0)])


def beta(span: Span) -> Tensor:
    """Space levels by the quantiles of a beta distribution.

    Source: Lee et al. 2024, arXiv:2407.12173; differs in applying the quantiles to sigma, not to timesteps.
    """
    from scipy.special import betaincinv  # pyright: ignore[reportMissingTypeStubs]

    alpha, beta_ = span.options.beta_alpha, span.options.beta_beta
    quantiles = [float(betaincinv(alpha, beta_, 1 - q)) for q in levels(_ramp(span.steps))]
    return _ended(span.low + (span.high - span.low) * torch.tensor(quantiles, dtype=torch.float64))


def turbo(span: Span) -> Tensor:
    """Take the ends of `steps` equal pieces of the timesteps, as distilled turbo models were trained.

    Unlike other spacings it begins at the very last timestep, which models of zero terminal SNR need.

    Source: Lin et al. 2023, arXiv:2305.08891, section 3.3 ("trailing"); rounded in float32 as Forge's schedule Turbo.
    """
    n = len(span.table)
    t = (torch.arange(span.steps, 0, -1).float() * (n / span.steps) - 1).round().long()
    return _ended(span.table.sigmas[t.clamp(0, n - 1)])


def laplace(span: Span) -> Tensor:
    """Space log levels by the quantiles of a Laplace distribution around 0, cut to the range.

    Source: Hang et al. 2024, arXiv:2407.03297, table 1, with its mean 0 and spread 0.5, the defaults of ComfyUI's
    schedule of that name too. Differs in spreading out what would otherwise be cut to the same level twice.
    """
    off = 0.5 - torch.linspace(0, 1, span.steps, dtype=torch.float64)
    log_sigma = -LAPLACE_SPREAD * off.sign() * (1 - 2 * off.abs() + LAPLACE_EDGE).log()
    low, high = math.log(span.low), math.log(span.high)
    places = range(span.steps)
    kept = [i for i, u in enumerate(levels(log_sigma)) if low < u < high or i in (0, span.steps - 1)]
    return _ended(torch.tensor(np.interp(places, kept, levels(log_sigma[kept].clamp(low, high)))).exp())


def linear_quadratic(span: Span) -> Tensor:
    """Remove little noise evenly in the first half of the steps, then quadratically more; smooth where they meet.

    Source: Polyak et al. 2024, arXiv:2410.13720, section 3.4.2; half of the steps and 0.025 as in Genmo's Mochi.
    """
    n, half = span.steps, span.steps // 2
    if half == 0:
        return torch.tensor([span.high, 0.0])
    i = torch.arange(n, dtype=torch.float64)
    even = LINEAR_PART_ENDS_AT / half
    rest = (1 - even * n) * ((i - half).clamp(min=0) / (n - half)) ** 2
    return _ended(span.high * (1 - even * i - rest))


SCHEDULES: tuple[Schedule, ...] = (
    Schedule(name="automatic", label="Automatic", build=uniform),
    Schedule(name="uniform", label="Uniform", build=uniform, needs_model=True),
    Schedule(name="karras", label="Karras", build=karras, default_rho=7.0),
    Schedule(name="exponential", label="Exponential", build=exponential),
    Schedule(name="polyexponential", label="Polyexponential", build=polyexponential, default_rho=1.0),
    Schedule(name="sgm_uniform", label="SGM Uniform", build=sgm_uniform, aliases=("SGMUniform",), needs_model=True),
    Schedule(name="kl_optimal", label="KL Optimal", build=kl_optimal),
    Schedule(
        name="align_your_steps",
        label="Align Your Steps",
        build=partial(from_table, tables.AYS_11, tables.AYS_11_SDXL),
        aliases=("Align Your Steps 11", "align_your_steps_11"),
    ),
    Schedule(name="simple", label="Simple", build=simple, needs_model=True),
    Schedule(name="normal", label="Normal", build=normal, needs_model=True),
    Schedule(name="ddim", label="DDIM", build=ddim, needs_model=True),
    Schedule(name="beta", label="Beta", build=beta),
    Schedule(name="turbo", label="Turbo", build=turbo, needs_model=True),
    Schedule(
        name="align_your_steps_32",
        label="Align Your Steps 32",
        build=partial(from_table, tables.AYS_32, tables.AYS_32_SDXL),
    ),
    Schedule(
        name="align_your_steps_GITS",
        label="Align Your Steps GITS",
        build=partial(from_table, tables.GITS_11, tables.GITS_11_SDXL),
    ),
    Schedule(name="laplace", label="Laplace", build=laplace),
    Schedule(name="linear_quadratic", label="Linear Quadratic", build=linear_quadratic),
)
"""Every schedule, in the order in which people see them."""

AUTOMATIC = SCHEDULES[0]


def schedule_named(text: str) -> Schedule:
    """Find a schedule by label, name or alias, exactly as written.

    Raises:
        UnknownName: nothing answers to it.
    """
    for schedule in SCHEDULES:
        if text in schedule.answers_to():
            return schedule
    raise UnknownName("scheduler", text, (s.label for s in SCHEDULES), field="scheduler")


def build_sigmas(schedule: Schedule, steps: int, table: SigmaTable, options: ScheduleOptions, *, sdxl: bool) -> Tensor:
    """Build the levels of a schedule with the options' overrides; float32, on the CPU."""
    low, high = OLD_KARRAS_RANGE if options.old_karras_range else (table.sigma_min, table.sigma_max)
    default = schedule.default_rho
    return schedule.build(
        Span(
            steps=steps,
            low=options.sigma_min or low,
            high=options.sigma_max or high,
            rho=1.0 if default is None else options.rho or default,
            table=table,
            options=options,
            sdxl=sdxl,
        )
    )


def _ramp(steps: int) -> Tensor:
    return torch.linspace(0, 1, steps, dtype=torch.float64)


def _timesteps(span: Span, count: int) -> Tensor:
    """Return `count` evenly spaced timesteps between those of the range's ends."""
    first, last = span.table.t_of(torch.tensor([span.high, span.low]))
    return torch.linspace(float(first), float(last), count)


def _ended(sigmas: Tensor) -> Tensor:
    """Append the final zero."""
    return torch.cat([sigmas.float(), torch.zeros(1)])
