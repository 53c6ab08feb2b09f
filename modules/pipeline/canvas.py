"""The pictures a run starts from, made ready: sized, cropped, masked, filled."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from PIL import Image

from modules.domain.errors import InvalidRequest
from modules.domain.param import walk_params
from modules.domain.plan import Plan
from modules.domain.request import ExtendSpec, ImageRef, InitSpec, MaskSpec, Size, SoftSpec
from modules.imaging import mask as masks
from modules.imaging.colour import with_colours_of
from modules.imaging.open import ImageLimits, open_image
from modules.imaging.resize import FILL, LATENT, STRETCH, Box, extended, flatten, paste_back, resize
from modules.imaging.upscale import Upscaler, reach

BLUR_FILL, ORIGINAL, LATENT_NOISE, LATENT_NOTHING = range(4)
CONTENT = {BLUR_FILL: "fill", LATENT_NOISE: "latent noise", LATENT_NOTHING: "latent nothing"}
BLANK_MASK = "The mask is blank, so there is no masked area to work on; the whole picture is used instead."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Canvas:
    """What img2img works on. Lists have one entry per init image."""

    pictures: tuple[Image.Image, ...]
    """RGB; at the size of the run unless the latent is resized."""
    mask: Image.Image | None = None
    """Mode L or RGB, of the run's size; white is repainted."""
    latent_mask: Image.Image | None = None
    """Where the latent is repainted, of the run's size; None where `mask` says."""
    depth: Image.Image | None = None
    """How near each place of the pictures is, where that came with the request; RGB, of their size."""
    received: tuple[Image.Image, ...] = ()
    """The pictures as they came, when they are to be kept."""
    overlays: tuple[Image.Image, ...] = ()
    """RGBA: what is laid over the results."""
    originals: tuple[Image.Image, ...] = ()
    """RGB, of the finished size; only where what is laid over depends on the result."""
    shown_mask: Image.Image | None = None
    """The mask at the size of the finished picture."""
    box: Box | None = None
    """Where a result is put back."""
    match_colours: bool = False
    facts: Mapping[str, str | int | float | bool] = field(default_factory=lambda: MappingProxyType({}))
    """Infotext keys."""
    notes: tuple[str, ...] = ()

    def finish(self, image: Image.Image, position: int) -> Image.Image:
        """Bring the colours back that the init image had."""
        return with_colours_of(image, self.pictures[position % len(self.pictures)]) if self.match_colours else image

    def placed(self, image: Image.Image, position: int) -> Image.Image:
        """Put a result back where it was cropped from."""
        if self.box is None or not self.overlays:
            return image
        return paste_back(image, self.overlays[position % len(self.overlays)].size, self.box)

    def overlaid(self, image: Image.Image, position: int) -> Image.Image:
        """Lay the untouched part of the original over a placed result."""
        return masks.overlaid(image, self.overlays[position % len(self.overlays)])

    def with_mask(self, changed: Image.Image, position: int) -> "Canvas":
        """Return a canvas for one result, with a mask of its own instead of that of the request.

        Args:
            changed: mode L, of the run's size.
            position: of the picture in its batch.
        """
        original = self.originals[position % len(self.originals)]
        shown = changed
        if self.box is not None:
            shown = paste_back(changed.convert("RGB"), original.size, self.box).convert("L")
        return replace(self, overlays=(masks.outside(original, shown),), shown_mask=shown)


def canvas_of(plan: Plan, limits: ImageLimits, grow: Upscaler | None = None) -> Canvas | None:
    """Make the pictures of a request ready; None when it starts from noise alone.

    Args:
        plan: of the run.
        limits: how large pictures may be.
        grow: enlarges those that are smaller than the run; None resizes them.

    Raises:
        InvalidImage: a picture cannot be read.
        InvalidRequest: more init images than pictures in a batch, or a background that is no colour.
    """
    init = plan.request.init
    if init is None:
        return _instead_of_first_pass(plan, limits)
    if not init.images:
        raise InvalidRequest("Init image not found", field="init_images")
    if len(init.images) not in (1, plan.request.batch.size):
        raise InvalidRequest(
            f"{len(init.images)} init images for a batch of {plan.request.batch.size}", field="init_images"
        )
    opened = [_open(ref, limits, "init_images") for ref in init.images]
    canvas = _canvas(plan, init, opened, limits, grow)
    if init.look and init.look.depth:
        canvas = replace(canvas, depth=_depth(plan, init, _open(init.look.depth, limits, "depth"), opened[0], limits))
    if not plan.image.save_init:
        return canvas
    return replace(canvas, received=tuple(opened), facts={**canvas.facts, "Init image hash": pixel_hash(opened[-1])})


