"""Walks of samplers that extensions for A1111 bring: their functions are called once, and call back."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from modules.compat.host import own_job
from modules.compat.k_diffusion import noise_of_walk
from modules.domain.errors import InvalidRequest
from modules.sampling.catalogue import Controls, Sampler
from modules.sampling.schedules import SCHEDULES
from modules.sampling.types import Denoise, Step

CHURN = ("s_churn", "s_tmin", "s_tmax", "s_noise")


class Walk:
    """One walk, as the objects that extensions hold see it.

    Args:
        denoise: the guided denoiser.
        sigmas: [N + 1]
        controls: noise, numbers, who hears of steps.
        p: the job, where there is one.
    """

    def __init__(self, denoise: Denoise, sigmas: Tensor, controls: Controls, p: Any) -> None:
        self.denoise, self.sigmas, self.controls, self.p = denoise, sigmas, controls, p
        self.last: Tensor | None = None
        """The latest estimate that was called back."""

    def callback(self, heard: Callable[[dict[str, Any]], None], d: dict[str, Any]) -> None:
        """Take a step that a function calls back, and end the walk there if that is wanted."""
        heard(d)
        self.last = d.get("denoised", d["x"])
        index, last = int(d["i"]), len(self.sigmas) - 2
        if index < last:
            level = torch.as_tensor(d.get("sigma", self.sigmas[min(index, last)])).detach().cpu()
            self.controls.tell(Step(index, level, d["x"], self.last if self.last is not None else d["x"]))

    def ended(self, x: Tensor) -> Step:
        """Return the last step."""
        return Step(max(len(self.sigmas) - 2, 0), self.sigmas[-1], x, self.last if self.last is not None else x)


def as_sampler(data: Any, make: Callable[[], Any]) -> Sampler:
    """Return a line of A1111's list as a sampler of this program.

    Args:
        data: name, aliases and options.
        make: makes the object that walks.
    """
    options, schedule = data.options or {}, None
    wanted = options.get("scheduler")
    if wanted:
        schedule = next((one.label for one in SCHEDULES if str(wanted) in one.answers_to()), str(wanted))
    return Sampler(
        label=data.name, name=_name(data), aliases=tuple(data.aliases or ()), run=partial(_run, make),
        default_schedule=schedule, second_order=bool(options.get("second_order")),
        brownian=bool(options.get("brownian_noise")), solver=str(options.get("solver_type") or ""),
        uses_ensd=bool(options.get("uses_ensd")), discard_penultimate=bool(options.get("discard_next_to_last_sigma")),
        takes=_takes(make),
    )  # fmt: skip


def arguments(made: Any, x: Tensor, walk: Walk) -> dict[str, Any]:
    """Return what the function of a sampler is given by name, as far as it takes it."""
    known = inspect.signature(made.func).parameters
    options, sigmas = walk.controls.options, walk.sigmas
    levels = sigmas[sigmas > 0]
    given: dict[str, Any] = {
        "n": len(sigmas) - 1, "sigma_min": levels.min(), "sigma_max": levels.max(), "sigmas": sigmas,
        "noise_sampler": walk.controls.noise, "eta": options.eta,
    } if len(levels) else {"sigmas": sigmas, "n": 0}  # fmt: skip
    given |= {name: getattr(options, name) for name in made.extra_params if name in CHURN}
    given |= {name: getattr(walk.p, name) for name in made.extra_params if name not in CHURN and hasattr(walk.p, name)}
    if made.config is not None and made.config.options.get("solver_type"):
        given["solver_type"] = made.config.options["solver_type"]
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())
    return {name: value for name, value in given.items() if name in known or (takes_all and name in made.extra_params)}


def _run(make: Callable[[], Any], denoise: Denoise, x: Tensor, sigmas: Tensor, controls: Controls) -> Iterator[Step]:
    """Carry out a walk; all steps but the last are told on the way."""
    job, made = own_job(), make()
    walk = Walk(denoise, sigmas, controls, job.p if job is not None else None)
    if not hasattr(made, "walk_now"):
        raise InvalidRequest(
            f"the sampler {type(made).__name__} is of a kind that cannot be run here", field="sampler_name"
        )
    with noise_of_walk(controls.noise), _seeded(x, walk.p):
        found = made.walk_now(walk, x)
    yield walk.ended(found)


@contextmanager
def _seeded(x: Tensor, p: Any) -> Iterator[None]:
    """Make noise that a function draws by itself repeat with the seed of the first picture."""
    seeds = getattr(p, "seeds", None) or getattr(p, "all_seeds", None) or [0]
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[x.device] if x.is_cuda else []))
        torch.manual_seed(int(seeds[0]))
        yield


def _name(data: Any) -> str:
    return (data.aliases or [data.name])[0]


def _takes(make: Callable[[], Any]) -> tuple[str, ...]:
    """Return which numbers of a request reach a function."""
    from modules.compat.callbacks import guarded

    with guarded("a sampler's constructor"):
        made = make()
        if callable(getattr(made, "func", None)):
            known = inspect.signature(made.func).parameters
            return tuple(name for name in ("eta", *made.extra_params) if name in known and name in ("eta", *CHURN))
    return ()
