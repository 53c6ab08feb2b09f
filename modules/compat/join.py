"""How the composition root lets A1111's extensions in: a loader, and what depends on whether there are any."""

import logging
import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.compat.libraries import Libraries, held
from modules.compat.loading import LegacyLoader, is_legacy, owner_scripts
from modules.compat.preload import FILE as PRELOAD
from modules.domain.errors import StorageFault
from modules.extending.discover import Extension
from modules.extending.installers import Needs, OwnFiles
from modules.extending.loader import Unit
from modules.extending.offers import Offers
from modules.extending.registry import Registry
from modules.extending.scripts import Scripts
from modules.extending.steps import Steps
from modules.files.atomic import write_json
from modules.files.layout import Layout
from modules.settings.store import SettingsStore

if TYPE_CHECKING:
    from modules.library.catalog import Catalog
    from modules.pipeline.services import AroundFolder, Surround, Workshop
    from modules.web.services import Services

logger = logging.getLogger(__name__)


class Compat:
    """The compatibility view, made when the first extension needs it; until then it imports and costs nothing.

    Args:
        layout: where everything lies.
        settings: of the program.
        catalog: of checkpoints.
        flags: command line values by A1111's names.
        workshop: waits for torch and the device.
        services: what the web layer works with; asked for later than this is made.
    """

    def __init__(
        self, *, layout: Layout, settings: SettingsStore, catalog: "Catalog[Any]", flags: Mapping[str, Any],
        workshop: "Callable[[], Workshop]", services: "Callable[[], Services]",
    ) -> None:  # fmt: skip
        self.layout = layout
        self.host = partial(_make, layout, settings, catalog, flags, workshop, services)
        self.mounted = False

    def units(self, extensions: Sequence[Extension]) -> Iterable[Unit]:
        """Return what there is to load; the view is mounted if there is anything."""
        mine = owner_scripts(self.layout)
        if not mine and not any(is_legacy(one) or (one.folder / PRELOAD).is_file() for one in extensions):
            return ()
        return self._units(extensions, mine)

    def _units(self, extensions: Sequence[Extension], mine: Sequence[Extension]) -> Iterator[Unit]:
        from modules.compat.mount import mount
        from modules.compat.xyz import open_module as open_xyz

        bound = self.host()
        mount(bound)
        self.mounted = True
        _write_page_defaults(bound.layout.ui_config_file)
        # Many extensions call pip while they load; every process they start inherits these limits.
        os.environ.update(held(os.environ, bound.layout))
        open_xyz()
        yield from LegacyLoader().units(extensions, mine)
        known = [*mine, *(one for one in extensions if is_legacy(one) or (one.folder / PRELOAD).is_file())]
        for one in known:
            if is_legacy(one):
                yield Unit(extension=one, name="settings", load=_settings)
        last = known[-1]
        yield Unit(extension=last, name="callbacks", load=_handlers)

    def scripts(self, native: Scripts) -> Scripts:
        """Return all scripts; the native ones themselves while no others are there."""
        if not self.mounted:
            return native
        from modules.compat.entrance import AllScripts

        return AllScripts.over(native)

    def offers(self, native: Offers) -> Offers:
        """Return the lists that requests choose from; the native ones themselves while no others are there."""
        if not self.mounted:
            return native
        from modules.compat.host import host
        from modules.compat.offers import AllOffers

        # Everything is loaded now: what fails later is noted beside its extension too.
        host().faults = {one.extension.folder: one.faults.append for one in native.loaded.registries}
        return AllOffers(native.loaded)

    def steps(self, native: Steps) -> Steps:
        """Return what can be done to finished pictures; the native steps themselves while no others are there."""
        if not self.mounted:
            return native
        from modules.compat.extras_steps import AllSteps

        return AllSteps.over(native)

    def page_files(self) -> tuple[str, ...]:
        """Return what the page loads before the scripts of extensions; addresses relative to the page."""
        if not self.mounted:
            return ()
        from modules.compat.globals import FILES, PREFIX

        return tuple(f"{PREFIX.removeprefix('/')}/{name}" for name in FILES)

    def surround(self) -> "Surround | None":
        """Return what carries out plain runs among scripts and callbacks of A1111's; None where there are none."""
        if not self.mounted:
            return None
        from modules.compat.entrance import surrounding

        return surrounding()

    def around_folder(self) -> "AroundFolder | None":
        """Return what carries out runs over folders; None unless an extension put its own in the place of that."""
        if not self.mounted:
            return None
        from modules.compat.folders import around

        return around()


def _make(
    layout: Layout, settings: SettingsStore, catalog: "Catalog[Any]", flags: Mapping[str, Any],
    workshop: "Callable[[], Workshop]", services: "Callable[[], Services]",
) -> Any:  # fmt: skip
    from modules.compat.callbacks import Callbacks
    from modules.compat.host import Host
    from modules.compat.options import Options
    from modules.compat.scripts import ScriptBook
    from modules.compat.state import State

    return Host(
        layout=layout, settings=settings, catalog=catalog, flags=Namespace(**flags), workshop=workshop,
        services=services, callbacks=Callbacks(), scripts=ScriptBook(), options=Options(settings), idle=State(),
    )  # fmt: skip


def _write_page_defaults(path: Path) -> None:
    """Make an empty `ui-config.json` where there is none yet: extensions read it before the first page is built."""
    try:
        if not path.exists():
            write_json(path, {})
    except StorageFault as error:
        logger.warning("%s", error)


def needs_of(layout: Layout) -> Sequence[Needs]:
    """Return what extensions need: what A1111 had and they import, and their own installers among the legacy names."""
    import sys

    places = ("--data-dir", str(layout.data), "--models-dir", str(layout.models))

    def command(installer: Path) -> Sequence[str]:
        return (sys.executable, "-m", "modules.compat.installer", str(installer), *places)

    return (Libraries(), OwnFiles(command))


def _settings(registry: Registry) -> None:
    """Turn the settings that an extension registered into a page of the Settings tab."""
    from modules.compat.callbacks import guarded
    from modules.compat.host import host
    from modules.compat.loading import importing
    from modules.compat.option_pages import pages_of

    bound = host()
    for one in bound.callbacks.ordered("ui_settings"):
        if one.extension == registry.extension.canonical:
            with guarded(f"{one.extension}: ui_settings", registry.faults.append), importing(registry.extension):
                one.call()
    registry.settings += pages_of(bound.options, registry.extension)


def _handlers(registry: Registry) -> None:
    """Connect A1111's global callbacks with hook points."""
    from modules.compat import globals as page_globals
    from modules.compat import old_files, page, send_buttons, xyz
    from modules.compat.host import host
    from modules.hooks import points

    registry.routes(page_globals.router())
    registry.routes(old_files.router())

    if host().callbacks.has("list_unets"):
        from modules.compat import unets

        registry.handle(points.PlanMade, unets.plan_made, name="sd_unet")
    registry.handle(points.AppStarted, page.app_started, name="app_started")
    registry.handle(points.AppStopping, page.script_unloaded, name="script_unloaded")
    registry.handle(points.PageBuilding, page.page_building, name="before_ui")
    registry.handle(points.PageBuilt, send_buttons.page_built, name="send_buttons")
    registry.handle(points.TabsBuilding, page.tabs_building, name="ui_tabs")
    registry.handle(points.AxesOffered, xyz.axes_offered, name="axes_offered")
    registry.handle(points.PageReloading, page.page_reloading, name="before_reload")
    registry.handle(points.BeforeTokenCount, page.before_token_count, name="before_token_counter")
    registry.handle(points.InfotextPasted, page.infotext_pasted, name="infotext_pasted")