def _instead_of_first_pass(plan: Plan, limits: ImageLimits) -> Canvas | None:
    """Open the picture that a hires pass enlarges without making one first."""
    spec, size = plan.request.hires, plan.main.size
    if spec is None or spec.first_image is None:
        return None
    picture = flatten(_open(spec.first_image, limits, "firstpass_image"), plan.image.background)
    return Canvas(pictures=(resize(picture, size.width, size.height),))


def pixel_hash(image: Image.Image) -> str:
    """Return the hash that names a kept picture and is told in infotexts: MD5 of the pixels, as in A1111."""
    return hashlib.md5(image.tobytes(), usedforsecurity=False).hexdigest()


def _canvas(
    plan: Plan, init: InitSpec, opened: list[Image.Image], limits: ImageLimits, grow: Upscaler | None
) -> Canvas:
    try:
        pictures = [flatten(image, plan.image.background) for image in opened]
    except ValueError as error:
        raise InvalidRequest(f"{plan.image.background!r} is not a colour", field="img2img_background_color") from error
    spec = plan.request.mask

    def large() -> list[Image.Image]:
        """Return the pictures, those that are too small enlarged first."""
        return pictures if init.resize_mode == LATENT else [_grown(one, plan.request.size, grow) for one in pictures]

    if spec is None:
        return _plain(large(), init, plan)
    if spec.extend:
        return _extended(large(), init, spec, spec.extend, plan, limits)
    if spec.image is None:
        raise InvalidRequest("there is no mask, and no room to add", field="mask")
    mask = _mask(_open(spec.image, limits, "mask"), spec)
    latent = _open(spec.latent, limits, "latent_mask").convert("L") if spec.latent else None
    if spec.only_masked:
        mask = resize(mask, *pictures[0].size) if mask.size != pictures[0].size else mask
        box = masks.region(mask, spec.padding)
        if box is None:
            return _plain(large(), init, plan, notes=(BLANK_MASK,))
        return _part(pictures, mask, box, spec, plan, latent, grow)
    return _whole(large(), mask, init, spec, plan, latent)


def _depth(plan: Plan, init: InitSpec, given: Image.Image, picture: Image.Image, limits: ImageLimits) -> Image.Image:
    """Treat the depth of a picture as the picture itself is treated, but leave what is under the mask."""
    grey = resize(given.convert("L"), *picture.size).convert("RGB")
    mask = plan.request.mask
    kept = replace(mask, fill=ORIGINAL, soft=None) if mask else None
    same = replace(plan, request=replace(plan.request, mask=kept), image=replace(plan.image, overlay=False))
    return _canvas(same, init, [grey], limits, None).pictures[0]


def _open(ref: ImageRef, limits: ImageLimits, name: str) -> Image.Image:
    if ref.data is None:
        raise InvalidRequest("the picture of this request was not kept", field=name)
    return open_image(ref.data, limits, field=name)


def _mask(image: Image.Image, spec: MaskSpec) -> Image.Image:
    mask = masks.mask_of(image, rounded=spec.binary)
    return masks.blurred(masks.inverted(mask) if spec.invert else mask, spec.blur_x, spec.blur_y)


def _plain(pictures: list[Image.Image], init: InitSpec, plan: Plan, notes: tuple[str, ...] = ()) -> Canvas:
    sized = tuple(_sized(image, init, plan.main.size) for image in pictures)
    return Canvas(pictures=sized, match_colours=plan.image.color_correction, notes=notes)


def _whole(
    pictures: list[Image.Image],
    mask: Image.Image,
    init: InitSpec,
    spec: MaskSpec,
    plan: Plan,
    latent: Image.Image | None,
) -> Canvas:
    """Work on the whole picture."""
    size, mode = plan.main.size, STRETCH if init.resize_mode == LATENT else init.resize_mode
    mask = resize(mask, size.width, size.height, mode).convert("L")
    shown, sized = masks.widened(mask), [_sized(image, init, size) for image in pictures]
    first = sized[0]
    if shown.size != first.size:
        shown = resize(shown, first.width, first.height).convert("L")
    latent = resize(latent, size.width, size.height, mode).convert("L") if latent else None
    hole = mask if mask.size == first.size else shown
    if latent:
        hole = resize(latent, first.width, first.height).convert("L")
    return Canvas(
        pictures=_filled(sized, hole, spec),
        mask=mask,
        latent_mask=latent,
        overlays=tuple(masks.outside(image, shown) for image in sized) if plan.image.overlay else (),
        originals=tuple(sized) if spec.soft else (),
        shown_mask=shown,
        match_colours=plan.image.color_correction,
        facts=_facts(spec),
    )


