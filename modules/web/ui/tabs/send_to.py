"""From one tab to another: a picture, and the parameters it was made with."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import BlockContext
from gradio.context import Context

from modules.domain.errors import InvalidRequest, WebuiError
from modules.domain.extras import KIND as EXTRAS
from modules.engine.job import Owner
from modules.web.ui import drawings, html
from modules.web.ui.context import UiContext
from modules.web.ui.pasting import Pasted, paste
from modules.web.ui.results import Shown, error_line
from modules.web.ui.sending import sent_file
from modules.web.ui.tabs.generation_events import Pasting
from modules.web.ui.tabs.img2img_events import Sizes, limits_of
from modules.web.ui.tabs.tab import QUIET, Made, page_owner
from modules.web.ui.values import IMG2IMG, TXT2IMG

FROM_GALLERY = ("prompt", "negative_prompt", "styles", "steps", "seed", "width", "height")
"""What goes with a picture of a gallery; whoever wants all of it uses PNG Info."""
NOTHING = "there is no picture to send yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where something can be sent."""

    id: str
    tab: str
    source: str | None = None
    """Inner tab of img2img that the picture goes to; None takes no picture."""


TARGETS: Mapping[str, Target] = {
    one.id: one
    for one in (
        Target(id=TXT2IMG, tab=TXT2IMG),
        Target(id=IMG2IMG, tab=IMG2IMG, source="img2img"),
        Target(id="inpaint", tab=IMG2IMG, source="inpaint"),
    )
}
GALLERY_TARGETS: Mapping[str, tuple[str, ...]] = {
    TXT2IMG: (IMG2IMG, "inpaint", EXTRAS),
    IMG2IMG: (TXT2IMG, IMG2IMG, "inpaint", EXTRAS),
    EXTRAS: (IMG2IMG, "inpaint", EXTRAS),
}
"""What is offered below the gallery of a tab."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What is sent."""

    text: str
    """Parameters text; empty leaves the controls alone."""
    picture: bytes | None = None
    only: tuple[str, ...] | None = None
    """Names of the controls that may change; None for all."""


Pack = Callable[..., Parcel]
"""Makes what is sent of the request and the values of some inputs; raises `WebuiError`."""


def send_buttons(targets: Iterable[str], elem_ids: str) -> dict[str, Any]:
    """Build the buttons in the current row.

    Args:
        targets: ids of targets.
        elem_ids: of each, with `{}` for the target.
    """
    return {
        one: gr.Button(f"Send to {one}", size="sm", min_width=90, elem_id=elem_ids.replace("{}", one))
        for one in targets
    }


def connect_sending(
    context: UiContext, button: Any, inputs: list[Any], pack: Pack, target: Target, made: Mapping[str, Made], here: Made
) -> None:
    """Send something when a button is pressed, and bring its target to the front.

    Args:
        context: for names and the folder of pictures.
        button: what is pressed.
        inputs: components whose values `pack` is given.
        pack: makes what is sent.
        target: where it goes.
        made: all tabs.
        here: the tab of the button; says what goes wrong.
    """
    there = made[target.tab]
    pasting = Pasting.of(target.tab, there.controls, there.parts)
    pictures = [there.parts[target.source][0], there.parts["source_sizes"]] if target.source else []

    def send(request: gr.Request, *values: Any) -> list[Any]:
        """Pack, and unpack where it goes."""
        sizes = values[-1] if target.source else {}
        try:
            parcel = pack(request, *values[: len(inputs)])
            found, placed = _unpacked(context, parcel, target, sizes)
        except WebuiError as error:
            skipped = [gr.skip()] * (len(pictures) + len(pasting.outputs))
            return ["", error_line(type(error).__name__, str(error)), *skipped]
        notes = "".join(html.element("p", note, class_="note") for note in found.notes)
        return [target.id, gr.skip(), *placed, *pasting.updates(found.values, notes)]

    button.click(
        send, [*inputs, *pictures[1:]], [here.parts["sent"], here.parts["send_log"], *pictures, *pasting.outputs],
        show_progress_on=here.parts["send_log"], **QUIET,
    ).then(None, [here.parts["sent"]], None, js="(target) => window.webui.sent(target)", **QUIET)  # fmt: skip


def connect_to_extras(
    context: UiContext, button: Any, inputs: list[Any], pack: Pack, made: Mapping[str, Made], here: Made
) -> None:
    """Send a picture to Extras when a button is pressed, and bring that to the front; see `connect_sending`."""

    def send(request: gr.Request, *values: Any) -> list[Any]:
        """Pack the picture, and put it there."""
        try:
            data = drawings.given(pack(request, *values).picture, limits_of(context))
            return [EXTRAS, gr.skip(), sent_file(context.temp, data)]
        except WebuiError as error:
            return ["", error_line(type(error).__name__, str(error)), gr.skip()]

    button.click(
        send, inputs, [here.parts["sent"], here.parts["send_log"], made[EXTRAS].parts["image"]],
        show_progress_on=here.parts["send_log"], **QUIET,
    ).then(None, [here.parts["sent"]], None, js="(target) => window.webui.sent(target)", **QUIET)  # fmt: skip


