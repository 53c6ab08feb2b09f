"""`modules.api.api`: pictures as text, and what extensions borrow of the API."""

import base64
import io
from typing import Any

from PIL import Image


def decode_base64_to_image(encoding: str) -> Image.Image:
    """Return the picture of a base64 text or a data address.

    Raises:
        HTTPException: it is none.
    """
    from fastapi import HTTPException

    from modules.domain.errors import WebuiError
    from modules.imaging.open import decode_base64, open_image

    try:
        return open_image(decode_base64(encoding))
    except WebuiError as error:
        raise HTTPException(status_code=500, detail="Invalid encoded image") from error


def encode_pil_to_base64(image: Image.Image) -> bytes:
    """Encode a picture in the format of the settings, with what it says about itself."""
    from modules.compat.host import host
    from modules.imaging.encode import FORMATS, encode

    if isinstance(image, str):
        return image  # pyright: ignore[reportReturnType] - A1111 hands texts through too
    saving = host().settings.snapshot().saving
    kind = saving.samples_format if saving.samples_format in FORMATS else "png"
    text = image.info.get("parameters")
    made = encode(image, kind, text if isinstance(text, str) else None, quality=saving.jpeg_quality)
    return base64.b64encode(io.BytesIO(made.data).getvalue())


def validate_sampler_name(name: str) -> str:
    """Return the name of a sampler.

    Raises:
        HTTPException: there is none of that name.
    """
    from fastapi import HTTPException

    from modules.compat.host import host

    found = host().services().choose_sampler(name, "Automatic")
    if not found.known:
        raise HTTPException(status_code=400, detail="Sampler not found")
    return name


def script_name_to_index(name: str, scripts: Any) -> int:
    """Return the place of a script in a list.

    Raises:
        HTTPException: it is not there.
    """
    from fastapi import HTTPException

    titles = [one.title().lower() for one in scripts]
    if name.lower() not in titles:
        raise HTTPException(status_code=422, detail=f"Script '{name}' not found")
    return titles.index(name.lower())


class Api:
    """A1111's API object. The program's own routes are served already; this registers further ones."""

    def __init__(self, app: Any, queue_lock: Any) -> None:
        self.app, self.queue_lock = app, queue_lock

    def add_api_route(self, path: str, endpoint: Any, **kwargs: Any) -> Any:
        """Add a route; logins of the API hold for every route of the server."""
        return self.app.add_api_route(path, endpoint, **kwargs)

    def auth(self, credentials: Any = None) -> bool:
        """Let a request pass; the server has asked for a login before it gets here."""
        return True

    def get_selectable_script(self, script_name: str | None, script_runner: Any) -> tuple[Any, Any]:
        """Find a script of the drop-down."""
        if not script_name:
            return None, None
        place = script_name_to_index(script_name, script_runner.selectable_scripts)
        return script_runner.selectable_scripts[place], place

    def text2imgapi(self, txt2imgreq: Any) -> Any:
        """Make pictures from a request model, in the turn of the queue, and answer as the route would.

        Raises:
            WebuiError: whatever the request or its run is refused with.
            RuntimeError: called inside of a job, which would wait for itself.
        """
        return _answered(txt2imgreq, "txt2img")

    def img2imgapi(self, img2imgreq: Any) -> Any:
        """Make pictures from pictures, likewise.

        Raises:
            WebuiError: whatever the request or its run is refused with.
            RuntimeError: called inside of a job, which would wait for itself.
        """
        return _answered(img2imgreq, "img2img")


def _answered(body: Any, kind: str) -> Any:
    from modules.compat.host import host, own_job
    from modules.compat.web_models import ImageToImageResponse, TextToImageResponse
    from modules.engine.job import Owner
    from modules.web.rest.answers import made_answer
    from modules.web.rest.translate import understand

    if own_job() is not None:
        raise RuntimeError("a job cannot wait for another one; use process_images inside of hooks")
    services = host().services()
    understood = understand(body, services, None)
    owner = Owner(source="api", client="", user=None)
    task_id = understood.body.model_dump()["force_task_id"] or None
    outcome = services.desk.accept(understood.generation, owner, task_id, kind=kind).wait()
    settings = services.settings.snapshot().with_overrides(understood.generation.overrides)
    raw = made_answer(understood.body, outcome, settings, version=services.version, warnings=understood.warnings)
    return (TextToImageResponse if kind == "txt2img" else ImageToImageResponse).model_validate_json(raw)
