"""A1111's API: what there is, and looking again."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from modules.web.rest.requests import StrictRoute, services_of
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]


def listings_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute, tags=["sdapi"])
    for path, call in (
        ("/samplers", samplers), ("/schedulers", schedulers), ("/sd-models", sd_models), ("/sd-vae", sd_vae),
        ("/sd-modules", sd_modules),
        ("/prompt-styles", prompt_styles), ("/cmd-flags", cmd_flags), ("/memory", memory), ("/upscalers", upscalers),
        ("/latent-upscale-modes", latent_upscale_modes),
    ):  # fmt: skip
        router.add_api_route(path, call, methods=["GET"])
    router.add_api_route("/refresh-checkpoints", refresh_checkpoints, methods=["POST"])
    router.add_api_route("/refresh-vae", refresh_vae, methods=["POST"])
    return router


def samplers(services: Needs) -> list[dict[str, Any]]:
    """List the samplers."""
    return [
        {"name": one.name, "aliases": list(one.aliases), "options": dict(one.options)} for one in services.samplers()
    ]


def upscalers(services: Needs) -> list[dict[str, Any]]:
    """List what enlarges a picture."""
    from modules.web.adapters import upscaler_names

    known = services.upscalers()
    return [_upscaler(name, known.get(name)) for name in upscaler_names(known)]


def _upscaler(name: str, one: Any) -> dict[str, Any]:
    about = {"model_name": one.model_name, "model_path": one.model_path, "scale": one.scale} if one else {}
    return {"name": name, "model_name": None, "model_path": None, "model_url": None, "scale": 4, **about}


def latent_upscale_modes() -> list[dict[str, str]]:
    """List the ways of enlarging a latent."""
    from modules.web.adapters import latent_modes

    return [{"name": name} for name in latent_modes()]


def schedulers(services: Needs) -> list[dict[str, Any]]:
    """List the noise schedules."""
    return [
        {**asdict(one), "aliases": list(one.aliases) if one.aliases is not None else None}
        for one in services.schedulers()
    ]


def sd_models(services: Needs) -> list[dict[str, Any]]:
    """List the checkpoints."""
    return [asdict(one) for one in services.checkpoints()]


def sd_vae(services: Needs) -> list[dict[str, Any]]:
    """List the VAE files."""
    return [asdict(one) for one in services.vaes()]


def sd_modules(services: Needs) -> list[dict[str, Any]]:
    """List the files of VAEs and text encoders, as Forge does."""
    return [asdict(one) for one in services.modules()]


def prompt_styles(services: Needs) -> list[dict[str, Any]]:
    """List the saved styles."""
    return [
        {"name": one.name, "prompt": one.prompt, "negative_prompt": one.negative_prompt} for one in services.styles()
    ]


def refresh_checkpoints(services: Needs) -> None:
    """Look for checkpoints again."""
    services.refresh_checkpoints()


def refresh_vae(services: Needs) -> None:
    """Look for VAE files again."""
    services.refresh_vaes()


def cmd_flags(services: Needs) -> dict[str, Any]:
    """Return the command line flags; secrets are replaced."""
    return dict(services.flags)


def memory(services: Needs) -> dict[str, Any]:
    """Return how much memory is used, bytes."""
    return dict(services.memory())
