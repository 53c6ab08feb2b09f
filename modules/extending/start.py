"""What happens with extensions when the program starts: choose, install, load, and put together what they bring."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from modules.domain.errors import WebuiError
from modules.extending.clones import Clones
from modules.extending.discover import Extension, Mode, discover, program_scripts
from modules.extending.git import Git
from modules.extending.index import DEFAULT
from modules.extending.installers import Installers, Needs, OwnFiles
from modules.extending.loader import Loader, load_all
from modules.extending.manage import Manager, Places
from modules.extending.registry import Loaded
from modules.extending.safe_mode import StartWatch
from modules.extending.scripts import Scripts
from modules.hooks.dispatch import Hooks
from modules.hooks.points import SettingsBuilding
from modules.settings.store import SettingsStore

if TYPE_CHECKING:
    from fastapi import FastAPI

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line says about extensions."""

    off: Mode = Mode.NONE
    flag: str = ""
    """The flag that says so."""
    install: bool = True
    """Whether installers may run."""
    update: bool = False
    """Whether all that were cloned are updated first."""
    allowed: bool = True
    """Whether they may be changed from the page."""
    index_address: str = DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extending:
    """The extensions of this run of the program."""

    manager: Manager
    loaded: Loaded
    hooks: Hooks
    scripts: Scripts
    watch: StartWatch

    def add_routes(self, app: "FastAPI") -> None:
        """Add the routes of extensions to the server, behind its own."""
        for one in self.loaded.registries:
            for router in one.routers:
                try:
                    app.include_router(router)
                except Exception as error:
                    logger.exception("%s: its routes are left out", one.extension.name)
                    one.faults.append(f"Its routes are left out: {type(error).__name__}: {error}.")


def open_extensions(
    places: Places, cache: Path, settings: SettingsStore, loaders: Sequence[Loader], wish: Wish,
    needs: Sequence[Needs] = (OwnFiles(),),
) -> Extending:  # fmt: skip
    """Load the extensions that are to run.

    Args:
        places: where they lie.
        cache: folder for what is remembered between starts.
        settings: which are switched off; gets the settings that they bring.
        loaders: ways in which extensions are written.
        wish: of the command line.
        needs: ways in which extensions say what has to be installed.
    """
    watch = StartWatch(path=cache / "starting.json")
    clones, installers = (
        Clones(git=Git()),
        Installers(root=places.root, record=cache / "extensions-installed.json", needs=needs),
    )
    mode, why = _mode(settings, wish, watch)
    found = discover(
        places.builtin, places.extra, disabled=settings.snapshot().system.disabled_extensions, mode=mode, why=why
    )
    watch.begin([one.name for one in found if one.active and not one.is_builtin])
    if wish.update:
        _update(found, clones)
    faults = installers.run_needed(found, logger.info) if wish.install else {}
    loaded = load_all(found, loaders, own=program_scripts(places.scripts) if places.scripts else ())
    _tell_doubles(loaded)
    hooks = _hooks(loaded, settings.snapshot().system.prioritized_handlers)
    _declare(loaded, hooks, settings)
    manager = Manager(
        places=places, settings=settings, clones=clones, installers=installers, allowed=wish.allowed, loaded=loaded,
        note=why if mode is not Mode.NONE else "", faults={name: (text,) for name, text in faults.items()},
        index_address=wish.index_address,
    )  # fmt: skip
    scripts = Scripts(loaded.scripts, loaded.selectable)
    return Extending(manager=manager, loaded=loaded, hooks=hooks, scripts=scripts, watch=watch)


def _mode(settings: SettingsStore, wish: Wish, watch: StartWatch) -> tuple[Mode, str]:
    """Return what is switched off all together, and who says so."""
    chosen = Mode(settings.snapshot().system.disable_all_extensions)
    failed = watch.failed()
    if wish.off is Mode.ALL or (wish.off is Mode.EXTRA and chosen is not Mode.ALL):
        return wish.off, wish.flag
    if chosen is not Mode.NONE:
        return chosen, "chosen in the tab Extensions"
    if failed:
        names = ", ".join(failed)
        logger.warning(
            "safe mode: the last start did not come to its end with the extensions %s; none of them runs", names
        )
        return Mode.EXTRA, f"safe mode: the last start did not come to its end with {names}; the next start tries again"
    return Mode.NONE, ""


def _update(found: Sequence[Extension], clones: Clones) -> None:
    for one in found:
        if one.active and one.remote and not one.is_builtin:
            try:
                clones.update(one.folder, logger.info, lambda _folder: None)
            except WebuiError as error:
                logger.warning("%s is not updated: %s", one.name, error)


def _hooks(loaded: Loaded, first: Sequence[str]) -> Hooks:
    """Put the handlers in order; an order that cannot be is left out."""
    try:
        return Hooks(loaded.handlers, first=first)
    except ValueError as error:
        logger.error("%s; their order is left out", error)
        return Hooks([replace(one, before=(), after=()) for one in loaded.handlers], first=first)


def _tell_doubles(loaded: Loaded) -> None:
    """Tell which scripts are left out because an earlier one has their id."""
    for kind in ("scripts", "selectable", "steps"):
        owners: dict[str, str] = {}
        for one in loaded.registries:
            for script in getattr(one, kind):
                first = owners.setdefault(script.id, one.extension.name)
                if first != one.extension.name:
                    what = "step" if kind == "steps" else "script"
                    one.faults.append(f"Its {what} {script.id} is left out: {first} has one of that id.")
                    logger.error("%s: %s", one.extension.name, one.faults[-1])


def _declare(loaded: Loaded, hooks: Hooks, settings: SettingsStore) -> None:
    owners = {page.id: one for one in loaded.registries for page in one.settings}
    for page in hooks.run(SettingsBuilding(sections=loaded.settings)).sections:
        try:
            settings.declare(page)
        except ValueError as error:
            logger.error("the settings %s are left out: %s", page.id, error)
            if page.id in owners:
                owners[page.id].faults.append(f"Its settings are left out: {error}.")
