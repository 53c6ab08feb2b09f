"""The program with extensions for A1111, on the toy family, whole but for the server's process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from modules import cli
from modules.compat.host import Host, host
from modules.compat.join import Compat
from modules.compat.mount import unmount
from modules.compat.preload import add_flags
from modules.domain.extras import ExtrasRequest
from modules.engine.desk import Desk
from modules.engine.ledger import Ledger
from modules.engine.local import LocalEngine
from modules.extending.discover import discover
from modules.extending.loader import NativeLoader
from modules.extending.manage import Places
from modules.extending.offers import Offers
from modules.extending.registry import Loaded
from modules.extending.scripts import Scripts
from modules.extending.start import Wish, open_extensions
from modules.extending.steps import Steps, with_main_steps
from modules.files.layout import Layout
from modules.hooks.context import JobContext
from modules.hooks.points import AppStarted
from modules.imaging.folders import OutputFolders
from modules.imaging.save_extras import ExtrasFiles
from modules.pipeline.carry_out import carry_on
from modules.pipeline.extras.builtin import builtin_steps
from modules.pipeline.extras.run import Tools, run_extras
from modules.settings.store import SettingsStore
from modules.web import adapters
from modules.web.cards.kinds import card_pages
from modules.web.server import attach_services, create_app
from modules.web.services import Services
from tests.pipeline.workshop import Studio, open_studio
from tests.web.rest_house import ORIGIN, services_for

ZOO = Path(__file__).parent / "zoo"
ROOT = Path(__file__).parents[2]


@dataclass(kw_only=True)
class ZooHouse:
    """Everything a test may want to look at."""

    studio: Studio
    settings: SettingsStore
    compat: Compat
    loaded: Loaded
    scripts: Scripts
    app: FastAPI
    client: TestClient
    services: Services
    notes: list[str] = field(default_factory=list)

    @property
    def host(self) -> Host:
        """What extensions registered with."""
        return host()

    def txt2img(self, **body: Any) -> dict[str, Any]:
        """Ask for a small picture."""
        wanted = {"prompt": "a red circle", "steps": 3, "width": 64, "height": 64, "seed": 5, "sampler_name": "Euler"}
        answer = self.client.post("/sdapi/v1/txt2img", json={**wanted, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def zoo_house(data: Path, *, zoo: Path | None = None, argv: tuple[str, ...] = ()) -> Iterator[ZooHouse]:
    """Start the program with the extensions of a folder.

    Args:
        data: an empty folder.
        zoo: folder of extensions; the zoo itself when left out.
        argv: command line.
    """
    studio = open_studio(data / "studio")
    parser = cli.build_parser()
    add_flags(parser, discover(data / "none", zoo or ZOO))
    config = cli.parse(["--api", *argv], {}, root=data, parser=parser)
    layout = Layout.of(data, data, data / "models")
    layout.ensure()
    shelf = studio.shop.shelf()
    (data / "plain").mkdir()
    plain, _ = services_for(data / "plain", config)
    plain.engine.shutdown(5)
    plain.ledger.close()
    ledger = Ledger(data / "jobs.sqlite")
    settings = SettingsStore(layout.settings_file)
    held: dict[str, Services] = {}
    compat = Compat(
        layout=layout, settings=settings, catalog=shelf.catalog, flags=config.flags, workshop=lambda: studio.shop,
        services=lambda: held["services"],
    )  # fmt: skip
    places = Places(
        root=data, builtin=data / "none", extra=zoo or ZOO, states=data / "states", scripts=ROOT / "scripts"
    )
    extending = open_extensions(places, data, settings, [NativeLoader(), compat], Wish(install=False))
    loaded, hooks = extending.loaded, extending.hooks
    offers, shelves = compat.offers(Offers(loaded)), studio.shop.shelf
    steps = compat.steps(Steps([*builtin_steps(offers.upscalers), *loaded.steps]))
    scripts = compat.scripts(with_main_steps(extending.scripts, steps, settings.snapshot()))
    files = ExtrasFiles(OutputFolders(data=data))
    shop = replace(
        studio.shop, surround=compat.surround, around_folder=compat.around_folder, scripts=scripts.runner,
        shelf=lambda: replace(
            shelves(), book=offers.book(), upscalers=offers.upscalers(), unets=offers.unets(),
            face_restorers=offers.face_restorers(),
        ),
    )  # fmt: skip
    studio.shop = shop

    def run(request: Any, ctx: JobContext) -> Any:
        if isinstance(request, ExtrasRequest):
            return run_extras(request, ctx, Tools(steps=steps.bound, files=files))
        handlers = [*scripts.handlers(request), *steps.handlers(request, ctx)]
        return carry_on(shop, request, replace(ctx, hooks=ctx.hooks.adding(handlers)))

    engine = LocalEngine(
        run,
        hooks=hooks, snapshot=lambda values: settings.snapshot().with_overrides(values),
        ledger=ledger,
    )  # fmt: skip
    app = create_app(config)
    services = replace(
        plain, settings=settings, engine=engine, ledger=ledger,
        desk=Desk(engine, settings.snapshot, ledger=ledger, hooks=hooks), scripts=scripts, hooks=hooks,
        steps=steps, cards=card_pages(data / "cards", added=offers.cards),
        extensions=extending.manager, samplers=lambda: adapters.sampler_infos(offers.book()),
        schedulers=lambda: adapters.scheduler_infos(offers.book()), upscalers=offers.upscalers,
        face_restorers=lambda: list(offers.face_restorers()),
        unets=lambda: [one.label for one in offers.unets()],
        choose_sampler=lambda sampler, schedule: adapters.choose_sampler(offers.book(), sampler, schedule),
        knows_checkpoint=lambda text: shelf.catalog.find(text) is not None,
    )  # fmt: skip
    held["services"] = services
    engine.start()
    attach_services(app, services)
    try:
        with TestClient(app, base_url=ORIGIN) as client:
            hooks.run(AppStarted(app=app))
            yield ZooHouse(
                studio=studio, settings=settings, compat=compat, loaded=loaded, scripts=scripts, app=app, client=client,
                services=services,
            )  # fmt: skip
    finally:
        engine.shutdown(5)
        ledger.close()
        studio.shop.output.close()
        unmount()
