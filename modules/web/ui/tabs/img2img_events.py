"""What happens when somebody uses the controls that only img2img has."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr

from modules.domain.errors import InvalidRequest, WebuiError
from modules.domain.request import FolderSpec, Generation, ImageRef
from modules.engine.job import Owner
from modules.imaging.open import ImageLimits
from modules.web.rest.pictures import image_limits
from modules.web.ui import drawings, html
from modules.web.ui.context import UiContext
from modules.web.ui.controls import Controls
from modules.web.ui.drawings import Drawing
from modules.web.ui.sending import sent_file, uploaded_folder
from modules.web.ui.tabs.generation_events import Parts, connect_generate
from modules.web.ui.tabs.scripts import script_of
from modules.web.ui.tabs.sources import SOURCES, Source, folder_of
from modules.web.ui.tabs.tab import QUIET
from modules.web.ui.values import DEPTH_MAP, ENABLE_EXTEND, IMG2IMG, GivenPictures, generation_of

MOST_SCALE = 64
TRANSPARENT = "inpaint_sketch"
"""The inner tab whose mask can be weakened."""
Sizes = Mapping[str, tuple[int, int]]


SLIP = """(drawing) => JSON.stringify({
    background: drawing?.background?.path ?? null,
    layers: (drawing?.layers ?? []).map((layer) => layer?.path ?? null),
    composite: drawing?.composite?.path ?? null,
})"""
"""Names the files of a drawing, which the editor uploads whenever it is asked for its value."""


def connect_img2img(context: UiContext, controls: Controls, parts: Parts) -> None:
    """Connect the inner tabs, the sizes, and the beginning of a run."""
    for source in SOURCES:
        event, held = _holding(parts, source, parts[f"submit_{source.id}"].click)
        connect_generate(
            context, controls, parts, partial(_make, context, source, parts), event=event,
            more=[held, *parts[source.id][1:], parts["by_scale"], parts["scale"], *parts["script_inputs"]],
        )  # fmt: skip
    # Only the inner tab in front sends its pictures, which may be many megabytes.
    parts["generate"].click(None, None, None, js=f'() => window.webui.submit("{controls.tab}")', **QUIET)
    _connect_sources(context, parts)
    _connect_mask(controls, parts)
    _connect_copies(context, parts)
    _connect_sizes(controls, parts)


def _holding(parts: Parts, source: Source, event: Any) -> tuple[Any, Any]:
    """Return what registers a handler that is given the picture of a source, and the component that holds it.

    A component that was ever sent to the server is asked for its value at every later event of the page, whoever
    caused it. For an editor that means three encoded and uploaded pictures each time, so the server is never sent
    its value, but a slip with the names of its files.
    """
    picture = parts[source.id][0]
    if not isinstance(picture, gr.ImageEditor):
        return event, picture
    slip = parts[f"slip_{source.id}"]
    return event(None, [picture], [slip], js=SLIP, **QUIET).then, slip


def _drawing(context: UiContext, parts: Parts, source: Source, raw: Any) -> Drawing:
    """Return what the first component of a source holds."""
    if isinstance(parts[source.id][0], gr.ImageEditor):
        return drawings.drawing_of(raw, context.temp)
    return Drawing(background=drawings.file_of(raw))


def limits_of(context: UiContext) -> ImageLimits:
    """Return the limits of pictures that are given to the page."""
    return image_limits(context.services.settings.snapshot())


def _make(
    context: UiContext, source: Source, parts: Parts, owner: Owner, values: Mapping[str, Any], sent: Sequence[Any]
) -> Generation:
    """Make the request of an inner tab; its size comes from the picture where a scale decides it."""
    own, asked = sent[: -len(parts["script_inputs"])], sent[-len(parts["script_inputs"]) :]
    script = script_of(IMG2IMG, asked, context.services.scripts)
    first, *raw, by_scale, scale = own
    limits = limits_of(context)
    if source.read is None:
        folder = _folder(context, first, raw)
        if by_scale:
            folder = replace(folder, scale=factor(scale))
        found = GivenPictures(images=(), folder=folder)
    else:
        given = [_drawing(context, parts, source, first), *(Drawing(background=drawings.file_of(one)) for one in raw)]
        found = replace(source.read(given, values, limits), depth=_depth(values))
        if by_scale:
            size = drawings.size_of(found.images[0].data or b"", limits)
            found = replace(found, size=scaled(size, scale))
    return replace(generation_of(IMG2IMG, values, context.services, owner.user, found), script=script)


def _depth(values: Mapping[str, Any]) -> ImageRef | None:
    given = drawings.file_of(values.get(DEPTH_MAP))
    return None if given is None else ImageRef.of(given)


def _folder(context: UiContext, files: Any, raw: Sequence[Any]) -> FolderSpec:
    """Return the folders that are named, or one with the pictures that were given instead."""
    spec = folder_of(raw, named=not files)
    return replace(spec, input=str(uploaded_folder(files, context.temp, context.uploads))) if files else spec


def factor(scale: Any) -> float:
    """Return a factor of sizes.

    Raises:
        InvalidRequest: it cannot be used.
    """
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale <= MOST_SCALE:
        raise InvalidRequest(f"expected a factor up to {MOST_SCALE}", field="scale")
    return float(scale)


def scaled(size: tuple[int, int], scale: Any) -> tuple[int, int]:
    """Return a size times a factor, whole pixels.

    Raises:
        InvalidRequest: the factor cannot be used.
    """
    by = factor(scale)
    return int(size[0] * by), int(size[1] * by)


def _connect_sources(context: UiContext, parts: Parts) -> None:
    """Remember how large the picture of each inner tab is."""
    for source in SOURCES:
        if source.read is None:
            continue
        picture = parts[source.id][0]
        event, held = _holding(parts, source, picture.upload if isinstance(picture, gr.ImageEditor) else picture.change)
        remembered = event(
            partial(_remember, context, source, parts), [held, parts["source_sizes"]], [parts["source_sizes"]],
            preprocess=False, **QUIET,
        )  # fmt: skip
        _describe_size(remembered.then, parts, source)


def _connect_mask(controls: Controls, parts: Parts) -> None:
    """Show the controls of masks where the inner tab in front has a mask or the canvas is extended.

    In the browser alone: answers of the server to quick changes of the tab could overtake each other.
    """
    masked = [source.id for source in SOURCES if source.masked]
    shown = f"{{ __type__: 'update', visible: extended || {masked}.includes(source) }}"
    extend = controls[ENABLE_EXTEND]
    for source in SOURCES:
        alpha = f"{{ __type__: 'update', visible: source === '{TRANSPARENT}' }}"
        parts[f"tab_{source.id}"].select(
            None, [extend], [parts["source"], parts["mask_box"], parts["mask_alpha"]],
            js=f"(extended) => {{ const source = '{source.id}'; return [source, {shown}, {alpha}]; }}", **QUIET,
        )  # fmt: skip
    extend.change(  # pyright: ignore[reportAttributeAccessIssue]
        None, [parts["source"], extend], [parts["mask_box"]], js=f"(source, extended) => ({shown})", **QUIET
    )


def _remember(context: UiContext, source: Source, parts: Parts, raw: Any, sizes: Sizes) -> Sizes:
    limits = limits_of(context)
    try:
        size = drawings.size_of(drawings.given(_drawing(context, parts, source, raw).background, limits), limits)
    except WebuiError:
        return {name: known for name, known in sizes.items() if name != source.id}
    return {**sizes, source.id: size}


def _connect_copies(context: UiContext, parts: Parts) -> None:
    """Let the picture of one inner tab be copied to another, which then comes to the front."""
    for source in SOURCES:
        for target, button in parts.get(f"copy_{source.id}", {}).items():
            event, held = _holding(parts, source, button.click)
            event(
                partial(_copied, context, source, target, parts), [held, parts["source_sizes"]],
                [parts[target][0], parts["source_sizes"]], preprocess=False, show_progress_on=parts["log"], **QUIET,
            ).then(None, None, None, js=f'() => window.webui.openSource("{target}")', **QUIET)  # fmt: skip


def _copied(context: UiContext, source: Source, target: str, parts: Parts, raw: Any, sizes: Sizes) -> tuple[Any, Sizes]:
    limits = limits_of(context)
    try:
        data = drawings.picture_of(_drawing(context, parts, source, raw), limits, drawn=source.drawn)
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

    parts["detect"].click(detect, known, [controls["width"], controls["height"]], **QUIET)
    parts["scale"].change(
        lambda source, sizes, scale: scale_note(sizes.get(source), scale), [*known, parts["scale"]],
        [parts["scale_note"]], preprocess=False, trigger_mode="always_last", **QUIET,
    )  # fmt: skip
    for source in SOURCES:
        _describe_size(parts[f"tab_{source.id}"].select, parts, source)


def _describe_size(event: Any, parts: Parts, source: Source) -> None:
    """Say after an event what size the picture of a source begins and ends with."""

    def describe(sizes: Sizes, scale: Any) -> str:
        return scale_note(sizes.get(source.id), scale)

    event(describe, [parts["source_sizes"], parts["scale"]], [parts["scale_note"]], preprocess=False, **QUIET)


def scale_note(size: tuple[int, int] | None, scale: Any) -> str:
    """Say from which size to which a picture goes; empty while there is none."""
    if size is None:
        return ""
    try:
        width, height = scaled(size, scale)
    except InvalidRequest:
        return ""
    return html.element("span", f"resize: from {size[0]}x{size[1]} to ") + html.element("strong", f"{width}x{height}")
