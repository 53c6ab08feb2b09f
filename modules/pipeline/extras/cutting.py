"""Steps that make pictures ready for training: cut to a size, mirrored. Libraries are imported when a step runs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from modules.domain.param import param
from modules.hooks.context import JobContext
from modules.pipeline.extras.step import EXTRAS, Picture

if TYPE_CHECKING:
    from PIL import Image

LARGEST, NEAREST = "Maximize area", "Minimize error"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitParams:
    """What is cut into parts."""

    enabled: bool = param(False, label="Split oversized images")
    split_threshold: float = param(
        0.5, label="Threshold", ge=0, le=1, slider=(0, 1), step=0.05, elem_id="_split_size_threshold",
        help="Pictures are cut when the quotient of their proportions and those wanted is at most this.",
    )  # fmt: skip
    overlap_ratio: float = param(
        0.2, label="Overlap ratio", ge=0, le=0.9, slider=(0, 0.9), step=0.05, elem_id="_overlap_ratio"
    )


class SplitOversized:
    """Cuts pictures that are far longer than wanted into several."""

    id, label, order, Params, places = "split-oversized", "Split oversized images", 4000, SplitParams, (EXTRAS,)

    def process(self, picture: Picture, params: SplitParams, ctx: JobContext) -> list[Picture] | None:
        """Cut a picture to the size that Upscale asks for."""
        from modules.imaging.crops import split_oversized

        if picture.target is None:
            ctx.note(f"{self.label} takes the size that is wanted from Upscale, which is off.")
            return None
        parts = split_oversized(
            picture.image, picture.target, threshold=params.split_threshold, overlap=params.overlap_ratio
        )
        if len(parts) == 1:
            return None
        return [replace(picture, image=one, tags=(*picture.tags, f"part-{number}")) for number, one in enumerate(parts, 1)]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FocalParams:
    """What decides where a picture is cut."""

    enabled: bool = param(False, label="Auto focal point crop")
    entropy_weight: float = param(
        0.15, label="Focal point entropy weight", ge=0, le=1, slider=(0, 1), step=0.05,
        elem_id="_focal_crop_entropy_weight", help="How much the part with most to see counts.",
    )  # fmt: skip
    edges_weight: float = param(
        0.5, label="Focal point edges weight", ge=0, le=1, slider=(0, 1), step=0.05,
        elem_id="_focal_crop_edges_weight", help="How much the part with most corners counts.",
    )  # fmt: skip
    debug: bool = param(
        False, label="Create debug image", elem_id="_focal_crop_debug",
        help="Add the whole picture, with a frame around what is kept.",
    )  # fmt: skip


class FocalCrop:
    """Crops pictures to the wanted size around what they are about."""

    id, label, order, Params, places = "focal-crop", "Auto focal point crop", 4010, FocalParams, (EXTRAS,)

    def process(self, picture: Picture, params: FocalParams, ctx: JobContext) -> list[Picture] | None:
        """Crop a picture to the size that Upscale asks for."""
        from modules.imaging.focal import covering, focal_box, framed

        if picture.target is None:
            ctx.note(f"{self.label} takes the size that is wanted from Upscale, which is off.")
            return None
        image = covering(picture.image, picture.target)
        box = focal_box(image, picture.target, edges=params.edges_weight, entropy=params.entropy_weight)
        made = [replace(picture, image=image.crop(box))]
        if params.debug:
            tags = (*picture.tags, "focal-crop-debug")
            made.append(replace(picture, image=framed(image, box), tags=tags, is_done=True))
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedCropParams:
    """Among which sizes the one that suits a picture is looked for."""

    enabled: bool = param(False, label="Auto-sized crop")
    mindim: int = param(384, label="Dimension lower bound", ge=64, le=2048, slider=(64, 2048), step=8, elem_id="_multicrop_mindim")  # fmt: skip
    maxdim: int = param(768, label="Dimension upper bound", ge=64, le=2048, slider=(64, 2048), step=8, elem_id="_multicrop_maxdim")  # fmt: skip
    minarea: int = param(64 * 64, label="Area lower bound", ge=4096, le=2048**2, slider=(4096, 2048**2), step=1, elem_id="_multicrop_minarea")  # fmt: skip
    maxarea: int = param(640 * 640, label="Area upper bound", ge=4096, le=2048**2, slider=(4096, 2048**2), step=1, elem_id="_multicrop_maxarea")  # fmt: skip
    objective: str = param(LARGEST, label="Resizing objective", choices=(LARGEST, NEAREST), elem_id="_multicrop_objective")  # fmt: skip
    threshold: float = param(0.1, label="Error threshold", ge=0, le=1, slider=(0, 1), step=0.01, elem_id="_multicrop_threshold")  # fmt: skip


class SizedCrop:
    """Crops pictures to the size that suits their proportions."""

    id, label, order, Params, places = "auto-sized-crop", "Auto-sized crop", 4020, SizedCropParams, (EXTRAS,)

    def process(self, picture: Picture, params: SizedCropParams, ctx: JobContext) -> Picture | None:
        """Crop a picture."""
        from modules.imaging.crops import best_size, centre_crop

        size = best_size(
            picture.image.size, sides=(params.mindim, params.maxdim), areas=(params.minarea, params.maxarea),
            threshold=params.threshold, largest=params.objective == LARGEST,
        )  # fmt: skip
        if size is None:
            ctx.note(f"{self.label}: no size within the bounds suits {picture.name or 'a picture'}; it stays as it is.")
            return None
        return replace(picture, image=centre_crop(picture.image, size))


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipParams:
    """Which copies are made."""

    enabled: bool = param(False, label="Create flipped copies")
    horizontal: bool = param(True, label="Horizontal", elem_id="_flip_horizontal")
    vertical: bool = param(False, label="Vertical", elem_id="_flip_vertical")
    both: bool = param(False, label="Both", elem_id="_flip_both")


class FlippedCopies:
    """Adds mirrored copies."""

    id, label, order, Params, places = "flipped-copies", "Create flipped copies", 4030, FlipParams, (EXTRAS,)

    def process(self, picture: Picture, params: FlipParams, _ctx: JobContext) -> Iterable[Picture]:
        """Return the picture and its copies."""
        return [picture, *(replace(picture, image=image, tags=(*picture.tags, tag)) for tag, image in _flips(picture.image, params))]  # fmt: skip


def _flips(image: "Image.Image", params: FlipParams) -> "Iterator[tuple[str, Image.Image]]":
    from PIL import ImageOps

    if params.horizontal:
        yield "flipped-horizontally", ImageOps.mirror(image)
    if params.vertical:
        yield "flipped-vertically", ImageOps.flip(image)
    if params.both:
        yield "flipped-both-ways", ImageOps.flip(ImageOps.mirror(image))
