"""A1111's API: enlarging finished pictures. Nothing is saved; the pictures go back to the client."""

import asyncio
import base64
import html
import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool

from modules.domain.errors import LimitExceeded, UnsupportedFeature
from modules.settings.snapshot import Snapshot
from modules.web.rest.pictures import Pictures
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.rest.schema import ExtrasBatchRequest, ExtrasRequest, ExtrasSingleRequest
from modules.web.services import Services

MAX_FACTOR = 16
Needs = Annotated[Services, Depends(services_of)]


def extras_router() -> APIRouter:
    """Make the routes of this file. One request is worked on at a time; the others wait without a thread."""
    router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute, tags=["sdapi"])
    one_at_a_time = asyncio.Semaphore(1)

    async def made(services: Services, body: ExtrasRequest, given: Sequence[str], field: str) -> list[str]:
        files = await run_in_threadpool(brought, services, body, given, field)
        async with one_at_a_time:
            return await run_in_threadpool(enlarged, services, body, files, field)

    async def extra_single_image(services: Needs, body: ExtrasSingleRequest) -> dict[str, Any]:
        """Enlarge a picture."""
        (image,) = await made(services, body, [body.image], "image")
        return {"html_info": told_as_html(body), "image": image}

    async def extra_batch_images(services: Needs, body: ExtrasBatchRequest) -> dict[str, Any]:
        """Enlarge several pictures in the same way."""
        images = await made(services, body, [one.data for one in body.imageList], "imageList")
        return {"html_info": told_as_html(body), "images": images}

    router.add_api_route("/extra-single-image", extra_single_image, methods=["POST"])
    router.add_api_route("/extra-batch-images", extra_batch_images, methods=["POST"])
    return router


def brought(services: Services, body: ExtrasRequest, given: Sequence[str], field: str) -> list[bytes]:
    """Read the pictures of a request and check what is asked for, before anything is done.

    Raises:
        UnsupportedFeature: a face restorer is wanted.
        UnknownName: an upscaler that is not there.
        InvalidImage: something that is not a picture.
        LimitExceeded: too many pictures, or too large.
    """
    from modules.imaging.open import open_header
    from modules.imaging.upscale import NO_UPSCALER, check_spec, result_size

    refuse_faces(body)
    pictures = Pictures.of(services)
    api = pictures.settings.api
    if len(given) > api.api_max_images_per_request:
        raise LimitExceeded(
            field, f"{len(given)} pictures", api.api_max_images_per_request, "api_max_images_per_request"
        )
    spec = spec_of(body)
    check_spec(spec)
    files = [pictures.data(text, field) for text in given]
    total = 0
    for data in files:
        header = open_header(data, pictures.limits, field=field)
        width, height = header.size
        if spec.first != NO_UPSCALER:
            width, height = result_size(width, height, spec, _most_pixels(pictures))
        total += width * height
    if total > api.api_max_total_mpixels * 1e6:
        raise LimitExceeded(
            field, f"{total / 1e6:g} megapixels", f"{api.api_max_total_mpixels:g} megapixels", "api_max_total_mpixels"
        )
    return files


def enlarged(services: Services, body: ExtrasRequest, files: Sequence[bytes], field: str) -> list[str]:
    """Enlarge pictures; returns them in base64.

    Raises:
        InvalidImage: a picture is broken behind its header.
    """
    pictures = Pictures.of(services)
    return [_encoded(_enlarged(data, pictures, body, field), pictures.settings) for data in files]


def _most_pixels(pictures: Pictures) -> int:
    return int(pictures.settings.api.api_max_upscaled_mpixels * 1e6)


def refuse_faces(body: ExtrasRequest) -> None:
    """Refuse what restores faces; a visibility of 0 asks for nothing.

    Raises:
        UnsupportedFeature: names the field.
    """
    for field in ("gfpgan_visibility", "codeformer_visibility"):
        if getattr(body, field) > 0:
            raise UnsupportedFeature("Face restoration", field=field)


def spec_of(body: ExtrasRequest) -> Any:
    """Read what is to be done.

    Raises:
        LimitExceeded: the factor is too large.
    """
    from modules.imaging.upscale import UpscaleSpec

    if body.resize_mode == 0 and body.upscaling_resize > MAX_FACTOR:
        raise LimitExceeded("upscaling_resize", f"{body.upscaling_resize:g}", MAX_FACTOR)
    return UpscaleSpec(
        factor=body.upscaling_resize if body.resize_mode == 0 else None,
        size=(body.upscaling_resize_w, body.upscaling_resize_h) if body.resize_mode == 1 else None,
        crop=body.upscaling_crop,
        first=body.upscaler_1 or "None",
        second=body.upscaler_2 or "None",
        second_visibility=body.extras_upscaler_2_visibility,
    )


def told(body: ExtrasRequest) -> str:
    """Write what was done as one line of parameters."""
    from modules.imaging.upscale import describe

    return ", ".join(f"{key}: {_quoted(value)}" for key, value in describe(spec_of(body)).items())


def told_as_html(body: ExtrasRequest) -> str:
    """Write what was done as A1111's page shows it."""
    return f"<p>{html.escape(told(body))}</p>"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(letter in value for letter in ",:\n") else value


def _enlarged(data: bytes, pictures: Pictures, body: ExtrasRequest, field: str) -> Any:
    """Enlarge one picture; its texts stay, and one about what was done is added."""
    from modules.imaging.open import open_image
    from modules.imaging.read_info import read_picture_info
    from modules.imaging.upscale import upscale

    found = read_picture_info(data, pictures.limits, field=field)
    opened = open_image(data, pictures.limits, field=field)
    image = upscale(opened, spec_of(body), max_pixels=_most_pixels(pictures))
    texts = {key: value for key, value in found.items.items() if isinstance(value, str)}
    if found.infotext is not None:
        texts["parameters"] = found.infotext
    if line := told(body):
        texts["postprocessing"] = line
    image.info = {**texts}
    return image


def _encoded(image: Any, settings: Snapshot) -> str:
    from modules.imaging.encode import encode

    saving = settings.saving
    infotext = image.info.get("parameters")
    if not settings.infotext.enable_pnginfo:
        image.info, infotext = {}, None
    made = encode(image, saving.samples_format, infotext, quality=saving.jpeg_quality, lossless=saving.webp_lossless)
    return base64.b64encode(made.data).decode("ascii")
