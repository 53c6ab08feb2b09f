"""The optional parts of a request: init images, mask, hires pass, refiner. Each is there only if the body asks for it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException

from modules.domain.errors import InvalidRequest, LimitExceeded, UnknownName
from modules.domain.param import walk_params
from modules.domain.request import (
    PNG_INFO_PROPS,
    BatchSpec,
    ExtendSpec,
    FolderSpec,
    HiresSpec,
    ImageRef,
    InitSpec,
    LookSpec,
    MaskSpec,
    RefinerSpec,
    SoftSpec,
)
from modules.web.rest.build import build
from modules.web.rest.pictures import Pictures

NOTHING = (None, "", "None", "Use same checkpoint")
"""What stands for no checkpoint in A1111's choices."""

MAX_PICTURES = 64
"""A batch is not larger, so more init images cannot be used."""

SOFT_INPAINTING = "soft inpainting"
"""Title of A1111's script whose arguments are another way to ask for soft inpainting."""

_Asked = Mapping[str, Any]


def parts_of(
    asked: _Asked, pictures: Pictures, knows_checkpoint: Callable[[str], bool], upscalers: Collection[str]
) -> dict[str, Any]:
    """Return the fields `init`, `mask`, `hires`, `refiner` and, where init images decide it, `batch`.

    Raises:
        InvalidRequest: a value that cannot be used; names the field.
        InvalidImage: something that is not a picture.
        HTTPException: no init image, or an address instead of one.
    """
    found: dict[str, Any] = {"refiner": refiner_of(asked, knows_checkpoint)}
    if "init_images" not in asked:
        return {**found, "hires": hires_of(asked, pictures, knows_checkpoint, upscalers)}
    if asked["firstpass_image"]:
        raise InvalidRequest("only txt2img has a first pass", field="firstpass_image")
    folder = folder_of(asked)
    images = () if folder else init_images(asked["init_images"], pictures)
    found["folder"] = folder
    found["init"] = build(InitSpec, asked, {"images": images, "look": look_of(asked, pictures)})
    found["mask"] = mask_of(asked, pictures)
    if len(images) > asked["batch_size"]:
        raise InvalidRequest(f"{len(images)} init images for a batch of {asked['batch_size']}", field="init_images")
    if len(images) > 1:
        found["batch"] = BatchSpec(size=len(images), count=asked["n_iter"])
    return found


def init_images(given: Sequence[str] | None, pictures: Pictures) -> tuple[ImageRef, ...]:
    """Read the init images.

    Raises:
        HTTPException: there is none, or an address instead of one.
        InvalidImage: something that is not a picture.
        LimitExceeded: too many.
    """
    if not given:
        raise HTTPException(404, "Init image not found")
    if len(given) > MAX_PICTURES:
        raise LimitExceeded("init_images", f"{len(given)} pictures", MAX_PICTURES)
    return tuple(picture(text, pictures, "init_images") for text in given)


def look_of(asked: _Asked, pictures: Pictures) -> LookSpec | None:
    """Read what a model that looks at the picture makes of it.

    Raises:
        InvalidImage: a depth map that is no picture.
    """
    given = asked.get("look")
    if given is None:
        return None
    depth = picture(given["depth"], pictures, "depth") if given["depth"] else None
    return build(LookSpec, given, {"depth": depth})


def mask_of(asked: _Asked, pictures: Pictures) -> MaskSpec | None:
    """Read the mask; `mask_blur` stands for both directions."""
    masks_come_later = bool((asked.get("folder") or {}).get("masks"))
    if not asked["mask"] and not asked.get("extend") and not masks_come_later:
        return None
    both = asked["mask_blur"]
    blur = {} if both is None else {"mask_blur_x": both, "mask_blur_y": both}
    more = {
        "image": picture(asked["mask"], pictures, "mask") if asked["mask"] else None,
        "extend": extend_of(asked),
        "latent": picture(asked["latent_mask"], pictures, "latent_mask") if asked["latent_mask"] else None,
        "soft": soft_of(asked),
    }
    return build(MaskSpec, {**asked, **blur}, more)


