"""The bodies of version 2: A1111's flat fields and `kind`, which says what is asked for; unknown fields are refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from modules.domain.errors import InvalidRequest
from modules.engine.job import Owner, Payload
from modules.web.rest.extras import KIND as EXTRAS
from modules.web.rest.extras import ExtrasJob
from modules.web.rest.extras import request_of as extras_request
from modules.web.rest.merge import KIND as MERGE
from modules.web.rest.merge import merge_model
from modules.web.rest.merge import request_of as merge_request
from modules.web.rest.schema import MakeBody, own_img2img_model, txt2img_model
from modules.web.rest.translate import understand
from modules.web.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a body asks for."""

    payload: Payload
    kind: str
    task_id: str | None
    warnings: tuple[str, ...] = ()


Read = Callable[[MakeBody, Services, Owner], tuple[Payload, tuple[str, ...]]]
"""Makes the request of a body; also returns what had to be replaced in it, in sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One thing that a job can do."""

    name: str
    model: Callable[[], type[MakeBody]]
    """Builds the model of its fields."""
    read: Read
    example: Mapping[str, Any]
    saves: bool = True
    """Whether it makes pictures, which are saved unless the body says otherwise."""


def _pictures(body: MakeBody, services: Services, owner: Owner) -> tuple[Payload, tuple[str, ...]]:
    understood = understand(body, services, owner.user)
    if understood.kept:
        field = "override_settings_restore_afterwards"
        raise InvalidRequest("a job leaves no settings behind; change them with /sdapi/v1/options", field=field)
    return understood.generation, understood.warnings


def _merged(body: MakeBody, services: Services, _owner: Owner) -> tuple[Payload, tuple[str, ...]]:
    return merge_request(body.model_dump(), services), ()


def _refined(body: MakeBody, services: Services, _owner: Owner) -> tuple[Payload, tuple[str, ...]]:
    assert isinstance(body, ExtrasJob)
    return extras_request(body, services), ()


KINDS: tuple[Kind, ...] = (
    Kind(
        name="txt2img", model=txt2img_model, read=_pictures,
        example=MappingProxyType({"prompt": "a red circle on a blue background", "steps": 20, "width": 128,
                                  "height": 128, "seed": 1}),
    ),
    Kind(
        name="img2img", model=own_img2img_model, read=_pictures,
        example=MappingProxyType({"prompt": "a red circle", "init_images": ["iVBORw0KGgo..."],
                                  "denoising_strength": 0.6}),
    ),
    Kind(
        name=EXTRAS, model=lambda: ExtrasJob, read=_refined,
        example=MappingProxyType({"images": [{"data": "iVBORw0KGgo...", "name": "cat"}],
                                  "steps": {"Upscale": {"upscaler_1_name": "Lanczos", "upscale_by": 2}}}),
    ),
    Kind(
        name=MERGE, model=merge_model, read=_merged, saves=False,
        example=MappingProxyType({"primary_model_name": "one", "secondary_model_name": "other", "multiplier": 0.5}),
    ),
)  # fmt: skip


@cache
def job_model() -> Any:
    """Build the type of the body of `POST /api/v2/jobs`."""
    models = [_job_model(kind) for kind in KINDS]
    return Annotated[reduce(or_, models), Field(discriminator="kind")]


def _job_model(kind: Kind) -> Any:
    class Strict(kind.model()):
        """Refuses fields that it does not know."""

        model_config = ConfigDict(
            extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [{"kind": kind.name, **kind.example}]}
        )

    fields: dict[str, Any] = {"kind": (Literal[kind.name], kind.name)}
    if kind.saves:
        fields["save_images"] = (bool, True)
    about = f"A job of kind {kind.name}."
    return create_model(f"{kind.name.capitalize()}Job", __base__=Strict, __doc__=about, **fields)


def asked_of(body: MakeBody, services: Services, owner: Owner) -> Asked:
    """Read a body.

    Raises:
        WebuiError: a value that cannot be used; names the field.
    """
    given = body.model_dump()
    kind = next(one for one in KINDS if one.name == given["kind"])
    payload, warnings = kind.read(body, services, owner)
    return Asked(payload=payload, kind=kind.name, task_id=given["force_task_id"] or None, warnings=warnings)


class Move(BaseModel):
    """Where a waiting job should go."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"place": 1}]})

    place: Annotated[int, Field(ge=1, le=1_000_000, description="1 is the next job to run.")]
