"""What the description of the API says besides what follows from the code."""

from collections.abc import Mapping
from typing import Any

Answers = dict[int | str, dict[str, Any]]

TAGS = [
    {"name": "v2: jobs", "description": "Jobs that go on without their client. Queue one, follow it, fetch its files."},
    {"name": "v2: queue", "description": "The queue that all clients and the page share."},
    {"name": "v2: server", "description": "Whether the server is alive and ready, and what it has."},
    {"name": "OpenAI", "description": "OpenAI's image API, for programs written for it."},
    {"name": "metrics", "description": "Numbers for Prometheus."},
]
JOB: Mapping[str, Any] = {
    "id": "0d9f2b6c1e7a4f53", "task_id": "task(txt2img-K3X9QAZ)", "kind": "txt2img", "title": "a red circle",
    "state": "finished", "place": None, "source": "api", "user": None, "accepted_at": 1893456000.0,
    "started_at": 1893456000.2, "ended_at": 1893456003.9,
    "progress": {"fraction": 1.0, "step": 20, "num_steps": 20, "batch": 0, "num_batches": 1, "stage": "finished",
                 "eta_s": 0.0},
    "error": None, "notes": [],
    "files": [{"n": 0, "url": "/api/v2/jobs/0d9f2b6c1e7a4f53/files/0", "name": "00012-1.png", "format": "png",
               "width": 128, "height": 128, "grid": False, "infotext": "a red circle\\nSteps: 20, ...", "saved": True,
               "save_error": None}],
}  # fmt: skip
WAITING: Mapping[str, Any] = {
    **JOB, "state": "queued", "place": 3, "started_at": None, "ended_at": None, "files": [], "warnings": [],
    "progress": {"fraction": 0.0, "step": 0, "num_steps": 0, "batch": 0, "num_batches": 0, "stage": "waiting",
                 "eta_s": None},
}  # fmt: skip
STORY = """retry: 2000

id: 5f3c-1
event: started
data: {"num_batches": 1}

id: 5f3c-7
event: progress
data: {"fraction": 0.25, "step": 5, "num_steps": 20, "batch": 0, "num_batches": 1, "stage": "sampling", "eta_s": 0.4}
"""
REFUSED: Answers = {
    404: {"description": "There is no such job of yours."},
    422: {"description": "A field is wrong; `detail` names it."},
}


def answers(status: int, example: Any, about: str, *, kind: str = "application/json") -> Answers:
    """Describe what a route answers.

    Args:
        status: when all goes well.
        example: of the body.
        about: the answer in words.
        kind: of the body.
    """
    return {status: {"description": about, "content": {kind: {"example": example}}}, **REFUSED}
