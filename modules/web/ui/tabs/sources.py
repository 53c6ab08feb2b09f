"""Where the picture of img2img comes from: one inner tab for each way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from modules.domain.errors import InvalidRequest
from modules.domain.param import walk_params
from modules.domain.request import PNG_INFO_PROPS, FolderSpec, ImageRef
from modules.imaging.open import ImageLimits
from modules.settings.coerce import coerce
from modules.web.ui import drawings
from modules.web.ui.controls import parameter_control
from modules.web.ui.drawings import Drawing
from modules.web.ui.values import ENABLE_EXTEND, IMG2IMG, MASK_BLUR, GivenPictures

HEIGHT = 480
MASK_COLOUR = "#ffffff"
COLOURS = ["#000000", "#ffffff", "#cc3232", "#f97316", "#facc15", "#32cc70", "#3270cc", "#7c3aed"]
MASK_ALPHA = "mask_alpha"
"""Control of the inpaint sketch: percent by which the mask is weakened."""

Values = Mapping[str, Any]
Read = Callable[[Sequence[Drawing], Values, ImageLimits], GivenPictures]
"""Makes pictures of what the components hold and of the values of the controls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One way to give img2img a picture."""

    id: str
    label: str
    build: Callable[[], tuple[Any, ...]]
    """Makes its components; the first one holds the picture."""
    read: Read | None = None
    """None where there are folders."""
    masked: bool = False
    """Whether the controls of masks are shown."""
    drawn: bool = False
    """Whether what is drawn on the picture belongs to it."""
    copies: bool = True
    """Whether its picture can be copied to the others, and theirs to it."""

    @property
    def tab_id(self) -> str:
        """Element id of its inner tab, as in A1111."""
        return "img2img_img2img_sketch_tab" if self.id == "sketch" else f"img2img_{self.id}_tab"


def _picture(elem_id: str, label: str) -> gr.Image:
    return gr.Image(
        label=label, type="filepath", format="png", image_mode=None, sources=["upload", "clipboard"], elem_id=elem_id,
        height=HEIGHT, interactive=True, buttons=["fullscreen"],
    )  # fmt: skip


def _editor(elem_id: str, label: str, brush: gr.Brush) -> gr.ImageEditor:
    return gr.ImageEditor(
        label=label, type="filepath", format="png", sources=["upload", "clipboard"], brush=brush, layers=False,
        transforms=[], elem_id=elem_id, height=HEIGHT, interactive=True, buttons=["fullscreen"],
    )  # fmt: skip


def _mask_brush() -> gr.Brush:
    return gr.Brush(colors=[(MASK_COLOUR, 0.8)], default_color=(MASK_COLOUR, 0.8), color_mode="fixed")


def _colour_brush() -> gr.Brush:
    return gr.Brush(colors=[*COLOURS], default_color=COLOURS[2])


def _folders() -> tuple[Any, ...]:
    files = gr.File(
        label="Pictures", file_count="multiple", file_types=["image"], type="filepath", height=160,
        elem_id=f"{IMG2IMG}_batch_upload",
    )  # fmt: skip
    gr.HTML(
        "<p class='note'>Every picture given above, or else every picture of a folder, is made anew. Folders lie in the data folder or below "
        "--gradio-allowed-path; started again, a run goes on with the pictures that have no results yet.</p>",
        apply_default_css=False,
    )
    item = {one.path[-1]: one for one in walk_params(FolderSpec)}
    folders = tuple(parameter_control(item[name], IMG2IMG, {}) for name in ("input", "output", "masks"))
    with gr.Accordion("PNG info", open=False):
        told = parameter_control(item["use_png_info"], IMG2IMG, {})
        other = parameter_control(item["png_info"], IMG2IMG, {})
        props = parameter_control(item["png_info_props"], IMG2IMG, {"png_info_props": PNG_INFO_PROPS})
    return files, *folders, told, other, props


def folder_of(raw: Sequence[Any], *, named: bool = True) -> FolderSpec:
    """Read the folders of the batch tab.

    Args:
        raw: values of its components.
        named: whether the folder of the pictures has to be there.

    Raises:
        InvalidRequest: one that cannot be used; names the field.
    """
    items = [item for item in walk_params(FolderSpec) if item.path[-1] != "scale"]
    given = {item.path[-1]: coerce(item, value) for item, value in zip(items, raw, strict=True) if value is not None}
    if named and not given.get("input"):
        raise InvalidRequest("give some pictures, or name their folder", field="input")
    return FolderSpec(**given)


def _whole(given: Sequence[Drawing], _values: Values, limits: ImageLimits) -> GivenPictures:
    return GivenPictures(images=(ImageRef.of(drawings.picture_of(given[0], limits, drawn=True)),))


def _inpainted(given: Sequence[Drawing], _values: Values, limits: ImageLimits) -> GivenPictures:
    picture = drawings.picture_of(given[0], limits, drawn=False)
    mask = drawings.drawn_mask(given[0], limits).point([0] + [255] * 255)
    return GivenPictures(images=(ImageRef.of(picture),), mask=ImageRef.of(drawings.png(mask)))


def _sketched(given: Sequence[Drawing], values: Values, limits: ImageLimits) -> GivenPictures:
    picture, mask = drawings.sketched(
        given[0], blur=_number(values.get(MASK_BLUR)), transparency=_number(values.get(MASK_ALPHA)), limits=limits
    )
    return GivenPictures(images=(ImageRef.of(picture),), mask=ImageRef.of(mask))


def _uploaded(given: Sequence[Drawing], values: Values, limits: ImageLimits) -> GivenPictures:
    picture = drawings.picture_of(given[0], limits, drawn=False)
    if values.get(ENABLE_EXTEND) and given[1].background is None:
        return GivenPictures(images=(ImageRef.of(picture),))
    mask = drawings.given(given[1].background, limits, "mask")
    return GivenPictures(images=(ImageRef.of(picture),), mask=ImageRef.of(mask))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


SOURCES: tuple[Source, ...] = (
    Source(id="img2img", label="img2img", build=lambda: (_picture("img2img_image", "Picture"),), read=_whole),
    Source(
        id="sketch", label="Sketch", read=_whole, drawn=True,
        build=lambda: (_editor("img2img_sketch", "Picture to draw on", _colour_brush()),),
    ),
    Source(
        id="inpaint", label="Inpaint", read=_inpainted, masked=True,
        build=lambda: (_editor("img2maskimg", "Picture to paint a mask on", _mask_brush()),),
    ),
    Source(
        id="inpaint_sketch", label="Inpaint sketch", read=_sketched, masked=True, drawn=True,
        build=lambda: (_editor("inpaint_sketch", "Picture to draw over", _colour_brush()),),
    ),
    Source(
        id="inpaint_upload", label="Inpaint upload", read=_uploaded, masked=True, copies=False,
        build=lambda: (
            _picture("img_inpaint_base", "Picture"),
            _picture("img_inpaint_mask", "Mask: white is repainted"),
        ),
    ),
    Source(id="batch", label="Batch", build=_folders, masked=True, copies=False),
)  # fmt: skip
"""In the order in which they are shown."""
