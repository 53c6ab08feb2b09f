"""What happens when somebody uses the controls that txt2img and img2img have in common."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from modules.domain.errors import WebuiError
from modules.domain.request import Generation
from modules.engine.job import Owner
from modules.imaging.read_info import read_picture_info
from modules.prompting.styles import apply_styles
from modules.web.rest.pictures import image_limits
from modules.web.ui import html
from modules.web.ui.choices import SAME_CHECKPOINT, SAME_SAMPLER, SAME_SCHEDULE
from modules.web.ui.context import UiContext
from modules.web.ui.controls import Controls
from modules.web.ui.pasting import last_text, paste, seeds_of
from modules.web.ui.results import Shown, error_line, request_of, show
from modules.web.ui.tabs.gallery import connect_tools
from modules.web.ui.tabs.tab import QUIET, page_owner
from modules.web.ui.tokens import style_texts
from modules.web.ui.values import OVERRIDES, SUBSEED_SHOW

Parts = Mapping[str, Any]


MAX_DIGITS = 6
"""Of the place of a picture in a gallery."""
UNUSED = (None, "", SAME_CHECKPOINT, SAME_SAMPLER, SAME_SCHEDULE)
"""Values of the controls in hidden rows that ask for nothing."""

Make = Callable[[Owner, Mapping[str, Any], Sequence[Any]], Generation]
"""Makes a request of who asks, the raw values of the controls by name, and those of further components."""


def connect(context: UiContext, controls: Controls, parts: Parts) -> None:
    """Connect the controls of a generation tab with what they do, except for beginning a run."""
    for name in ("interrupt", "skip", "restore"):
        parts[name].click(None, None, None, js=f'() => window.webui.{name}("{controls.tab}")', **QUIET)
    connect_results(context, controls.tab, parts)
    connect_tools(context, controls.tab, parts)
    _connect_seeds(controls, parts)
    _connect_prompts(context, controls, parts)


def connect_generate(
    context: UiContext, controls: Controls, parts: Parts, make: Make, *, event: Any, more: Sequence[Any] = ()
) -> None:
    """Queue what the controls ask for when something happens.

    Args:
        context: where jobs are accepted.
        controls: of the tab.
        parts: has what shows the job and what goes wrong.
        make: makes the request.
        event: registers a handler: `button.click`.
        more: further components whose values `make` is given.
    """
    names, inputs, tab = list(controls.made), list(controls.made.values()), controls.tab

    def submit(request: gr.Request, *sent: Any) -> tuple[str, str]:
        """Queue what the controls ask for; answer with the id of the job."""
        owner, values = page_owner(request), dict(zip(names, sent, strict=False))
        try:
            generation = make(owner, values, sent[len(names) :])
            return context.services.desk.accept(generation, owner, kind=tab).id, ""
        except WebuiError as error:
            gr.Warning(html.text(error), title="Not accepted")
            return "", error_line(type(error).__name__, str(error))

    # Raw values, because our own reader names the field at fault; gradio's queue, because it carries warnings.
    event(
        submit, [*inputs, *more], [parts["job"], parts["log"]], preprocess=False, show_progress="hidden",
        api_visibility="private", concurrency_limit=None,
    ).then(None, [parts["job"]], None, js=f'(id) => window.webui.accepted("{tab}", id)', **QUIET)  # fmt: skip


def connect_results(context: UiContext, tab: str, parts: Parts) -> None:
    """Connect what shows the results of a tab: its gallery and the words below it."""

    def show_job(request: gr.Request, asked: str) -> tuple[Any, Shown, int, str, str]:
        """Fill the gallery with the pictures of a job that has ended."""
        services, owner = context.services, page_owner(request)
        try:
            wanted = request_of(asked)
            handle = services.desk.find(wanted["job"])
            if handle is None or handle.job.owner.user != owner.user:
                shown = Shown(log=error_line("Gone", "this job is no longer remembered; its saved files remain"))
            else:
                shown = show(handle, services.settings.snapshot(), wanted["base"])
        except WebuiError as error:
            shown = Shown(log=error_line(type(error).__name__, str(error)))
        gallery = gr.update(value=list(shown.addresses), selected_index=0 if shown.addresses else None)
        return gallery, shown, 0, infotext_of(shown, 0), shown.log

    outputs = [parts[name] for name in ("gallery", "shown", "selected", "info", "log")]
    parts["show"].click(
        show_job, [parts["show_request"]], outputs, trigger_mode="multiple",
        js=f'() => window.webui.wanted("{tab}")', **QUIET,
    )  # fmt: skip

    def select(shown: Shown, picked: str) -> tuple[int, str]:
        """Show the parameters text of the selected picture."""
        index = int(picked) if picked.isascii() and picked.isdigit() and len(picked) < MAX_DIGITS else 0
        return index, infotext_of(shown, index)

    # The page tells at the last moment which picture is in front. Whoever steps through pictures quickly would else see
    # the text of one that has gone by.
    parts["gallery"].select(
        select, [parts["shown"], parts["picked"]], [parts["selected"], parts["info"]], trigger_mode="always_last",
        js=f'async (shown, picked) => [shown, await window.webui.inFront("{tab}")]', **QUIET,
    )  # fmt: skip


def infotext_of(shown: Shown, index: int) -> str:
    """Return the parameters text of a shown picture as HTML."""
    return html.paragraphs(shown.infotexts[index]) if 0 <= index < len(shown.infotexts) else ""


def _connect_seeds(controls: Controls, parts: Parts) -> None:
    def reuse(which: int) -> Any:
        def seed(shown: Shown, selected: int) -> int:
            """Return the seed that the selected picture was made with."""
            known = 0 <= selected < len(shown.infotexts)
            return seeds_of(shown.infotexts[selected])[which] if known else -1

        return seed

    for which, name in enumerate(("seed", "subseed")):
        parts[f"random_{name}"].click(None, None, [controls[name]], js="() => -1", **QUIET)
        parts[f"reuse_{name}"].click(reuse(which), [parts["shown"], parts["selected"]], [controls[name]], **QUIET)
    controls[SUBSEED_SHOW].change(  # pyright: ignore[reportAttributeAccessIssue]
        lambda wanted: gr.update(visible=wanted), [controls[SUBSEED_SHOW]], [parts["extras"]], **QUIET
    )
    sizes = [controls["width"], controls["height"]]
    parts["swap"].click(None, sizes, sizes, js="(width, height) => [height, width]", **QUIET)


def _connect_prompts(context: UiContext, controls: Controls, parts: Parts) -> None:
    tab, prompts = controls.tab, [controls["prompt"], controls["negative_prompt"]]
    count: dict[str, Any] = {"js": f'() => window.webui.countTokens("{tab}")', **QUIET}

    def apply(names: Sequence[str], *texts: str) -> tuple[Any, ...]:
        """Write the selected styles into the prompts."""
        styles = context.services.styles()
        done = [
            apply_styles(text, style_texts(styles, names, positive=positive))
            for text, positive in zip(texts, (True, False), strict=True)
        ]
        return *done, []

    parts["apply_styles"].click(apply, [controls["styles"], *prompts], [*prompts, controls["styles"]], **QUIET).then(
        None, None, None, **count
    )
    parts["clear"].click(
        None, prompts, prompts, js='(...texts) => confirm("Delete both prompts?") ? ["", ""] : texts', **QUIET
    ).then(None, None, None, **count)
    controls["styles"].change(  # pyright: ignore[reportAttributeAccessIssue]
        None, [controls["styles"]], None, js=f'(names) => window.webui.setStyles("{tab}", names)', **QUIET
    )
    parts["edit_styles"].click(None, None, None, js=f'() => window.webui.editStyles("{tab}")', **QUIET)
    pasting = Pasting.of(tab, controls.made, parts)
    connect_paste(context, parts["paste"].click, prompts[0], pasting)
    _connect_dropped(context, parts["dropped"], pasting)


class Pasting:
    """Where a parameters text goes: the controls of a generation tab.

    Args:
        tab: id of the tab.
        controls: its controls by name.
        log: says what cannot be done.
        revealed: hidden rows, and the names of their controls; a value for one of these shows the row.
    """

    def __init__(
        self, tab: str, controls: Mapping[str, Any], log: Any, revealed: Sequence[tuple[Any, Sequence[str]]] = ()
    ) -> None:
        self.tab, self.names, self._revealed = tab, list(controls), revealed
        self.outputs = [*controls.values(), *(row for row, _ in revealed), log]

    @classmethod
    def of(cls, tab: str, controls: Mapping[str, Any], parts: Parts) -> "Pasting":
        """Take them from a tab."""
        chosen = zip(parts["script_names"], parts["script_inputs"], strict=False)
        return cls(tab, {**controls, **dict(chosen)}, parts["log"], parts.get("revealed", ()))

    def updates(self, values: Mapping[str, Any], log: str) -> list[Any]:
        """Return what the event answers: only what changes."""
        rows = [
            gr.update(visible=True) if any(values.get(name) not in UNUSED for name in names) else gr.skip()
            for _, names in self._revealed
        ]
        return [*(self._update(name, values) for name in self.names), *rows, log]

    @staticmethod
    def _update(name: str, values: Mapping[str, Any]) -> Any:
        if name not in values:
            return gr.skip()
        value = values[name]
        if name == OVERRIDES:
            return gr.update(value=value, choices=value, visible=bool(value))
        return gr.update(value=list(value) if isinstance(value, tuple) else value)


def _connect_dropped(context: UiContext, dropped: Any, target: Pasting) -> None:
    def read_dropped(path: str | None) -> list[Any]:
        """Apply what a picture that was dropped on the prompt says about itself."""
        try:
            return target.updates(*_told_by(context, path, target))
        except WebuiError as error:
            return target.updates({}, error_line(type(error).__name__, str(error)))

    dropped.upload(read_dropped, [dropped], target.outputs, **QUIET).then(
        None, None, None, js=f'() => window.webui.countTokens("{target.tab}")', **QUIET
    )


def _told_by(context: UiContext, path: str | None, target: Pasting) -> tuple[Mapping[str, Any], str]:
    limits = image_limits(context.services.settings.snapshot())
    text = read_picture_info(Path(path).read_bytes(), limits).infotext if path is not None else None
    if not text:
        return {}, html.element("p", "This picture does not say how it was made.", class_="note")
    found = paste(target.tab, text, context.services)
    return found.values, Markup("").join(html.element("p", note, class_="note") for note in found.notes)


def connect_paste(context: UiContext, event: Any, source: Any, target: Pasting) -> None:
    """Apply the parameters text of a component when something happens.

    Args:
        context: for the text of the last run, which stands in for an empty one.
        event: registers a handler: `button.click`.
        source: holds the text.
        target: where it goes.
    """

    def read(text: str) -> list[Any]:
        """Read the text; what it does not speak about stays."""
        try:
            found = paste(target.tab, text.strip() or last_text(context.last_prompt), context.services)
        except WebuiError as error:
            return target.updates({}, error_line(type(error).__name__, str(error)))
        notes = [html.element("p", note, class_="note") for note in found.notes]
        return target.updates(found.values, "".join(notes))

    event(read, [source], target.outputs, **QUIET).then(
        None, None, None, js=f'() => window.webui.countTokens("{target.tab}")', **QUIET
    )
