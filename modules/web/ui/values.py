"""From the values of controls to a request. Values travel by the flat name they have in the API."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from modules.domain.errors import InvalidRequest, UnknownName
from modules.domain.param import ParamPath, walk_params
from modules.domain.request import (
    ExtendSpec,
    FolderSpec,
    Generation,
    HiresSpec,
    ImageRef,
    InitSpec,
    LookSpec,
    MaskSpec,
    RefinerSpec,
    SoftSpec,
)
from modules.settings.coerce import coerce
from modules.settings.infotext_keys import setting_of_infotext_key
from modules.settings.snapshot import Snapshot, declarations
from modules.web.rest.build import build
from modules.web.rest.parts import NOTHING, extend_of
from modules.web.rest.translate import check_checkpoint, without_controls
from modules.web.services import Services

TXT2IMG, IMG2IMG = "txt2img", "img2img"
PARTS: Mapping[str, tuple[type, ...]] = MappingProxyType({
    TXT2IMG: (Generation, HiresSpec, RefinerSpec),
    IMG2IMG: (Generation, InitSpec, LookSpec, MaskSpec, SoftSpec, ExtendSpec, RefinerSpec),
})  # fmt: skip
"""Of which dataclasses the controls of a tab are."""
PROMPTS = ("prompt", "negative_prompt", "hr_prompt", "hr_negative_prompt")
SUBSEED_SHOW, ENABLE_HIRES, ENABLE_REFINER = "subseed_show", "enable_hr", "enable_refiner"
ENABLE_SOFT, ENABLE_EXTEND = "enable_soft_inpainting", "enable_extend"
OVERRIDES = "override_settings"
SCRIPT = "script"
"""Begins the names of the controls of extensions' scripts."""
CHOSEN = "script/"
"""The drop-down of scripts."""
MASK_BLUR = "mask_blur"
"""One control for both directions."""
DEPTH_MAP = "depth_map"
"""The picture that depth models may be given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenPictures:
    """The pictures that a run of img2img starts from."""

    images: tuple[ImageRef, ...]
    mask: ImageRef | None = None
    depth: ImageRef | None = None
    """How near each place of the first one is."""
    size: tuple[int, int] | None = None
    """Width and height of the result where the controls do not say it; pixels."""
    folder: FolderSpec | None = None
    """Where the pictures come from when there are many."""


@cache
def parameters(tab: str) -> Mapping[str, ParamPath]:
    """Return flat name -> declaration of every parameter that a tab may offer."""
    return MappingProxyType({item.name: item for part in PARTS[tab] for item in walk_params(part) if item.name})


@cache
def names_of(part: type) -> frozenset[str]:
    """Return the flat names of the parameters of one dataclass."""
    return frozenset(item.name for item in walk_params(part))


EXTRA_SEED = frozenset({"subseed", "subseed_strength", "seed_resize_from_w", "seed_resize_from_h"})


def switched_off(values: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the controls that do not count because the box above them is not ticked."""
    switches = (
        (SUBSEED_SHOW, EXTRA_SEED),
        (ENABLE_HIRES, names_of(HiresSpec) if ENABLE_HIRES in values else frozenset[str]()),
        (ENABLE_REFINER, names_of(RefinerSpec)),
        (ENABLE_SOFT, names_of(SoftSpec)),
        (ENABLE_EXTEND, names_of(ExtendSpec)),
    )
    return frozenset(name for switch, names in switches if not values.get(switch) for name in names)


def generation_of(
    tab: str, values: Mapping[str, Any], services: Services, user: str | None, pictures: GivenPictures | None = None
) -> Generation:
    """Turn the values of controls into a request.

    Args:
        tab: whose controls they are.
        values: flat name -> what the browser sent, which may be anything.
        services: names are looked up here.
        user: login name, written to the request.
        pictures: what img2img starts from.

    Raises:
        InvalidRequest: a value that cannot be used; names the field.
    """
    settings = services.settings.snapshot()
    typed = typed_values(tab, values)
    overrides = read_overrides(values.get(OVERRIDES) or ())
    check_checkpoint(overrides, services.knows_checkpoint)
    output = {"save_images": settings.saving.samples_save, "save_grid": settings.saving.grid_save, "user": user}
    more: dict[str, Any] = {"overrides": MappingProxyType(overrides), "output": output}
    more["scripts"] = services.scripts.chosen(tab, script_values(values))
    more["hires"] = _hires(typed, services) if values.get(ENABLE_HIRES) else None
    more["refiner"] = _refiner(typed, services) if values.get(ENABLE_REFINER) else None
    if pictures is not None:
        more |= started_from(pictures, typed, values)
        typed |= {} if pictures.size is None else dict(zip(("width", "height"), pictures.size, strict=True))
    return build(Generation, typed, more)


