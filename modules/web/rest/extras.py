"""Steps over finished pictures: A1111's endpoints, which save nothing and answer with pictures, and our own job."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from modules.domain import extras
from modules.domain.errors import InvalidImage, InvalidRequest, LimitExceeded, UnsupportedFeature
from modules.domain.extras import KIND, ExtrasOutcome, NamedPicture
from modules.domain.request import ImageRef
from modules.engine.job import Cancelled, JobHandle
from modules.pipeline.extras.builtin import MAX_FACTOR
from modules.web.rest.errors import answer
from modules.web.rest.pictures import Pictures
from modules.web.rest.requests import StrictRoute, ended_or_gone, owner_of, services_of
from modules.web.rest.schema import ExtrasBatchRequest, ExtrasRequest, ExtrasSingleRequest, MakeBody
from modules.web.rest.schema import NamedPicture as SentPicture
from modules.web.rest.sdapi import CLIENT_GONE
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]
STEP = "upscale"


class ExtrasJob(MakeBody):
    """The fields of a job of our own."""

    images: list[SentPicture] = Field([], description="Pictures in base64, and names for their results.")
    folder: str = Field("", description="A folder of pictures, in place of images.")
    output: str = Field("", description="Folder of the results; empty is the one of the settings.")
    steps: dict[str, dict[str, Any]] = Field(
        default_factory=dict[str, dict[str, Any]], description="Name of a step -> its values by name."
    )
    show: bool = Field(True, description="Whether results are kept in memory, so that they can be fetched.")
    force_task_id: str | None = None


def extras_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute, tags=["sdapi"])

    async def extra_single_image(request: Request, services: Needs, body: ExtrasSingleRequest) -> Response:
        """Enlarge a picture."""
        sent = [SentPicture(data=body.image, name="")]
        return await _made(request, services, body, sent, "image")

    async def extra_batch_images(request: Request, services: Needs, body: ExtrasBatchRequest) -> Response:
        """Enlarge several pictures in the same way."""
        return await _made(request, services, body, body.imageList, "imageList")

    router.add_api_route("/extra-single-image", extra_single_image, methods=["POST"])
    router.add_api_route("/extra-batch-images", extra_batch_images, methods=["POST"])
    return router


async def _made(
    request: Request, services: Services, body: ExtrasRequest, sent: Sequence[SentPicture], field: str
) -> Response:
    """Queue a job and wait for it; a client that leaves takes its job with it."""
    handle = await run_in_threadpool(_accept, request, services, body, sent, field)
    if await ended_or_gone(handle, request.receive):
        if services.settings.snapshot().api.api_cancel_on_disconnect:
            services.desk.cancel(handle.id)
        return Response(status_code=CLIENT_GONE)
    outcome = handle.result_as(ExtrasOutcome)
    failed = next((one for one in outcome.files if one.state == "failed"), None)
    if failed is not None:
        raise InvalidImage(f"{failed.name or 'a picture'}: {failed.reason}", field=field)
    images = [base64.b64encode(one.data).decode("ascii") for one in outcome.images]
    told = f"<p>{html.escape(outcome.told)}</p>"
    if field == "imageList":
        return answer({"html_info": told, "images": images})
    if not images:
        raise Cancelled("the job was interrupted before the picture was ready")
    return answer({"html_info": told, "image": images[0]})


def _accept(
    request: Request, services: Services, body: ExtrasRequest, sent: Sequence[SentPicture], field: str
) -> JobHandle:
    files = brought(services, body, [one.data for one in sent], field)
    pictures = tuple(
        NamedPicture(image=ImageRef.of(data), name=one.name[: extras.MAX_NAME_CHARS])
        for data, one in zip(files, sent, strict=True)
    )
    steps = services.steps.read({STEP: values_of(body)})
    wanted = extras.ExtrasRequest(pictures=pictures, steps=steps, save=False)
    return services.desk.accept(wanted, owner_of(request), kind=KIND, attended=True)


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
    files = read_pictures(services, given, field)
    pictures = Pictures.of(services)
    api = pictures.settings.api
    spec = spec_of(body)
    check_spec(spec, services.upscalers())
    total = 0
    for data in files:
        header = open_header(data, pictures.limits, field=field)
        width, height = header.size
        if spec.first != NO_UPSCALER:
            width, height = result_size(width, height, spec, int(api.api_max_upscaled_mpixels * 1e6))
        total += width * height
    if total > api.api_max_total_mpixels * 1e6:
        raise LimitExceeded(
            field, f"{total / 1e6:g} megapixels", f"{api.api_max_total_mpixels:g} megapixels", "api_max_total_mpixels"
        )
    return files


def read_pictures(services: Services, given: Sequence[str], field: str) -> list[bytes]:
    """Read the files of pictures.

    Raises:
        InvalidImage: something that is not a picture.
        LimitExceeded: too many pictures, or too large.
    """
    pictures = Pictures.of(services)
    most = pictures.settings.api.api_max_images_per_request
    if len(given) > most:
        raise LimitExceeded(field, f"{len(given)} pictures", most, "api_max_images_per_request")
    return [pictures.data(text, field) for text in given]


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


def values_of(body: ExtrasRequest) -> Mapping[str, Any]:
    """Return the values of the step that enlarges; those that the mode does not look at are left out."""
    sized: dict[str, Any] = {
        "upscale_to_width": body.upscaling_resize_w, "upscale_to_height": body.upscaling_resize_h,
        "upscale_crop": body.upscaling_crop,
    }  # fmt: skip
    return {
        "upscale_mode": body.resize_mode, "upscaler_1_name": body.upscaler_1 or "None",
        "upscaler_2_name": body.upscaler_2 or "None", "upscaler_2_visibility": body.extras_upscaler_2_visibility,
        **(sized if body.resize_mode else {"upscale_by": body.upscaling_resize}),
    }  # fmt: skip


def request_of(body: ExtrasJob, services: Services) -> extras.ExtrasRequest:
    """Make the request of a job of our own.

    Raises:
        WebuiError: a picture, a step or a value that cannot be used.
    """
    if not body.steps:
        raise InvalidRequest("name at least one step", field="steps")
    files = read_pictures(services, [one.data for one in body.images], "images")
    pictures = tuple(
        NamedPicture(image=ImageRef.of(data), name=one.name) for data, one in zip(files, body.images, strict=True)
    )
    return extras.ExtrasRequest(
        pictures=pictures, folder=body.folder, output=body.output, steps=services.steps.read(body.steps),
        save=bool(getattr(body, "save_images", True)), show=body.show,
    )  # fmt: skip