def soft_of(asked: _Asked) -> SoftSpec | None:
    """Read soft inpainting from the arguments of A1111's script: a switch, then the numbers; missing ones keep their default.

    Raises:
        InvalidRequest: an argument of the wrong type or out of range.
    """
    if asked.get("soft_inpainting") is not None:
        return build(SoftSpec, asked["soft_inpainting"])
    title = next((title for title in asked["alwayson_scripts"] if title.lower() == SOFT_INPAINTING), None)
    args = asked["alwayson_scripts"].get(title, {}).get("args") or [False]
    if not isinstance(args, list):
        raise InvalidRequest(f"the args of {SOFT_INPAINTING} must be a list", field="alwayson_scripts")
    enabled, *numbers = args
    if not enabled:
        return None
    values: dict[str, float] = {}
    for item, given in zip(walk_params(SoftSpec), numbers, strict=False):
        if isinstance(given, bool) or not isinstance(given, int | float):
            wrong = f"{SOFT_INPAINTING}: {item.param.label} must be a number, got {given!r:.50}"
            raise InvalidRequest(wrong, field="alwayson_scripts")
        values[item.name] = given
    return build(SoftSpec, values)


def size_of_first_image(asked: _Asked, pictures: Pictures) -> dict[str, int]:
    """Return the size of the picture that stands for a first pass, which is that of the run."""
    from modules.imaging.open import open_image

    given = asked["firstpass_image"]
    if not given:
        return {}
    data = pictures.data(given, "firstpass_image")
    image = open_image(data, pictures.limits, field="firstpass_image")
    return {"width": image.width, "height": image.height}


def extend_of(asked: _Asked) -> ExtendSpec | None:
    """Read the room that is to be added.

    Raises:
        InvalidRequest: there is none on any side.
    """
    given = asked.get("extend")
    if given is None:
        return None
    if not any(given[side] for side in ("left", "right", "top", "bottom")):
        raise InvalidRequest("say on which side room is to be added", field="extend")
    return build(ExtendSpec, given)


def folder_of(asked: _Asked) -> FolderSpec | None:
    """Read the folders of a run over many pictures.

    Raises:
        InvalidRequest: there are init images besides, or an unknown part of infotexts is wanted.
    """
    given = asked.get("folder")
    if given is None:
        return None
    if asked["init_images"]:
        raise InvalidRequest("the pictures come from the folder; leave it out", field="init_images")
    if unknown := [prop for prop in given["png_info_props"] if prop not in PNG_INFO_PROPS]:
        raise UnknownName("Parameter", str(unknown[0]), PNG_INFO_PROPS, field="png_info_props")
    return build(FolderSpec, {**given, "png_info_props": tuple(given["png_info_props"])})


def picture(text: str, pictures: Pictures, field: str) -> ImageRef:
    """Read a picture and look at its header, so that a broken one is refused before it waits."""
    from modules.imaging.open import open_header

    data = pictures.data(text, field)
    open_header(data, pictures.limits, field=field)
    return ImageRef.of(data)


def hires_of(
    asked: _Asked, pictures: Pictures, knows_checkpoint: Callable[[str], bool], upscalers: Collection[str]
) -> HiresSpec | None:
    """Read the hires pass.

    Raises:
        InvalidRequest: it has no denoising strength, or is not wanted although its picture is there.
        UnknownName: its checkpoint or its upscaler is not there.
    """
    given = asked["firstpass_image"]
    if not asked["enable_hr"]:
        if given:
            raise InvalidRequest("it is enlarged by hires fix, so enable_hr must be on", field="firstpass_image")
        return None
    if asked["denoising_strength"] is None:
        raise InvalidRequest("the hires pass needs a denoising strength", field="denoising_strength")
    _check_checkpoint(asked["hr_checkpoint_name"], "hr_checkpoint_name", knows_checkpoint)
    _check_upscaler(asked["hr_upscaler"], upscalers)
    more = {"first_image": picture(given, pictures, "firstpass_image")} if given else {}
    return build(HiresSpec, asked, more)


def refiner_of(asked: _Asked, knows_checkpoint: Callable[[str], bool]) -> RefinerSpec | None:
    """Read the refiner.

    Raises:
        UnknownName: the checkpoint is not there.
    """
    if asked["refiner_checkpoint"] in NOTHING:
        return None
    _check_checkpoint(asked["refiner_checkpoint"], "refiner_checkpoint", knows_checkpoint)
    return build(RefinerSpec, asked)


def _check_upscaler(name: str | None, upscalers: Collection[str]) -> None:
    from modules.web.adapters import latent_modes, upscaler_names

    if name and name not in (known := [*latent_modes(), *upscaler_names(upscalers)]):
        raise UnknownName("Upscaler", name, known, field="hr_upscaler")


def _check_checkpoint(name: str | None, field: str, knows: Callable[[str], bool]) -> None:
    if name not in NOTHING and not knows(str(name)):
        raise UnknownName("Checkpoint", str(name), field=field)