def script_control(script: str, name: str) -> str:
    """Name the control of a parameter of an extension's script."""
    return f"{SCRIPT}/{script}/{name}"


def script_values(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return id of a script -> raw values of its controls by the names of its parameters."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        first, _, rest = name.partition("/")
        script, _, parameter = rest.partition("/")
        if first == SCRIPT and value is not None:
            found.setdefault(script, {})[parameter] = value
    return found


def typed_values(tab: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check the values of the parameters among those of controls; empty ones are left out.

    Raises:
        InvalidRequest: a value that cannot be used; names the field.
    """
    known, off = parameters(tab), switched_off(values)
    return {
        name: typed_value(tab, name, value)
        for name, value in values.items()
        if name in known and name not in off and value is not None
    }


def started_from(pictures: GivenPictures, typed: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Make the parts of a request that only img2img has.

    Raises:
        InvalidRequest: a blur that cannot be used, or no side on which room is to be added.
    """
    looks = pictures.depth is not None or bool(typed.get("noise"))
    look = build(LookSpec, typed, {"depth": pictures.depth}) if looks else None
    init = build(InitSpec, typed, {"images": pictures.images, "look": look})
    parts: dict[str, Any] = {"init": init, "folder": pictures.folder}
    extend = _extend(typed) if values.get(ENABLE_EXTEND) else None
    if pictures.mask is not None or extend is not None or (pictures.folder is not None and pictures.folder.masks):
        blur = values.get(MASK_BLUR)
        both = (
            {} if blur is None else {name: typed_value(IMG2IMG, name, blur) for name in ("mask_blur_x", "mask_blur_y")}
        )
        soft = build(SoftSpec, typed) if values.get(ENABLE_SOFT) else None
        parts["mask"] = build(MaskSpec, {**typed, **both}, {"image": pictures.mask, "soft": soft, "extend": extend})
    return parts


def _extend(typed: Mapping[str, Any]) -> ExtendSpec | None:
    return extend_of({"extend": {item.name: typed.get(item.name, item.default) for item in walk_params(ExtendSpec)}})


def _hires(typed: Mapping[str, Any], services: Services) -> HiresSpec:
    _check_checkpoint(typed, "hr_checkpoint_name", services)
    return build(HiresSpec, typed)


def _refiner(typed: Mapping[str, Any], services: Services) -> RefinerSpec | None:
    if typed.get("refiner_checkpoint") in NOTHING:
        return None
    _check_checkpoint(typed, "refiner_checkpoint", services)
    return build(RefinerSpec, typed)


def _check_checkpoint(typed: Mapping[str, Any], field: str, services: Services) -> None:
    name = typed.get(field)
    if name not in NOTHING and not services.knows_checkpoint(str(name)):
        raise UnknownName("Checkpoint", str(name), field=field)


def typed_value(tab: str, name: str, value: Any) -> Any:
    """Check one value against the declaration of its parameter.

    Raises:
        InvalidRequest: wrong type or out of range; names the parameter.
    """
    if name in PROMPTS:
        if not isinstance(value, str):
            raise InvalidRequest(f"expected text, got {type(value).__name__}", field=name)
        return without_controls(value)
    return coerce(parameters(tab)[name], value)


def read_overrides(entries: Sequence[Any]) -> dict[str, Any]:
    """Turn entries such as `Clip skip: 2` into settings for one run.

    Raises:
        UnknownName: no setting has this label.
        InvalidRequest: a value that its setting cannot take.
    """
    found: dict[str, Any] = {}
    for entry in entries:
        label, _, value = str(entry).partition(":")
        key = setting_of_infotext_key(label.strip())
        if key is None:
            raise UnknownName("Setting", label.strip(), field=OVERRIDES)
        found[key] = coerce(declarations()[key], value.strip())
    return found


def override_entries(settings: Mapping[str, Any]) -> list[str]:
    """Write settings for one run as entries that `read_overrides` reads back."""
    return [f"{declarations()[key].param.infotext or key}: {value}" for key, value in settings.items()]


def offered_samplers(settings: Snapshot, names: Iterable[str]) -> list[str]:
    """Return the samplers that the page offers: all but those the owner hides, and all if none were left."""
    every = list(names)
    return [name for name in every if name not in settings.sampler.hide_samplers] or every