def _extended(
    pictures: list[Image.Image], init: InitSpec, spec: MaskSpec, extend: ExtendSpec, plan: Plan, limits: ImageLimits
) -> Canvas:
    """Work on the whole of a picture with room around it."""
    size, whole = plan.request.size, plan.main.size
    mode = STRETCH if init.resize_mode == LATENT else init.resize_mode
    inner = [resize(image, size.width, size.height, mode) for image in pictures]
    wide = [extended(image, extend.left, extend.top, extend.right, extend.bottom) for image in inner]
    mask = Image.new("L", (whole.width, whole.height), 255)
    kept = Image.new("L", (size.width, size.height))
    if spec.image:
        drawn = masks.mask_of(_open(spec.image, limits, "mask"), rounded=spec.binary)
        kept = resize(masks.inverted(drawn) if spec.invert else drawn, *kept.size, mode).convert("L")
    left, top, right, bottom = (
        extend.overlap if side else 0 for side in (extend.left, extend.top, extend.right, extend.bottom)
    )
    kept = kept.crop((left, top, max(kept.width - right, left), max(kept.height - bottom, top)))
    mask.paste(kept, (extend.left + left, extend.top + top))
    mask = masks.blurred(mask, spec.blur_x, spec.blur_y)
    canvas = _whole(wide, mask, replace(init, resize_mode=STRETCH), spec, plan, None)
    return replace(canvas, facts={**_told(extend), **canvas.facts})


def _told(extend: ExtendSpec) -> dict[str, str | int | float | bool]:
    """Return the infotext keys of added room."""
    values = {item.param.infotext or "": getattr(extend, item.path[-1]) for item in walk_params(ExtendSpec)}
    return {key: value for key, value in values.items() if value or key == "Extend overlap"}


def _part(
    pictures: list[Image.Image],
    mask: Image.Image,
    box: Box,
    spec: MaskSpec,
    plan: Plan,
    latent: Image.Image | None,
    grow: Upscaler | None,
) -> Canvas:
    """Work on the surroundings of the mask at the size of the run."""
    size, same = plan.main.size, [resize(image, *mask.size) for image in pictures]
    box = masks.in_proportion(box, (size.width, size.height), mask.size)
    close = resize(mask.crop(box), size.width, size.height, FILL).convert("L")
    if latent:
        latent = resize(resize(latent, *mask.size).crop(box), size.width, size.height, FILL).convert("L")
    crops = [resize(_grown(image.crop(box), size, grow), size.width, size.height, FILL) for image in same]
    facts = {**_facts(spec), "Inpaint area": "Only masked", "Masked area padding": spec.padding}
    content = facts.pop("Masked content", None)
    return Canvas(
        pictures=_filled(crops, latent or close, spec),
        mask=close,
        latent_mask=latent,
        overlays=tuple(masks.outside(image, mask) for image in same) if plan.image.overlay else (),
        originals=tuple(same) if spec.soft else (),
        shown_mask=mask,
        box=box,
        match_colours=plan.image.color_correction,
        facts={**facts, **({"Masked content": content} if content else {})},
    )


def _sized(image: Image.Image, init: InitSpec, size: Size) -> Image.Image:
    return image if init.resize_mode == LATENT else resize(image, size.width, size.height, init.resize_mode)


def _grown(image: Image.Image, size: Size, grow: Upscaler | None) -> Image.Image:
    """Enlarge a picture until it covers a size, in its own proportions."""
    factor = max(size.width / image.width, size.height / image.height)
    if grow is None or factor <= 1:
        return image
    wanted = max(round(image.width * factor), 1), max(round(image.height * factor), 1)
    return reach(image, wanted, factor, grow).convert("RGB")


def _filled(pictures: list[Image.Image], mask: Image.Image, spec: MaskSpec) -> tuple[Image.Image, ...]:
    return tuple(pictures if spec.fill == ORIGINAL else (masks.filled(image, mask) for image in pictures))


def _facts(spec: MaskSpec) -> dict[str, str | int | float | bool]:
    found: dict[str, str | int | float | bool] = {}
    if spec.soft:
        found["Soft inpainting enabled"] = True
        found.update({item.param.infotext or "": getattr(spec.soft, item.path[-1]) for item in walk_params(SoftSpec)})
    if spec.invert:
        found["Mask mode"] = "Inpaint not masked"
    if spec.blur_x == spec.blur_y and spec.blur_x > 0:
        found["Mask blur"] = spec.blur_x
    if spec.fill in CONTENT:
        found["Masked content"] = CONTENT[spec.fill]
    return found
