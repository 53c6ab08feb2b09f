"""Paths of A1111's API whose feature this program does not have yet. This list may only get shorter."""

from collections.abc import Callable

from fastapi import APIRouter

from modules.domain.errors import UnsupportedFeature
from modules.web.rest.requests import StrictRoute

ABSENT: tuple[tuple[str, str, str], ...] = (
    ("POST", "/sdapi/v1/interrogate", "Interrogating pictures"),
    ("POST", "/sdapi/v1/create/embedding", "Textual inversion training"),
    ("POST", "/sdapi/v1/create/hypernetwork", "Hypernetworks"),
    ("POST", "/sdapi/v1/train/embedding", "Textual inversion training"),
    ("POST", "/sdapi/v1/train/hypernetwork", "Hypernetworks"),
)
"""Method, path, and the feature that is missing."""

SWITCHED_OFF = ("/sdapi/v1/server-kill", "/sdapi/v1/server-restart", "/sdapi/v1/server-stop")
"""Paths that are there only with `--api-server-stop`; without it they answer 404."""


def absent_router() -> APIRouter:
    """Make a route for each missing path, which names what is missing."""
    router = APIRouter(route_class=StrictRoute, tags=["not supported yet"])
    for method, path, feature in ABSENT:
        router.add_api_route(path, _refusing(feature), methods=[method], name=f"no {path}")
    return router


def _refusing(feature: str) -> Callable[[], None]:
    def refuse() -> None:
        raise UnsupportedFeature(feature)

    return refuse
