"""What extensions add to the program, and who added it."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.domain.cards import CardEntry, CardSource
from modules.domain.param import walk_params
from modules.extending.discover import Extension
from modules.extending.script import Script, SelectableScript
from modules.hooks.dispatch import Handler
from modules.hooks.points import Hook, PageTab
from modules.pipeline.extras.step import Step
from modules.settings.coerce import coerce
from modules.settings.sections import Section

if TYPE_CHECKING:
    from fastapi import APIRouter

    from modules.imaging.upscale import NamedUpscaler, Upscaler
    from modules.pipeline.faces import Restore
    from modules.pipeline.unets import OfferedUnet
    from modules.sampling.catalogue import Sampler
    from modules.sampling.schedules import Schedule

LISTS = ("checkpoints", "vaes", "samplers", "schedulers", "styles", "upscalers", "hires_upscalers")
"""Lists of the program that the choices of a parameter may name."""
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Registry:
    """Takes what one extension adds. Handed to its `register` function; what is refused raises there.

    Args:
        extension: whose things they are; its name is put before the names of its handlers.
    """

    def __init__(self, extension: Extension) -> None:
        self.extension = extension
        self.handlers: list[Handler] = []
        self.scripts: list[Script] = []
        self.selectable: list[SelectableScript] = []
        self.steps: list[Step] = []
        self.tabs: list[PageTab] = []
        self.settings: list[Section] = []
        self.routers: list[APIRouter] = []
        self.page_files: list[Path] = []
        self.samplers: list[Callable[[], Sampler]] = []
        self.schedules: list[Callable[[], Schedule]] = []
        self.cards_pages: list[CardSource] = []
        self.upscalers: list[NamedUpscaler] = []
        self.face_restorers: dict[str, Restore] = {}
        self.unets: list[Callable[[], OfferedUnet]] = []
        self.faults: list[str] = []
        """What went wrong, in sentences."""

    def handle(
        self, hook: type[Hook], call: Callable[[Any], Hook | None], *, name: str = "", before: Sequence[str] = (),
        after: Sequence[str] = (), essential: bool = False,
    ) -> None:  # fmt: skip
        """Call a function at a hook point of every job.

        Args:
            hook: the point; `modules/hooks/points.py` lists them.
            call: gets the payload and returns a changed one, or None.
            name: of the handler, after that of the extension; the function's own name where it is left out.
            before: whole names (`extension/handler`) of handlers that come later.
            after: whole names of handlers that come earlier.
            essential: let the job fail when the handler fails.
        """
        short = name or getattr(call, "__name__", "handler")
        order = self.extension.metadata.callbacks.get(short.lower())
        self.handlers.append(
            Handler(
                name=self._free_name(hook, f"{self.extension.canonical}/{short}"), hook=hook, call=call,
                before=(*before, *(order.before if order else ())),
                after=(*after, *((*order.requires, *order.after) if order else ())), essential=essential,
            )
        )  # fmt: skip

    def script(self, script: Script) -> None:
        """Offer an always-on script.

        Raises:
            ValueError: its id or its parameters are not what a script's must be.
        """
        check_script(script)
        self.scripts.append(script)

    def selectable_script(self, script: SelectableScript) -> None:
        """Offer a script in the drop-down.

        Raises:
            ValueError: its id or its parameters are not what a script's must be.
        """
        check_script(script)
        self.selectable.append(script)

    def postprocessing(self, step: Step) -> None:
        """Offer a step over finished pictures: in the Extras tab, and where the settings want it after each run.

        Raises:
            ValueError: its id or its parameters are not what a step's must be.
        """
        check_script(step)
        self.steps.append(step)

    def tab(self, tab_id: str, label: str, build: Callable[[], None]) -> None:
        """Add a tab to the page.

        Raises:
            ValueError: the id is not one.
        """
        check_id(tab_id)
        self.tabs.append(PageTab(id=tab_id, label=label, build=build))

    def settings_page(self, page_id: str, title: str, cls: type) -> None:
        """Add a page to the Settings tab.

        Args:
            page_id: id of the page.
            title: of the page.
            cls: a frozen dataclass of `param(...)`. The names of its fields are keys of config.json, so they should
                begin with the name of the extension. Read them with `settings.of(cls)`.

        Raises:
            ValueError: the id is not one, or the class declares no parameters.
        """
        check_id(page_id)
        if not is_dataclass(cls) or not any(True for _ in walk_params(cls)):
            raise ValueError(f"the settings {page_id} must be a dataclass of param(...)")
        self.settings.append(Section(name=page_id, cls=cls, id=page_id, title=title, category="Extensions"))

    def routes(self, router: "APIRouter") -> None:
        """Add routes to the server."""
        self.routers.append(router)

    def page_file(self, relative: str) -> None:
        """Add a script or a style sheet to the page, besides those in `javascript` and `style.css`.

        Raises:
            ValueError: it is none, or does not lie in the extension's folder.
        """
        path = (self.extension.folder / relative).resolve()
        if path.suffix not in (".js", ".mjs", ".css") or not path.is_file():
            raise ValueError(f"{relative} is no script or style sheet")
        if not path.is_relative_to(self.extension.folder.resolve()):
            raise ValueError(f"{relative} lies outside the extension")
        self.page_files.append(path)

    def sampler(self, make: "Callable[[], Sampler]") -> None:
        """Add a sampler.

        Args:
            make: returns it; called once, when somebody first looks at the list, so that torch is imported only then.
        """
        self.samplers.append(make)

    def schedule(self, make: "Callable[[], Schedule]") -> None:
        """Add a schedule: one way to space noise levels.

        Args:
            make: returns it; called once, when somebody first looks at the list, so that torch is imported only then.
        """
        self.schedules.append(make)

    def upscaler(self, name: str, enlarge: "Upscaler", *, scale: float = 4.0, model_name: str | None = None) -> None:
        """Add what enlarges pictures, for the hires pass and for Extras.

        Args:
            name: as people see it.
            enlarge: (RGB picture, factor) -> a larger one, by this factor or by one of its own.
            scale: by how much it enlarges at once, as the list of the API tells it.
            model_name: of the network behind it, for the same list.

        Raises:
            ValueError: the name is empty, or means that there is no upscaler.
        """
        from modules.imaging.upscale import NO_UPSCALER, NamedUpscaler

        if name.strip() in ("", NO_UPSCALER):
            raise ValueError(f"{name!r} is no name for an upscaler")
        self.upscalers.append(NamedUpscaler(name=name, enlarge=enlarge, scale=scale, model_name=model_name))

    def face_restorer(self, name: str, restore: "Restore") -> None:
        """Add what restores faces, for requests with `restore_faces` and the setting *Face restoration model*.

        Args:
            name: as people see it.
            restore: RGB picture -> one with better faces.

        Raises:
            ValueError: the name is empty.
        """
        if not name.strip():
            raise ValueError("a face restorer needs a name")
        self.face_restorers[name] = restore

    def cards(
        self, page_id: str, title: str, entries: Callable[[], Iterable[CardEntry]],
        refresh: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        """Add a page of cards beside those of LoRAs and embeddings.

        Args:
            page_id: small letters, digits, `_` and `-`.
            title: of the tab.
            entries: lists the cards, when somebody first looks at them and when they are to be looked for again.
            refresh: called before that.

        Raises:
            ValueError: the id is not one.
        """
        check_id(page_id)
        self.cards_pages.append(CardSource(id=page_id, title=title, entries=entries, refresh=refresh))

    def unet(self, make: "Callable[[], OfferedUnet]") -> None:
        """Offer a network in the place of a checkpoint's own, for the setting *SD Unet*.

        Args:
            make: returns it; called once, when somebody first looks at the list, so that torch is imported only then.
        """
        self.unets.append(make)

    def take(self, other: "Registry") -> None:
        """Add everything that another registry of the same extension holds and this one does not."""
        self.handlers += other.handlers[len(self.handlers) :]
        self.scripts += other.scripts
        self.selectable += other.selectable
        self.steps += other.steps
        self.tabs += other.tabs
        self.settings += other.settings
        self.routers += other.routers
        self.page_files += other.page_files
        self.samplers += other.samplers
        self.schedules += other.schedules
        self.upscalers += other.upscalers
        self.unets += other.unets
        self.face_restorers |= other.face_restorers
        self.cards_pages += other.cards_pages
        self.faults += other.faults

    def _free_name(self, hook: type[Hook], name: str) -> str:
        taken = {one.name for one in self.handlers if one.hook is hook}
        numbered = (f"{name} {number}" for number in range(2, len(taken) + 3))
        return name if name not in taken else next(one for one in numbered if one not in taken)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """Everything that extensions added, in the order in which it was added."""

    extensions: tuple[Extension, ...] = ()
    """All there are; those that do not run have their reason."""
    registries: tuple[Registry, ...] = field(default=())
    """Of those that run."""

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """Handlers of every job."""
        return tuple(handler for one in self.registries for handler in one.handlers)

    @property
    def scripts(self) -> tuple[Script, ...]:
        """Always-on scripts."""
        return tuple(script for one in self.registries for script in one.scripts)

    @property
    def selectable(self) -> tuple[SelectableScript, ...]:
        """Scripts of the drop-down."""
        return tuple(script for one in self.registries for script in one.selectable)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Steps over finished pictures."""
        return tuple(step for one in self.registries for step in one.steps)

    @property
    def tabs(self) -> tuple[PageTab, ...]:
        """Tabs of the page."""
        return tuple(tab for one in self.registries for tab in one.tabs)

    @property
    def settings(self) -> tuple[Section, ...]:
        """Pages of settings."""
        return tuple(page for one in self.registries for page in one.settings)

    @property
    def routers(self) -> "tuple[APIRouter, ...]":
        """Routes of the server."""
        return tuple(router for one in self.registries for router in one.routers)

    @property
    def faults(self) -> dict[str, tuple[str, ...]]:
        """Return folder name -> what went wrong while it was loaded."""
        return {one.extension.name: tuple(one.faults) for one in self.registries if one.faults}


def check_id(text: str) -> None:
    """Refuse what cannot be part of an element id and of an address.

    Raises:
        ValueError: it is not an id.
    """
    if not _ID.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no id: small letters, digits, _ and -")


def check_script(script: Script | SelectableScript | Step) -> None:
    """Refuse a script or a step that could not be offered.

    Raises:
        ValueError: says why.
        InvalidRequest: a default that is not of its own type or range; names the parameter.
    """
    check_id(script.id)
    if not is_dataclass(script.Params):
        raise ValueError(f"Params of the script {script.id} must be a dataclass of param(...)")
    for item in walk_params(script.Params):
        if len(item.path) != 1:
            raise ValueError(f"Params of the script {script.id} must not hold other dataclasses")
        if isinstance(item.param.choices, str) and item.param.choices not in LISTS:
            raise ValueError(f"{script.id}.{item.name}: choices is none of {', '.join(LISTS)}, and no tuple")
        coerce(item, item.default)
    script.Params()
