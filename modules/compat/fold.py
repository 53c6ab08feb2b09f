"""Between a request and A1111's `p`: one table of which attribute is which field.

Only what an extension changed is folded back, so that everything `p` knows nothing of stays as it was.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from types import MappingProxyType
from typing import Any

from PIL import Image

from modules.compat.job_object import (
    StableDiffusionProcessing,
    StableDiffusionProcessingImg2Img,
    StableDiffusionProcessingTxt2Img,
    field_defaults,
)
from modules.domain.request import Generation, HiresSpec, ImageRef, InitSpec, MaskSpec, RefinerSpec
from modules.imaging.open import open_image

Path = tuple[str, ...]


def _same(value: Any) -> Any:
    return value


def _text(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of `p` and the field of a request that it stands for."""

    name: str
    path: Path
    to_request: Callable[[Any], Any] = _same
    to_p: Callable[[Any], Any] = _same


def to_ref(image: Image.Image) -> ImageRef:
    """Carry a picture in a request."""
    data = io.BytesIO()
    image.save(data, "png", compress_level=1)
    return ImageRef.of(data.getvalue())


def to_image(ref: ImageRef | None) -> Image.Image | None:
    """Decode a picture of a request."""
    return open_image(ref.data) if ref is not None and ref.data is not None else None


def _to_refs(images: Sequence[Any] | None) -> tuple[ImageRef, ...]:
    return tuple(to_ref(image) for image in images or () if isinstance(image, Image.Image))


def _to_images(refs: tuple[ImageRef, ...]) -> list[Any]:
    return [image for image in map(to_image, refs) if image is not None]


def _mask_ref(image: Any) -> ImageRef | None:
    return to_ref(image) if isinstance(image, Image.Image) else None


def _not(value: Any) -> bool:
    return not value


def _none_as(default: Any) -> Callable[[Any], Any]:
    return lambda value: default if value is None else value


_PLAIN: tuple[tuple[str, Path], ...] = (
    ("seed", ("seed", "seed")), ("subseed", ("seed", "subseed")),
    ("subseed_strength", ("seed", "subseed_strength")), ("seed_resize_from_w", ("seed", "resize_from_width")),
    ("seed_resize_from_h", ("seed", "resize_from_height")), ("steps", ("sampling", "steps")),
    ("eta", ("sampling", "eta")), ("s_churn", ("sampling", "s_churn")), ("s_tmin", ("sampling", "s_tmin")),
    ("s_tmax", ("sampling", "s_tmax")), ("s_noise", ("sampling", "s_noise")),
    ("cfg_scale", ("guidance", "cfg_scale")), ("s_min_uncond", ("guidance", "s_min_uncond")),
    ("batch_size", ("batch", "size")), ("n_iter", ("batch", "count")), ("width", ("size", "width")),
    ("height", ("size", "height")), ("tiling", ("post", "tiling")), ("restore_faces", ("post", "restore_faces")),
)  # fmt: skip
COMMON: tuple[Attribute, ...] = (
    Attribute("prompt", ("prompt",), _text, _listed),
    Attribute("negative_prompt", ("negative_prompt",), _text, _listed),
    Attribute("styles", ("styles",), lambda value: tuple(value or ()), list),
    Attribute("sampler_name", ("sampling", "sampler"), _none_as("Euler")),
    Attribute("scheduler", ("sampling", "scheduler"), _none_as("Automatic")),
    Attribute("override_settings", ("overrides",), lambda value: MappingProxyType(dict(value or {})), dict),
    Attribute("do_not_save_samples", ("output", "save_images"), _not, _not),
    Attribute("do_not_save_grid", ("output", "save_grid"), _not, _not),
    Attribute("disable_extra_networks", ("extra_networks",), _not, _not),
    Attribute("user", ("output", "user")),
    Attribute("refiner_checkpoint", ("refiner", "checkpoint")),
    Attribute("refiner_switch_at", ("refiner", "switch_at")),
    *(Attribute(name, path) for name, path in _PLAIN),
)
TXT2IMG: tuple[Attribute, ...] = (
    *COMMON,
    Attribute("denoising_strength", ("hires", "denoising_strength"), _none_as(0.7)),
    Attribute("hr_upscaler", ("hires", "upscaler")),
    Attribute("hr_second_pass_steps", ("hires", "steps")),
    Attribute("hr_scale", ("hires", "scale")),
    Attribute("hr_resize_x", ("hires", "resize_x")),
    Attribute("hr_resize_y", ("hires", "resize_y")),
    Attribute("hr_checkpoint_name", ("hires", "checkpoint")),
    Attribute("hr_sampler_name", ("hires", "sampler")),
    Attribute("hr_scheduler", ("hires", "scheduler")),
    Attribute("hr_prompt", ("hires", "prompt")),
    Attribute("hr_negative_prompt", ("hires", "negative_prompt")),
    Attribute("firstpass_image", ("hires", "first_image"), _mask_ref, to_image),
)
IMG2IMG: tuple[Attribute, ...] = (
    *COMMON,
    Attribute("init_images", ("init", "images"), _to_refs, _to_images),
    Attribute("denoising_strength", ("init", "denoising_strength"), _none_as(0.75)),
    Attribute("resize_mode", ("init", "resize_mode")),
    Attribute("image_cfg_scale", ("init", "image_cfg_scale")),
    Attribute("initial_noise_multiplier", ("init", "noise_multiplier")),
    Attribute("image_mask", ("mask", "image"), _mask_ref, to_image),
    Attribute("latent_mask", ("mask", "latent"), _mask_ref, to_image),
    Attribute("mask_blur_x", ("mask", "blur_x")),
    Attribute("mask_blur_y", ("mask", "blur_y")),
    Attribute("mask_round", ("mask", "rounded")),
    Attribute("inpainting_fill", ("mask", "fill")),
    Attribute("inpaint_full_res", ("mask", "only_masked"), bool),
    Attribute("inpaint_full_res_padding", ("mask", "padding")),
    Attribute("inpainting_mask_invert", ("mask", "invert"), int),
)
_PARTS: Mapping[str, Any] = {"hires": HiresSpec, "init": InitSpec, "mask": MaskSpec, "refiner": RefinerSpec}
"""Parts that a request need not have, and what makes one."""
_EMPTY: Mapping[str, Mapping[str, Any]] = {"init": {"images": ()}, "refiner": {"checkpoint": ""}}
NO_REFINER = (None, "", "None", "none")


