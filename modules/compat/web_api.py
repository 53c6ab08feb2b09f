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
