"""The steps that come with the program, and those that enlarge. Libraries are imported when a step runs."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from modules.domain.param import param
from modules.hooks.context import JobContext
from modules.pipeline.extras.cutting import FlippedCopies, FocalCrop, SizedCrop, SplitOversized
from modules.pipeline.extras.step import MAIN, Picture, Step

if TYPE_CHECKING:
    from PIL import Image

    from modules.imaging.upscale import Upscaler, UpscaleSpec

Upscalers = Callable[[], "Mapping[str, Upscaler]"]
"""Returns everything that enlarges pictures, by name."""
NO_UPSCALER = "None"
BY_FACTOR, TO_SIZE = 0, 1
MAX_FACTOR = 16
MAX_SIDE = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleParams:
    """What Upscale asks for; the names are A1111's."""

    enabled: bool = param(True, label="Upscale")
    upscale_mode: int = param(
        BY_FACTOR,
        label="Scale to a size",
        ge=0,
        le=1,
        elem_id="_resize_mode",
        help="0 scales by a factor, 1 to a size.",
    )
    upscale_by: float = param(4.0, label="Resize", ge=0.01, le=MAX_FACTOR, slider=(1, 8), step=0.05, elem_id="_upscaling_resize")  # fmt: skip
    max_side_length: int = param(
        0, label="Max side length", ge=0, le=MAX_SIDE, elem_id="_upscale_max_side_length",
        help="The longer side becomes at most this long; 0 sets no limit.",
    )  # fmt: skip
    upscale_to_width: int = param(512, label="Width", ge=1, le=MAX_SIDE, slider=(64, 8192), step=8, elem_id="_upscaling_resize_w")  # fmt: skip
    upscale_to_height: int = param(512, label="Height", ge=1, le=MAX_SIDE, slider=(64, 8192), step=8, elem_id="_upscaling_resize_h")  # fmt: skip
    upscale_crop: bool = param(True, label="Crop to fit", elem_id="_upscaling_crop")
    upscaler_1_name: str = param(NO_UPSCALER, label="Upscaler 1", choices="upscalers", elem_id="_upscaler_1")
    upscaler_2_name: str = param(NO_UPSCALER, label="Upscaler 2", choices="upscalers", elem_id="_upscaler_2")
    upscaler_2_visibility: float = param(
        0.0, label="Upscaler 2 visibility", ge=0, le=1, slider=(0, 1), step=0.001, elem_id="_upscaler_2_visibility"
    )

    @property
    def spec(self) -> "UpscaleSpec":
        """What is asked for, in the words of the room that enlarges."""
        from modules.imaging.upscale import UpscaleSpec

        size = (self.upscale_to_width, self.upscale_to_height)
        return UpscaleSpec(
            factor=self.upscale_by if self.upscale_mode == BY_FACTOR else None,
            size=size if self.upscale_mode == TO_SIZE else None, crop=self.upscale_crop,
            max_side=self.max_side_length, first=self.upscaler_1_name or NO_UPSCALER,
            second=self.upscaler_2_name or NO_UPSCALER, second_visibility=self.upscaler_2_visibility,
        )  # fmt: skip


class Upscale:
    """Enlarges with one upscaler or two; tells other steps which size is wanted.

    Args:
        upscalers: what there is.
        remember: keeps the results of the upscalers for as long as the settings say.
    """

    id, label, order, Params = "upscale", "Upscale", 1000, UpscaleParams

    def __init__(self, upscalers: Upscalers) -> None:
        self._upscalers, self._kept = upscalers, Kept()

    def prepare(self, picture: Picture, params: UpscaleParams, _ctx: JobContext) -> Picture:
        """Note the size that is wanted."""
        from modules.imaging.upscale import target_size

        return replace(picture, target=target_size(*picture.image.size, params.spec))

    def process(self, picture: Picture, params: UpscaleParams, ctx: JobContext) -> Picture | None:
        """Enlarge a picture."""
        if params.spec.first == NO_UPSCALER:
            return None
        return _enlarged(picture, params.spec, self._kept.around(self._upscalers(), ctx), ctx)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleUpscaleParams:
    """What Simple Upscale asks for."""

    enabled: bool = param(False, label="Simple Upscale")
    upscaler_name: str = param(NO_UPSCALER, label="Upscaler", choices="upscalers")
    upscale_by: float = param(2.0, label="Upscale by", ge=0.05, le=8, slider=(0.05, 8), step=0.05)


class SimpleUpscale:
    """Enlarges by a factor, right where pictures are made."""

    id, label, order, Params, places = "simple-upscale", "Simple Upscale", 900, SimpleUpscaleParams, (MAIN,)

    def __init__(self, upscalers: Upscalers) -> None:
        self._upscalers = upscalers

    def process(self, picture: Picture, params: SimpleUpscaleParams, ctx: JobContext) -> Picture | None:
        """Enlarge a picture."""
        from modules.imaging.upscale import UpscaleSpec

        if params.upscaler_name == NO_UPSCALER:
            return None
        spec = UpscaleSpec(factor=params.upscale_by, first=params.upscaler_name)
        return _enlarged(picture, spec, self._upscalers(), ctx)


def _enlarged(picture: Picture, spec: "UpscaleSpec", upscalers: "Mapping[str, Upscaler]", ctx: JobContext) -> Picture:
    from modules.imaging.upscale import describe, upscale

    settings = ctx.settings
    most = int(settings.api.api_max_upscaled_mpixels * 1e6)
    image = upscale(picture.image, spec, max_pixels=most, upscalers=upscalers)
    named = settings.saving.use_upscaler_name_as_suffix
    told = {**picture.told, **describe(spec, picture.image.size)}
    return replace(picture, image=image, told=MappingProxyType(told), tags=(*picture.tags, *([spec.first] if named else ())))  # fmt: skip


class Kept:
    """The last results of upscalers, so that another run over the same picture need not wait for them."""

    def __init__(self) -> None:
        self._results: dict[tuple[Any, ...], Image.Image] = {}

    def around(self, upscalers: "Mapping[str, Upscaler]", ctx: JobContext) -> "Mapping[str, Upscaler]":
        """Return the same upscalers, which look here first."""
        most = ctx.settings.postprocessing.upscaling_max_images_in_cache
        return {name: self._kept(name, one, most) for name, one in upscalers.items()}

    def _kept(self, name: str, enlarge: "Upscaler", most: int) -> "Upscaler":
        def look(image: "Image.Image", factor: float) -> "Image.Image":
            key = (hash(image.tobytes()), image.size, name, factor)
            made = self._results.pop(key, None) or enlarge(image, factor)
            self._results[key] = made
            while len(self._results) > most:
                del self._results[next(iter(self._results))]
            return made

        return look


def builtin_steps(upscalers: Upscalers) -> tuple[Step, ...]:
    """Return the steps that come with the program."""
    return (
        SimpleUpscale(upscalers), Upscale(upscalers), SplitOversized(), FocalCrop(), SizedCrop(), FlippedCopies(),
    )  # fmt: skip


def factor_in(name: str) -> int | None:
    """Return the factor that the name of an upscaler tells, as in `4x-Name` or `Name x2`."""
    found = re.search(r"(?<![0-9])([2-9]|1[0-6])x(?![a-z0-9])|(?<![a-z0-9])x([2-9]|1[0-6])(?![0-9])", name.lower())
    return int(found[1] or found[2]) if found else None