def attributes_of(p: StableDiffusionProcessing) -> tuple[Attribute, ...]:
    """Return the table of a job."""
    return IMG2IMG if isinstance(p, StableDiffusionProcessingImg2Img) else TXT2IMG


def job_object(request: Generation) -> StableDiffusionProcessing:
    """Make the `p` of a request."""
    p = StableDiffusionProcessingImg2Img() if request.init is not None else StableDiffusionProcessingTxt2Img()
    for one in attributes_of(p):
        found, value = _get(request, one.path)
        if found:
            setattr(p, one.name, one.to_p(value))
    if isinstance(p, StableDiffusionProcessingTxt2Img):
        p.enable_hr = request.hires is not None
    p.prompt_for_display = p.prompt
    remember(p, request)
    return p


def remember(p: StableDiffusionProcessing, request: Generation) -> None:
    """Take what `p` holds now as what the request says; later changes count from here."""
    vars(p)["_folded"] = request
    vars(p)["_seen"] = {one.name: _copied(getattr(p, one.name, None)) for one in attributes_of(p)}


def request_of(p: StableDiffusionProcessing) -> Generation:
    """Fold what was changed in `p` into its request; one that an extension made itself folds all it was given."""
    base: Generation = vars(p).get("_folded") or Generation()
    seen = vars(p).get("_seen") or field_defaults(type(p))
    request = _with_parts(base, p)
    for one in attributes_of(p):
        value = getattr(p, one.name, None)
        if _equal(value, seen.get(one.name)) and "_folded" in vars(p):
            continue
        if one.path[0] in _PARTS and getattr(request, one.path[0]) is None:
            continue
        request = _put(request, one.path, one.to_request(value))
    return request


def changed(p: StableDiffusionProcessing) -> bool:
    """Tell whether an extension changed what the request says."""
    return request_of(p) != vars(p).get("_folded")


def _with_parts(base: Generation, p: StableDiffusionProcessing) -> Generation:
    """Add the parts of a request that `p` asks for, and take away those that it does not."""
    wanted = {"refiner": p.refiner_checkpoint not in NO_REFINER}
    if isinstance(p, StableDiffusionProcessingTxt2Img):
        wanted["hires"] = bool(p.enable_hr)
    if isinstance(p, StableDiffusionProcessingImg2Img):
        extended = base.mask is not None and base.mask.extend is not None
        wanted |= {"init": True, "mask": p.image_mask is not None or extended}
    changes = {}
    for name, asked in wanted.items():
        there = getattr(base, name)
        if asked and there is None:
            changes[name] = _filled(name, p)
        elif not asked and there is not None:
            changes[name] = None
    return replace(base, **changes)


def _filled(part: str, p: StableDiffusionProcessing) -> Any:
    """Make a part of everything that `p` says about it."""
    values = dict(_EMPTY.get(part, {}))
    for one in attributes_of(p):
        if one.path[0] == part:
            values[one.path[1]] = one.to_request(getattr(p, one.name, None))
    return _PARTS[part](**values)


def _get(value: Any, path: Path) -> tuple[bool, Any]:
    for name in path:
        if value is None:
            return False, None
        value = getattr(value, name)
    return True, value


def _put(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    assert is_dataclass(value)
    assert not isinstance(value, type)
    return replace(value, **{path[0]: _put(getattr(value, path[0]), path[1:], new)})


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, list | dict) else value


def _equal(value: Any, other: Any) -> bool:
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(_equal(a, b) for a, b in zip(value, other, strict=True))
    if isinstance(value, Image.Image) or isinstance(other, Image.Image):
        return value is other
    return bool(value == other)
