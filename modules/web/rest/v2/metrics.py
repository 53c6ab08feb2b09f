"""Numbers for Prometheus, in its text format 0.0.4."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from modules.engine.job import JobState
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]
PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ENDED = (JobState.FINISHED, JobState.FAILED, JobState.INTERRUPTED, JobState.NOT_RUN)

Sample = tuple[Mapping[str, str], float]


def metrics_router() -> APIRouter:
    """Make the route of this file."""
    router = APIRouter(route_class=StrictRoute, tags=["metrics"])
    router.add_api_route(PATH, metrics, methods=["GET"], summary="Numbers for Prometheus")
    return router


def metrics(services: Needs) -> Response:
    """Return queue, jobs, seconds by stage and memory as Prometheus reads them. Needs `--metrics`."""
    return Response("".join(_all(services)), headers={"Content-Type": CONTENT_TYPE})


def _all(services: Services) -> Iterable[str]:
    counts, memory = services.engine.tally.counts(), services.memory()
    jobs = {(kind, state): 0 for kind in ("txt2img", "img2img") for state in (one.value for one in _ENDED)}
    yield _family("webui_jobs_waiting", "gauge", "Jobs that wait.", [({}, len(services.desk.waiting()))])
    yield _family("webui_jobs_running", "gauge", "Jobs that run.", [({}, len(services.engine.active()))])
    yield _family("webui_queue_paused", "gauge", "1 while no further job is started.", [({}, services.desk.paused)])
    yield _family(
        "webui_jobs_ended_total", "counter", "Jobs that ended, by kind and state.",
        [({"kind": kind, "state": state}, number) for (kind, state), number in (jobs | dict(counts.jobs)).items()],
    )  # fmt: skip
    yield _family("webui_pictures_total", "counter", "Pictures made, grids included.", [({}, counts.pictures)])
    yield _family(
        "webui_stage_seconds_total", "counter", "Seconds spent, by stage of the pipeline.",
        [({"stage": stage}, seconds) for stage, seconds in sorted(counts.stage_s.items())],
    )  # fmt: skip
    yield _summary("webui_job_wait_seconds", "Seconds jobs waited.", counts.waited_s, counts.started)
    yield _summary("webui_job_run_seconds", "Seconds jobs ran.", counts.ran_s, counts.started)
    yield _family("webui_memory_bytes", "gauge", "Memory in use.", _memory(memory))


def _memory(memory: Mapping[str, Any]) -> list[Sample]:
    """Read the memory of the process, and of the graphics card where there is one."""
    found: list[Sample] = [({"of": "process"}, memory["ram"]["used"])]
    card = memory.get("cuda", {})
    for name, part in (("card", card.get("system")), ("card_allocated", card.get("allocated"))):
        if part is not None:
            found.append(({"of": name}, part.get("used", part.get("current", 0))))
    return found


def _summary(name: str, about: str, total: float, count: int) -> str:
    return f"# HELP {name} {about}\n# TYPE {name} summary\n{name}_sum {total:g}\n{name}_count {count}\n"


def _family(name: str, kind: str, about: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
