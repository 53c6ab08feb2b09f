"""The bodies of `/sdapi/v1/txt2img` and `/img2img`: the parameters of a request plus A1111's fields without one here."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from modules.domain.limits import COUNTS
from modules.domain.param import ParamPath, walk_params
from modules.domain.request import (
    ExtendSpec,
    FolderSpec,
    Generation,
    HiresSpec,
    InitSpec,
    LookSpec,
    MaskSpec,
    RefinerSpec,
    SoftSpec,
)

API_DEFAULTS: Mapping[str, Any] = MappingProxyType({
    "steps": 50, "sampler_name": None, "scheduler": None, "styles": None, "refiner_checkpoint": None,
    "inpainting_fill": 0, "inpaint_full_res": True, "inpaint_full_res_padding": 0,
})  # fmt: skip
"""Where A1111's API starts from another value than its interface; None is settled in translation."""

MAX_SCRIPT_ARGS = 1000
_INT64 = 2**63 - 1
_Count = Annotated[int, Field(ge=0, le=_INT64)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Blur = Annotated[int, Field(ge=0, le=1024)]
_Args = Annotated[list[Any], Field(max_length=MAX_SCRIPT_ARGS)]
_Json = dict[str, Any]

A1111_FIELDS: Mapping[str, tuple[Any, Any]] = MappingProxyType({
    "do_not_save_samples": (bool, False),
    "do_not_save_grid": (bool, False),
    "override_settings": (_Json | None, None),
    "override_settings_restore_afterwards": (bool, True),
    "disable_extra_networks": (bool, False),
    "firstpass_image": (str | None, None),
    "comments": (_Json | None, None),
    "sampler_index": (str, "Euler"),
    "script_name": (str | None, None),
    "script_args": (_Args, []),
    "send_images": (bool, True),
    "save_images": (bool, False),
    "alwayson_scripts": (dict[str, _Json], {}),
    "force_task_id": (str | None, None),
    "infotext": (str | None, None),
})  # fmt: skip
"""Fields of both of A1111's bodies that are not parameters of a request: type and default."""

TXT2IMG_FIELDS: Mapping[str, tuple[Any, Any]] = MappingProxyType({
    "denoising_strength": (_Share | None, None),
    "enable_hr": (bool, False),
    "firstphase_width": (_Count, 0),
    "firstphase_height": (_Count, 0),
})  # fmt: skip
"""Further fields of txt2img."""

IMG2IMG_FIELDS: Mapping[str, tuple[Any, Any]] = MappingProxyType({
    "init_images": (list[str] | None, None),
    "mask": (str | None, None),
    "mask_blur": (_Blur | None, None),
    "latent_mask": (str | None, None),
    "include_init_images": (bool, False),
})  # fmt: skip
"""Further fields of img2img."""


class MakeBody(BaseModel):
    """The body of a request for pictures: accepts null for every field, ignores unknown ones, and refuses numbers that are not finite."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, hide_input_in_errors=False)

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given: dict[str, Any] = {key: value for key, value in data.items() if value is not None}
        for name in ("seed", "subseed"):
            if isinstance(given.get(name), str) and not given[name].strip():
                del given[name]
        return given


@cache
def params() -> Mapping[str, ParamPath]:
    """Return API name -> parameter for all parameters that the API offers."""
    return MappingProxyType({item.name: item for item in walk_params(Generation) if item.name})


@cache
def txt2img_model() -> type[MakeBody]:
    """Build the model of the body of txt2img."""
    return _model("Txt2ImgRequest", (Generation, HiresSpec, RefinerSpec), TXT2IMG_FIELDS)


@cache
def img2img_model() -> type[MakeBody]:
    """Build the model of the body of img2img."""
    return _model("Img2ImgRequest", (Generation, InitSpec, MaskSpec, RefinerSpec), IMG2IMG_FIELDS)


@cache
def own_img2img_model() -> type[MakeBody]:
    """Build the model of the body of our own img2img: A1111's and the parts that it does not know."""
    parts: dict[str, Any] = {
        "extend": _model("Extend", (ExtendSpec,), {}, common={}),
        "soft_inpainting": _model("SoftInpainting", (SoftSpec,), {}, common={}),
        "folder": _model("Folder", (FolderSpec,), {}, common={}),
        "look": _model("Look", (LookSpec,), {"depth": (str | None, None)}, common={}),
    }
    fields: dict[str, Any] = {name: (model | None, None) for name, model in parts.items()}
    return create_model("OwnImg2ImgRequest", __base__=img2img_model(), **fields)


def _model(
    name: str,
    parts: tuple[type, ...],
    more: Mapping[str, tuple[Any, Any]],
    common: Mapping[str, tuple[Any, Any]] = A1111_FIELDS,
) -> type[MakeBody]:
    fields: dict[str, Any] = {item.name: _field(item) for part in parts for item in walk_params(part) if item.name}
    fields |= {**common, **more}
    return create_model(name, __base__=MakeBody, **fields)


def _field(item: ParamPath) -> tuple[Any, Any]:
    about = item.param
    default = API_DEFAULTS.get(item.name, item.default)
    default = list(default) if isinstance(default, tuple) else default
    kind = _kind(item)
    bounds = {"ge": about.ge, "le": _INT64 if item.name in COUNTS else about.le}
    given = {key: bound for key, bound in bounds.items() if bound is not None}
    title = Field(default, title=about.label, description=about.help or None)
    if default is None and kind in (str, list[str]):
        kind = kind | None
    return (Annotated[kind, Field(**given)] if given else kind), title


def _kind(item: ParamPath) -> Any:
    """Return the JSON type of a parameter. A prompt is one text, or a list with one for each picture."""
    if item.name in ("prompt", "negative_prompt"):
        return str | list[str]
    if item.annotation == tuple[str, ...]:
        return list[str]
    return item.annotation


class ExtrasRequest(MakeBody):
    """What the bodies of `/sdapi/v1/extra-single-image` and `/extra-batch-images` share."""

    resize_mode: int = Field(0, ge=0, le=1, description="0 enlarges by a factor, 1 to a size.")
    show_extras_results: bool = True
    gfpgan_visibility: _Share = 0
    codeformer_visibility: _Share = 0
    codeformer_weight: _Share = 0
    upscaling_resize: float = Field(2, gt=0)
    upscaling_resize_w: int = Field(512, ge=1)
    upscaling_resize_h: int = Field(512, ge=1)
    upscaling_crop: bool = True
    upscaler_1: str = "None"
    upscaler_2: str = "None"
    extras_upscaler_2_visibility: _Share = 0
    upscale_first: bool = False


class ExtrasSingleRequest(ExtrasRequest):
    """The body of `/sdapi/v1/extra-single-image`."""

    image: str = ""


class NamedPicture(BaseModel):
    """One picture of a batch."""

    data: str
    name: str


class ExtrasBatchRequest(ExtrasRequest):
    """The body of `/sdapi/v1/extra-batch-images`."""

    imageList: list[NamedPicture]  # noqa: N815 - A1111's name


class PngInfoRequest(BaseModel):
    """The body of `/sdapi/v1/png-info`."""

    image: str


class ProgressRequest(BaseModel):
    """The body of `/internal/progress`."""

    id_task: str | None = None
    id_live_preview: int | None = -1
    live_preview: bool | None = True
