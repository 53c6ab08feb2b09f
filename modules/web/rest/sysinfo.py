"""What helps to find out why something goes wrong: the start, and a report on this machine and its packages."""

import json
import os
import platform
import sys
import time
from importlib import metadata
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from modules.cli_flags import FLAGS
from modules.web.rest.extensions import told
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]

ENVIRONMENT = (
    "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION", "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ENABLE_MPS_FALLBACK", "OMP_NUM_THREADS", "TORCH_COMMAND", "NO_TCMALLOC", "SD_WEBUI_LOG_LEVEL",
    "SD_WEBUI_RESTARTING", "IGNORE_CMD_ARGS_ERRORS", "GRADIO_ANALYTICS_ENABLED", "LANG",
)  # fmt: skip
"""Variables that are told. Others may hold passwords: addresses of package indexes do, and flags."""


def sysinfo_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/internal", route_class=StrictRoute, tags=["internal"])
    router.add_api_route("/profile-startup", profile_startup, methods=["GET"])
    router.add_api_route("/sysinfo", sysinfo, methods=["GET"])
    router.add_api_route("/sysinfo-download", sysinfo_download, methods=["GET"])
    return router


def profile_startup(services: Needs) -> dict[str, Any]:
    """Tell how long the parts of the start took, seconds."""
    return dict(services.start_profile())


def sysinfo(services: Needs, attachment: Annotated[bool, Query()] = False) -> Response:
    """Describe this machine and this program as JSON text, for reports of problems."""
    text = json.dumps(report(services), indent=4, ensure_ascii=False, default=str)
    headers = {"X-Content-Type-Options": "nosniff"}
    if attachment:
        name = time.strftime("sysinfo-%Y-%m-%d-%H-%M.json")
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(text.encode("utf-8", "replace"), headers=headers, media_type="text/plain; charset=utf-8")


def sysinfo_download(services: Needs) -> Response:
    """The same as a file."""
    return sysinfo(services, attachment=True)


def report(services: Services) -> dict[str, Any]:
    """Collect the report; secrets of the command line are not in it."""
    packages = sorted({f"{one.name}=={one.version}" for one in metadata.distributions() if one.name}, key=str.lower)
    return {
        "Platform": platform.platform(),
        "Python": sys.version.split()[0],
        "Version": services.version,
        "Commandline": _given(services),
        "Torch": _torch(),
        "CPU": {"model": platform.processor() or platform.machine(), "count logical": os.cpu_count()},
        "Memory": services.memory(),
        "Extensions": told(services.extensions),
        "Environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        "Config": services.settings.snapshot().flat(),
        "Startup": services.start_profile(),
        "Packages": packages,
    }


def _given(services: Services) -> dict[str, Any]:
    """Return the flags that do not have their defaults; secrets are stars already. Places always differ, so they are left out."""
    defaults = {flag.dest: flag.default for flag in FLAGS}
    plain = (None, False, [], {}, "")
    return {
        name: value
        for name, value in services.flags.items()
        if value != defaults.get(name)
        and value not in plain
        and not str(defaults.get(name)).startswith(("ROOT", "DATA", "MODELS"))
    }


def _torch() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    version = metadata.version("torch")
    if torch is None:
        return {"version": version, "state": "not imported yet"}
    cuda = torch.cuda.is_available()
    return {"version": version, "cuda": torch.version.cuda, "device": torch.cuda.get_device_name() if cuda else "cpu"}
