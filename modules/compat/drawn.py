"""Pictures that are drawn on: between the editor of this version of gradio and the values of gradio 3."""

from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageChops, ImageOps

MASK_COLOUR = "#ffffff"
COLOURS = ("#000000", "#ffffff", "#cc3232", "#f97316", "#facc15", "#32cc70", "#3270cc", "#7c3aed")
COLOUR_TOOL, CANVAS_SOURCE = "color-sketch", "canvas"


def brush_of(gr: Any, tool: str, given: Mapping[str, Any]) -> Any:
    """Make the brush of an editor."""
    colour = given.get("brush_color") or (COLOURS[0] if tool == COLOUR_TOOL or given.get("source") == CANVAS_SOURCE else MASK_COLOUR)  # fmt: skip
    size: Any = given.get("brush_radius") or "auto"
    if tool == COLOUR_TOOL:
        return gr.Brush(default_size=size, colors=[*dict.fromkeys((colour, *COLOURS))], default_color=colour)
    shade = (colour, float(given.get("mask_opacity") or 0.7)) if given.get("source") != CANVAS_SOURCE else colour
    return gr.Brush(default_size=size, colors=[shade], default_color=shade, color_mode="fixed")


def as_handed(drawn: Mapping[str, Any] | None, component: Any) -> Any:
    """Turn the value of an editor into what a handler of gradio 3 expects.

    Args:
        drawn: the picture, the layers and all of it together, as RGBA.
        component: has `tool`, `source`, `shape`, `handed`, `handed_mode`.

    Returns:
        `{"image": ..., "mask": ...}` where a mask is painted, the whole as one picture otherwise; None when empty.
    """
    if not drawn or (drawn["background"] is None and not drawn["layers"]):
        return None
    if component.tool == COLOUR_TOOL or component.source == CANVAS_SOURCE:
        whole = drawn["composite"] if drawn["composite"] is not None else drawn["background"]
        return None if whole is None else _formatted(whole, component)
    below = drawn["background"]
    if below is None:
        below = Image.new("RGBA", drawn["layers"][0].size, "white")
    mask = painted(drawn["layers"], below.size)
    return {"image": _formatted(below, component), "mask": _formatted(mask, component, "RGB")}


def painted(layers: list[Image.Image], size: tuple[int, int]) -> Image.Image:
    """Return where something was painted: white on black, mode L."""
    mask = Image.new("L", size)
    for layer in layers:
        alpha = layer.convert("RGBA").getchannel("A").resize(size)
        mask = ImageChops.lighter(mask, alpha.point([0] + [255] * 255))
    return mask


def _formatted(picture: Image.Image, component: Any, mode: str | None = None) -> Any:
    """Return a picture in the type that a component hands on."""
    import numpy as np

    wanted = mode or component.handed_mode
    if picture.mode == "RGBA" and wanted in ("RGB", "L"):
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    made = picture.convert(wanted)
    if component.shape:
        made = ImageOps.fit(made, tuple(component.shape))
    if getattr(component, "invert_colors", False) and mode is None:
        made = ImageOps.invert(made)
    if component.handed == "pil":
        return made
    if component.handed in ("filepath", "file"):
        from gradio import image_utils

        return image_utils.save_image(made, component.GRADIO_CACHE, format="png")
    return np.asarray(made)


def as_editor_value(value: Any) -> Any:
    """Turn a picture, or one with a mask, into the value of an editor."""
    if not isinstance(value, Mapping) or "background" in value:
        return value
    image, mask = _opened(value.get("image")), _opened(value.get("mask"))
    if image is None:
        return None
    layers: list[Image.Image] = []
    if mask is not None:
        layer = Image.new("RGBA", image.size, "white")
        layer.putalpha(mask.convert("L").resize(image.size))
        layers.append(layer)
    whole = image.convert("RGBA")
    for layer in layers:
        whole = Image.alpha_composite(whole, layer)
    return {"background": image, "layers": layers, "composite": whole}


def _opened(value: Any) -> Image.Image | None:
    from modules.compat.infotexts import image_from_url_text

    if value is None or isinstance(value, Image.Image):
        return value
    if hasattr(value, "shape"):
        return Image.fromarray(value)
    return image_from_url_text(value)