def _unpacked(context: UiContext, parcel: Parcel, target: Target, sizes: Sizes) -> tuple[Pasted, list[Any]]:
    """Return what changes in the controls, and the values of the picture and of the known sizes."""
    found = paste(target.tab, parcel.text, context.services) if parcel.text.strip() else Pasted()
    if parcel.only is not None:
        found = Pasted(values={name: found.values[name] for name in parcel.only if name in found.values})
    if target.source is None:
        return found, []
    if parcel.picture is None and parcel.text.strip():
        return found, [gr.skip(), gr.skip()]
    limits = limits_of(context)
    data = drawings.given(parcel.picture, limits)
    size = drawings.size_of(data, limits)
    if parcel.only is not None and "width" in parcel.only:
        # The picture of a gallery may be larger than the first pass that its text speaks of.
        found = Pasted(values={**found.values, "width": size[0], "height": size[1]})
    return found, [sent_file(context.temp, data), {**sizes, target.source: size}]


def picture_shown(context: UiContext, owner: Owner, shown: Shown, selected: int) -> bytes:
    """Return the selected picture of a gallery as a file.

    Raises:
        InvalidRequest: there is none, or its job is no longer remembered.
    """
    if not 0 <= selected < len(shown.numbers):
        raise InvalidRequest(NOTHING)
    handle = context.services.desk.find(shown.job)
    if handle is None or handle.job.owner.user != owner.user:
        raise InvalidRequest("this job is no longer remembered; drop its saved file on PNG Info instead")
    return handle.images()[shown.numbers[selected]].data


def connect_galleries(context: UiContext, made: Mapping[str, Made]) -> None:
    """Connect the buttons below the galleries."""

    def pack(request: gr.Request, shown: Shown, selected: int) -> Parcel:
        """Take the selected picture."""
        settings = context.services.settings.snapshot().ui
        data = picture_shown(context, page_owner(request), shown, selected)
        left_out = () if settings.send_seed else ("seed",)
        left_out += () if settings.send_size else ("width", "height")
        only = tuple(name for name in FROM_GALLERY if name not in left_out)
        return Parcel(text=shown.infotexts[selected], picture=data, only=only)

    def pack_plain(request: gr.Request, shown: Shown, selected: int) -> Parcel:
        """Take the selected picture without its text, which tells only of Extras."""
        only = ("width", "height") if context.services.settings.snapshot().ui.send_size else ()
        return Parcel(text="", picture=picture_shown(context, page_owner(request), shown, selected), only=only)

    for tab, targets in GALLERY_TARGETS.items():
        parts, packed = made[tab].parts, pack_plain if tab == EXTRAS else pack
        for name in targets:
            button, inputs = parts["send"][name], [parts["shown"], parts["selected"]]
            if name == EXTRAS:
                connect_to_extras(context, button, inputs, packed, made, made[tab])
            else:
                connect_sending(context, button, inputs, packed, TARGETS[name], made, made[tab])


def _place_of(button: Any) -> Any:
    """Return the part of the page that a button lies in; pages of extensions are put into ours and are none of these."""
    blocks = Context.root_block.blocks.values() if Context.root_block is not None else ()
    around = (one for one in blocks if isinstance(one, BlockContext) and not isinstance(one, gr.Blocks))
    return next((one for one in around if any(child is button for child in one.children)), None) or gr.Column()


def sender(
    context: UiContext, made: Mapping[str, Made]
) -> Callable[[Any, str, Sequence[Any], Callable[..., Any]], None]:
    """Return what connects buttons of extensions; see the hook point `PageBuilt`."""

    def send(button: Any, target: str, inputs: Sequence[Any], make: Callable[..., Any]) -> None:
        """Connect a button.

        Raises:
            InvalidRequest: nothing can be sent there.
        """
        if target not in (*TARGETS, EXTRAS):
            raise InvalidRequest(f"nothing can be sent to {target}", field="target")
        with _place_of(button):
            log = gr.HTML("", elem_classes=["html-log"])
            sent = gr.Textbox(visible="hidden")
        here = Made(parts={"sent": sent, "send_log": log})

        def pack(_request: gr.Request, *values: Any) -> Parcel:
            """Take what the extension makes of its components."""
            text, picture, only = make(*values)
            return Parcel(text=text, picture=picture, only=only)

        if target == EXTRAS:
            connect_to_extras(context, button, list(inputs), pack, made, here)
        else:
            connect_sending(context, button, list(inputs), pack, TARGETS[target], made, here)

    return send
