"""What the legacy names look at: one binding to the program, and the job that runs at the moment."""

import importlib
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from modules.files.layout import Layout
from modules.files.numbering import Numbering
from modules.settings.store import SettingsStore

if TYPE_CHECKING:
    from modules.extending.discover import Extension
    from modules.hooks.context import JobContext
    from modules.library.catalog import Catalog
    from modules.pipeline.services import Workshop
    from modules.web.services import Services


class RunningJob(Protocol):
    """A job as legacy names see it; `jobs.LegacyJob` is one."""

    p: Any
    ctx: "JobContext"
    state: Any
    assigned: dict[str, Any]
    """What extensions assigned to settings while it runs."""
    overrides: dict[str, Any]
    """Values of settings that only extensions know."""
    plan: Any
    moment: Any
    """A `Moment`."""
    run_folder: Any
    """Carries out a run over a folder, for jobs that are one; else None."""

    def hook(self, method: str, *arguments: Any, **more: Any) -> None:
        """Call a hook of the scripts of the job."""
        ...

    def report(self, text: str) -> None:
        """Tell the person what an extension did wrong."""
        ...

    def activate_hires(self) -> None:
        """Let kinds of tags that extensions added turn to those of the hires pass."""
        ...

    def carry_out(self) -> Any:
        """Run the pipeline and hand its results to the scripts."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Host:
    """The program as extensions written for A1111 see it. Mutable: they register things while they load."""

    layout: Layout
    settings: SettingsStore
    catalog: "Catalog[Any]"
    flags: Namespace
    """Command line values by A1111's names, those of extensions included."""
    workshop: "Callable[[], Workshop]"
    """Waits for torch and the device."""
    services: "Callable[[], Services]"
    callbacks: Any
    """A `Callbacks`."""
    scripts: Any
    """A `ScriptBook`."""
    options: Any
    """The `Options` that are `shared.opts`."""
    idle: Any
    """A `State`: what `shared.state` is while no job runs."""
    optimizer: Any = None
    """A way of an extension to compute attention, while it is in use."""
    turn: "JobContext | None" = None
    """Surroundings of an extension that works outside of a job, while it is its turn."""
    turn_state: Any = None
    """The `State` of that turn."""
    face_restorers: list[Any] = field(default_factory=list)
    upscalers: list[Any] = field(default_factory=list)
    """The list that extensions read and append to."""
    card_pages: list[Any] = field(default_factory=list)
    """Pages of cards that extensions registered, as they see them."""
    page_begun: bool = False
    """Whether extensions were told that the page is built."""
    unet: Any = None
    """The network of an extension that stands in for a checkpoint's own."""
    upscaler_classes: dict[str, type] = field(default_factory=dict)
    """Classes of extensions whose upscalers are listed, by name."""
    model: Any = None
    """The files of the model that extensions heard of last."""
    sd_model: Any = None
    """The view onto the model; made when it is asked for."""
    samplers: list[Any] = field(default_factory=list)
    schedulers: list[Any] = field(default_factory=list)
    """Lists that extensions read and append to."""
    scheduler_map: dict[str, Any] = field(default_factory=dict)
    sampler_map: dict[str, Any] = field(default_factory=dict)
    """Samplers by name, to which extensions add too."""
    made: dict[str, dict[tuple[int, int], tuple[Any, Any, Any]]] = field(default_factory=dict)
    """List -> identities of an entry that an extension added and of its function -> both, and its native form."""
    paste_fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Where parameters texts and pictures go, by tab; extensions add their own."""
    held: dict[str, Any] = field(default_factory=dict)
    """Values of controls that no request can carry, by the name that it carries instead."""
    tabs: list[str] = field(default_factory=list)
    """Ids of the tabs that extensions brought."""
    page: Any = None
    """What gradio built, once the program answers."""
    css: list[str] = field(default_factory=list)
    """Style sheets that extensions gave to their own parts of the page."""
    caches: dict[str, Any] = field(default_factory=dict)
    """What extensions keep between starts, by part."""
    told: set[str] = field(default_factory=set)
    """Errors that are told only once."""
    faults: dict[Path, Callable[[str], None]] = field(default_factory=dict)
    """Folder of an extension -> notes in the tab Extensions what went wrong with it."""
    building: "RLock" = field(default_factory=RLock)
    """Held while controls of the page or of scripts are built."""
    bindings: list[Any] = field(default_factory=list)
    """Buttons that paste, which are connected when the page is built."""
    numbering: Numbering = field(default_factory=Numbering)
    """Of pictures that extensions save."""
    extensions: "tuple[Extension, ...]" = ()
    loading: "list[Extension]" = field(default_factory=list)
    """The extension whose file runs at this moment comes last."""
    jobs: list[RunningJob] = field(default_factory=list)
    """Jobs that run now; nested ones come later."""


class _Binding:
    """Holds the one process-wide variable of the program."""

    host: Host | None = None


_binding = _Binding()
_job: ContextVar[RunningJob | None] = ContextVar("legacy_job", default=None)


def bind(host: Host | None) -> None:
    """Make a program the one that legacy names look at; None ends that."""
    _binding.host = host


def is_bound() -> bool:
    """Tell whether there is a program to look at."""
    return _binding.host is not None


def host() -> Host:
    """Return the program that legacy names look at.

    Raises:
        RuntimeError: there is none.
    """
    if _binding.host is None:
        raise RuntimeError("the compatibility view is not mounted")
    return _binding.host


def own_job() -> RunningJob | None:
    """Return the job that the calling thread works on."""
    return _job.get()


def current_job() -> RunningJob | None:
    """Return the job of the calling thread, else the newest one that runs."""
    own = _job.get()
    if own is not None:
        return own
    jobs = _binding.host.jobs if _binding.host is not None else []
    return jobs[-1] if jobs else None


@contextmanager
def working_on(job: RunningJob) -> Iterator[None]:
    """Let legacy names see a job, on this thread and, unless it has one of its own, on every other."""
    jobs, token = host().jobs, _job.set(job)
    jobs.append(job)
    try:
        yield
    finally:
        jobs.remove(job)
        _job.reset(token)


def facade(name: str) -> ModuleType:
    """Return a legacy module, so that what an extension put into it is found.

    Args:
        name: without the leading `modules.`.
    """
    full = f"modules.{name}"
    return sys.modules.get(full) or importlib.import_module(full)
