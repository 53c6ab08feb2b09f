"""`modules.sd_schedulers`: the list of schedules, and what extensions put into it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from modules.compat.host import host

if TYPE_CHECKING:
    from torch import Tensor

    from modules.sampling.schedules import Schedule, Span


@dataclass
class Scheduler:
    """One line of the list of schedules."""

    name: str
    label: str
    function: Callable[..., Any] | None = None
    default_rho: float = -1
    need_inner_model: bool = False
    aliases: list[str] | None = None


@dataclass
class OwnScheduler(Scheduler):
    """A line that is this program's own."""

    known: Any = None
    """The function that it came with; an extension may put another one in its place."""


def scheduler_list() -> list[Scheduler]:
    """Return all schedules; the list is kept, so that what extensions append stays."""
    bound = host()
    if not bound.schedulers:
        from modules.sampling.schedules import AUTOMATIC, SCHEDULES

        for one in SCHEDULES:
            call = None if one is AUTOMATIC else partial(_levels, one)
            rho = -1.0 if one.default_rho is None else one.default_rho
            bound.schedulers.append(
                OwnScheduler(one.name, one.label, call, rho, one.needs_model, list(one.aliases) or None, call)
            )
    return bound.schedulers


def replace_schedulers(entries: Any) -> None:
    """Put others in the place of all schedules; this program's own stay usable."""
    scheduler_list()[:] = list(entries)


def scheduler_map() -> dict[str, Scheduler]:
    """Return name or label -> line; kept, so that what extensions put in stays."""
    found = host().scheduler_map
    for one in scheduler_list():
        found.update(dict.fromkeys((one.name, one.label, *(one.aliases or ())), one))
    return found


def replace_scheduler_map(entries: Any) -> None:
    """Put others in the place of the whole map."""
    known = dict(entries)
    host().scheduler_map.clear()
    host().scheduler_map.update(known)


def added_schedules() -> list["Schedule"]:
    """Return those of extensions, and those whose function they replaced, as schedules of this program."""
    from modules.compat.samplers import native_forms

    lines = {one.label: one for one in (*scheduler_map().values(), *scheduler_list()) if _is_added(one)}
    return native_forms("schedules", lines.values(), _schedule)


def uniform(n: int, sigma_min: float, sigma_max: float, inner_model: Any, device: Any) -> "Tensor":
    """Return the model's own levels; [n + 1]."""
    return inner_model.get_sigmas(n).to(device)


def _is_added(line: Scheduler) -> bool:
    return not isinstance(line, OwnScheduler) or (line.function is not line.known and line.function is not None)


def _schedule(line: Scheduler) -> "Schedule":
    from modules.sampling.schedules import Schedule

    return Schedule(
        name=line.name, label=line.label, build=partial(_built, line), aliases=tuple(line.aliases or ()),
        default_rho=None if line.default_rho == -1 else line.default_rho, needs_model=line.need_inner_model,
    )  # fmt: skip


def _built(line: Scheduler, span: "Span") -> "Tensor":
    """Have a function of an extension make levels; [N + 1] float32 on the CPU."""
    import torch

    from modules.compat.k_denoisers import level_model
    from modules.compat.sd_model import sd_model_now
    from modules.domain.errors import InvalidRequest
    from modules.sampling.schedules import uniform as own

    if line.function is None:
        return own(span)
    given: dict[str, Any] = {"sigma_min": span.low, "sigma_max": span.high}
    if line.need_inner_model:
        given["inner_model"] = level_model(sd_model_now())
    if line.default_rho != -1 and span.rho != line.default_rho:
        given["rho"] = span.rho
    made = torch.as_tensor(line.function(n=span.steps, **given, device=torch.device("cpu")))
    if made.ndim != 1 or len(made) < 2 or not bool(torch.isfinite(made).all()):
        raise InvalidRequest(f"the schedule {line.label} made no levels for {span.steps} steps", field="scheduler")
    return made.detach().float().cpu()


def _levels(
    schedule: "Schedule", n: int, sigma_min: float, sigma_max: float, inner_model: Any = None, device: Any = "cpu",
    rho: float | None = None,
) -> "Tensor":  # fmt: skip
    """Make the levels of a native schedule as A1111's functions are called; [n + 1]."""
    from modules.compat.sd_model import sd_model_now
    from modules.domain.plan import ScheduleOptions
    from modules.sampling.prediction import SigmaTable
    from modules.sampling.schedules import Span

    model = sd_model_now() if inner_model is None and schedule.needs_model else inner_model
    table = SigmaTable.log_spaced(float(sigma_min), float(sigma_max)) if model is None else _table(model)
    return schedule.build(
        Span(
            steps=n, low=float(sigma_min), high=float(sigma_max), rho=rho or schedule.default_rho or 1.0, table=table,
            options=ScheduleOptions(),
        )
    ).to(device)  # fmt: skip


def _table(model: Any) -> Any:
    from modules.sampling.prediction import SigmaTable

    sigmas = getattr(model, "sigmas", None)
    return SigmaTable(sigmas.cpu()) if sigmas is not None else SigmaTable.from_alphas(model.alphas_cumprod)
