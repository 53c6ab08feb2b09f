"""The routers of version 2 and of its company."""

from fastapi import APIRouter

from modules.web.rest.v2.jobs import jobs_router
from modules.web.rest.v2.metrics import metrics_router
from modules.web.rest.v2.openai import openai_router
from modules.web.rest.v2.panel import panel_router
from modules.web.rest.v2.system import system_router


def v2_routers(*, api: bool, metrics: bool) -> list[APIRouter]:
    """Make the routers.

    Args:
        api: whether the REST API is offered; the queue panel of the page is always there.
        metrics: whether numbers for Prometheus are.
    """
    return [
        panel_router(),
        *([metrics_router()] if metrics else []),
        *([jobs_router(), system_router(), openai_router()] if api else []),
    ]
