"""What clients of OpenAI's image API send, as the body of our own request."""

import base64
import io
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from modules.domain.errors import InvalidRequest
from modules.settings.snapshot import Snapshot
from modules.web.rest.pictures import image_limits
from modules.web.rest.schema import MakeBody, own_img2img_model, txt2img_model
from modules.web.services import Services

if TYPE_CHECKING:
    from PIL import Image

THEIR_MODELS = re.compile(r"dall-e-\d|gpt-image-\d[\w.-]*|chatgpt-image[\w.-]*", re.ASCII)
"""Names that stand for whatever is configured here: programs send them without being asked."""
DEFAULT_STEPS = 20
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
_FORMATS = {"png": "png", "jpeg": "jpg", "webp": "webp"}
_OWN = ("negative_prompt", "seed", "steps", "cfg_scale", "sampler_name", "scheduler", "denoising_strength")
"""Our fields that may stand beside theirs."""


class ImagesRequest(BaseModel):
    """The body of `/v1/images/generations`; fields of theirs that mean nothing here are ignored."""

    model_config = ConfigDict(
        extra="ignore", allow_inf_nan=False,
        json_schema_extra={"examples": [{"prompt": "a red circle on a blue background", "n": 1, "size": "128x128",
                                         "response_format": "b64_json"}]},
    )  # fmt: skip

    prompt: Annotated[str, Field(min_length=1, description="What the picture shows.")]
    model: Annotated[
        str | None, Field(description="A checkpoint, or one of OpenAI's names for the configured one.")
    ] = None
    n: Annotated[int | None, Field(ge=1, le=10, description="How many pictures.")] = 1
    size: Annotated[str | None, Field(description="`512x768`, or `auto` for the model's own size.")] = "auto"
    response_format: Literal["url", "b64_json"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    sampler_name: str | None = None
    scheduler: str | None = None
    denoising_strength: Annotated[float | None, Field(description="Only for edits: how far to go.")] = None

    def wants_url(self) -> bool:
        """Whether pictures are answered as addresses: what the model's name implies unless it is said."""
        if self.response_format is not None:
            return self.response_format == "url"
        return not (self.model or "").startswith(("gpt-image", "chatgpt-image"))


def generation_body(asked: ImagesRequest, services: Services) -> MakeBody:
    """Turn a request for pictures into the body of txt2img.

    Raises:
        HTTPException: the model does not exist.
        InvalidRequest: a value that cannot be used.
    """
    size = size_of(asked.size, lambda: _native_size(asked, services))
    return _validated(txt2img_model(), {**_common(asked, services), **size})


def edit_body(asked: ImagesRequest, image: bytes, mask: bytes | None, services: Services) -> MakeBody:
    """Turn a request for a changed picture into the body of img2img.

    Transparent parts of the mask, or of the picture when there is no mask, are repainted; a mask without transparency
    is read as ours are: white is repainted. Without either the whole picture is.

    Raises:
        HTTPException: the model does not exist.
        InvalidImage: something that is not a picture.
        InvalidRequest: a value that cannot be used.
    """
    settings = services.settings.snapshot()
    picture = _open(image, settings, "image")
    chosen = _mask_of(picture, _open(mask, settings, "mask") if mask is not None else None)
    size = size_of(asked.size, lambda: (picture.width // 8 * 8, picture.height // 8 * 8))
    parts: dict[str, Any] = {"init_images": [_base64(picture.convert("RGB"))], "inpainting_fill": 1}
    if chosen is not None:
        parts |= {"mask": _base64(chosen), "inpaint_full_res": False}
    return _validated(own_img2img_model(), {**_common(asked, services), **size, **parts})


def size_of(text: str | None, own: Callable[[], tuple[int, int]]) -> dict[str, int]:
    """Read a size.

    Args:
        text: `512x768`; None, empty or `auto` for the size that fits.
        own: returns the size that fits.

    Raises:
        InvalidRequest: neither.
    """
    if text in (None, "", "auto"):
        width, height = own()
        return {"width": max(8, width), "height": max(8, height)}
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InvalidRequest("expected a size such as 512x768, or auto", field="size")
    return {"width": int(found[1]), "height": int(found[2])}


def chosen_model(name: str | None, services: Services) -> str | None:
    """Return the checkpoint that a model's name stands for; None for the configured one.

    Raises:
        HTTPException: there is none of this name.
    """
    if not name or THEIR_MODELS.fullmatch(name):
        return None
    if not services.knows_checkpoint(name):
        raise HTTPException(404, f"The model {name[:200]!r} does not exist; see /v1/models")
    return name


def _native_size(asked: ImagesRequest, services: Services) -> tuple[int, int]:
    name = chosen_model(asked.model, services) or services.settings.snapshot().sd.sd_model_checkpoint or ""
    side = services.checkpoint_facts(name).native_size
    return side, side


def _common(asked: ImagesRequest, services: Services) -> dict[str, Any]:
    given = {name: value for name in _OWN if (value := getattr(asked, name)) is not None}
    model, overrides = chosen_model(asked.model, services), dict[str, Any]()
    if model is not None:
        overrides["sd_model_checkpoint"] = model
    if asked.output_format is not None:
        overrides["samples_format"] = _FORMATS[asked.output_format]
    return {
        "prompt": asked.prompt, "batch_size": 1, "n_iter": asked.n or 1, "steps": DEFAULT_STEPS,
        "save_images": True, "override_settings": overrides, **given,
    }  # fmt: skip


def _validated(model: type[MakeBody], values: Mapping[str, Any]) -> MakeBody:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        raise InvalidRequest(first["msg"], field="size" if name in ("width", "height") else name) from None


def _open(data: bytes, settings: Snapshot, field: str) -> "Image.Image":
    from modules.imaging.open import open_image

    return open_image(data, image_limits(settings), field=field)


def _mask_of(picture: "Image.Image", mask: "Image.Image | None") -> "Image.Image | None":
    """Return what is repainted, in white; None for everything."""
    from PIL import ImageChops

    source = mask or picture
    if source.mode == "RGBA":  # pictures are opened as such only if something in them is transparent
        return ImageChops.invert(source.getchannel("A"))
    return None if mask is None else mask.convert("L")


def _base64(image: "Image.Image") -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
