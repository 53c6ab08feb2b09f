"""What happens when somebody uses the controls that only img2img has."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gradio as gr

from modules.domain.errors import InvalidRequest, WebuiError
from modules.imaging.open import ImageLimits
from modules.web.rest.pictures import image_limits
from modules.web.ui import drawings, html
from modules.web.ui.context import UiContext
from modules.web.ui.controls import Controls
from modules.web.ui.sending import sent_file
from modules.web.ui.tabs.generation_events import Parts, connect_generate
from modules.web.ui.tabs.sources import SOURCES, Source, picture_of
from modules.web.ui.tabs.tab import QUIET
from modules.web.ui.values import GivenPictures

MOST_SCALE = 64
Sizes = Mapping[str, tuple[int, int]]


def connect_img2img(context: UiContext, controls: Controls, parts: Parts) -> None:
    """Connect the inner tabs, the sizes, and the beginning of a run."""
    for source in SOURCES:
        connect_generate(
            context, controls, parts, button=f"submit_{source.id}",
            pictures=[*parts[source.id], parts["by_scale"], parts["scale"]], read=partial(_read, context, source, parts),
        )  # fmt: skip
    # Only the inner tab in front sends its pictures, which may be many megabytes.
    parts["generate"].click(None, None, None, js=f'() => window.webui.submit("{controls.tab}")', **QUIET)
    _connect_sources(context, parts)
    _connect_copies(context, parts)
    _connect_sizes(controls, parts)


def limits_of(context: UiContext) -> ImageLimits:
    """Return the limits of pictures that are given to the page."""
    return image_limits(context.services.settings.snapshot())


def _read(
    context: UiContext, source: Source, parts: Parts, sent: Sequence[Any], values: Mapping[str, Any]
) -> GivenPictures:
    """Make the pictures of a run, and its size where a scale decides it."""
    *raw, by_scale, scale = sent
    limits = limits_of(context)
    found = source.read(parts[source.id], raw, values, limits)
    if not by_scale:
        return found
    width, height = drawings.size_of(found.images[0].data or b"", limits)
    return GivenPictures(images=found.images, mask=found.mask, size=scaled((width, height), scale))


def scaled(size: tuple[int, int], scale: Any) -> tuple[int, int]:
    """Return a size times a factor, whole pixels.

    Raises:
        InvalidRequest: the factor cannot be used.
    """
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale <= MOST_SCALE:
        raise InvalidRequest(f"expected a factor up to {MOST_SCALE}", field="scale")
    return int(size[0] * scale), int(size[1] * scale)


def _connect_sources(context: UiContext, parts: Parts) -> None:
    """Show what the inner tab in front needs, and remember how large each picture is."""
    for source in SOURCES:
        sketch = source.id == "inpaint_sketch"

        def show(source: Source = source, sketch: bool = sketch) -> tuple[Any, ...]:
            return source.id, gr.update(visible=source.masked), gr.update(visible=sketch)

        parts[f"tab_{source.id}"].select(show, None, [parts["source"], parts["mask_box"], parts["mask_alpha"]], **QUIET)
        picture = parts[source.id][0]
        event = picture.upload if isinstance(picture, gr.ImageEditor) else picture.change
        event(
            partial(_remember, context, source, parts), [picture, parts["source_sizes"]], [parts["source_sizes"]],
            preprocess=False, **QUIET,
        )  # fmt: skip


def _remember(context: UiContext, source: Source, parts: Parts, raw: Any, sizes: Sizes) -> Sizes:
    limits = limits_of(context)
    try:
        size = drawings.size_of(picture_of(parts[source.id][0], raw, limits, drawn=source.drawn), limits)
    except WebuiError:
        return {name: known for name, known in sizes.items() if name != source.id}
    return {**sizes, source.id: size}


def _connect_copies(context: UiContext, parts: Parts) -> None:
    """Let the picture of one inner tab be copied to another, which then comes to the front."""
    for source in SOURCES:
        for target, button in parts.get(f"copy_{source.id}", {}).items():
            button.click(
                partial(_copied, context, source, target, parts), [parts[source.id][0], parts["source_sizes"]],
                [parts[target][0], parts["source_sizes"]], preprocess=False, **QUIET,
            ).then(None, None, None, js=f'() => window.webui.openSource("{target}")', **QUIET)  # fmt: skip


def _copied(context: UiContext, source: Source, target: str, parts: Parts, raw: Any, sizes: Sizes) -> tuple[Any, Sizes]:
    limits = limits_of(context)
    try:
        data = picture_of(parts[source.id][0], raw, limits, drawn=source.drawn)
        return sent_file(context.temp, data), {**sizes, target: drawings.size_of(data, limits)}
    except WebuiError:
        return gr.skip(), sizes


def _connect_sizes(controls: Controls, parts: Parts) -> None:
    for name, by_scale in (("resize_to", False), ("resize_by", True)):
        parts[name].select(lambda by_scale=by_scale: by_scale, None, [parts["by_scale"]], **QUIET)
    known = [parts["source"], parts["source_sizes"]]

    def detect(source: str, sizes: Sizes) -> tuple[Any, Any]:
        """Set width and height to those of the picture."""
        return sizes.get(source, (gr.skip(), gr.skip()))

    def describe(source: str, sizes: Sizes, scale: Any) -> str:
        """Say what size the picture begins and ends with."""
        return scale_note(sizes.get(source), scale)

    parts["detect"].click(detect, known, [controls["width"], controls["height"]], **QUIET)
    for event in (
        parts["scale"].change,
        parts["resize_by"].select,
        parts["source"].change,
        parts["source_sizes"].change,
    ):
        event(
            describe, [*known, parts["scale"]], [parts["scale_note"]], preprocess=False,
            trigger_mode="always_last", **QUIET,
        )  # fmt: skip


def scale_note(size: tuple[int, int] | None, scale: Any) -> str:
    """Say from which size to which a picture goes; empty while there is none."""
    if size is None:
        return ""
    try:
        width, height = scaled(size, scale)
    except InvalidRequest:
        return ""
    return html.element("span", f"resize: from {size[0]}x{size[1]} to ") + html.element("strong", f"{width}x{height}")
