"""A1111's API: reading the parameters of a picture that somebody sends."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends
from starlette.responses import Response

from modules.imaging.infotext_parse import MAX_CHARS, parse_infotext
from modules.settings.snapshot import Snapshot
from modules.web.rest.errors import answer
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.rest.schema import PngInfoRequest
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]


def pictures_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute, tags=["sdapi"])
    router.add_api_route("/png-info", png_info, methods=["POST"])
    return router


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Reads the pictures that a request brings, or names by their addresses."""

    settings: Snapshot
    fetch: Callable[[str, Snapshot], bytes]
    """Downloads, or refuses to; see `rest/fetch.py`."""

    @classmethod
    def of(cls, services: Services) -> Self:
        """Read by the settings of this moment."""
        return cls(settings=services.settings.snapshot(), fetch=services.fetch_picture)

    @property
    def limits(self) -> Any:
        """How large they may be."""
        return image_limits(self.settings)

    def data(self, text: str, field: str = "image") -> bytes:
        """Return a picture's file: base64 with or without `data:image/...;base64,` before it, or an address.

        Raises:
            HTTPException: an address that may not be asked, or has no picture.
            InvalidImage: it is not base64.
            LimitExceeded: too large.
        """
        from modules.imaging.open import decode_base64

        if text[:8].lower().startswith(("http://", "https://")):
            return self.fetch(text, self.settings)
        return decode_base64(text, self.limits, field=field)


def png_info(services: Needs, body: PngInfoRequest) -> Response:
    """Read the parameters text of a picture, and what it says; a text that is too long is shown but not read."""
    from modules.imaging.read_info import read_picture_info

    pictures = Pictures.of(services)
    settings = pictures.settings
    found = read_picture_info(pictures.data(body.image), pictures.limits)
    text = found.infotext or ""
    parameters = {} if len(text) > MAX_CHARS else parse_infotext(
        text, styles=services.styles(), styles_mode=settings.infotext.infotext_styles,
        skip=settings.infotext.infotext_skip_pasting, backcompat=settings.compatibility.auto_backcompat,
    )  # fmt: skip
    items = {key: printable(value) for key, value in found.items.items()}
    return answer({"info": text, "items": items, "parameters": parameters})


def image_limits(settings: Snapshot) -> Any:
    """Return the limits of pictures that clients send."""
    from modules.imaging.open import ImageLimits

    api = settings.api
    return ImageLimits(max_bytes=api.api_max_image_mb << 20, max_pixels=int(api.api_max_image_mpixels * 1e6))


def printable(value: object) -> Any:
    """Return a text chunk of a picture as JSON can carry it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
