"""The composition root: the only file that knows every room. Nothing here runs before `serve`."""

import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.adapters.hypernetwork.files import hypernetwork_files
from modules.adapters.lora.catalog import LoraCatalog
from modules.cli import LaunchConfig
from modules.compat.join import Compat, needs_of
from modules.domain.errors import InvalidRequest, ModelError, StorageFault
from modules.domain.extras import ExtrasOutcome, ExtrasRequest
from modules.domain.merge import Merged, MergeRequest
from modules.domain.request import Generation
from modules.domain.result import Unfinished
from modules.domain.version import INFOTEXT_VERSION, VERSION
from modules.domain.visit import Visited, VisitRequest
from modules.engine.desk import Desk
from modules.engine.job import Job, Payload, Result
from modules.engine.ledger import Ledger
from modules.engine.local import LocalEngine
from modules.extending.loader import NativeLoader
from modules.extending.manage import Places
from modules.extending.offers import Offers
from modules.extending.page_files import localizations
from modules.extending.start import Extending, open_extensions
from modules.extending.steps import Steps, with_main_steps
from modules.files.atomic import make_folder
from modules.files.lock import hold
from modules.files.numbering import tidy
from modules.files.temp import temp_root
from modules.hooks.context import JobContext
from modules.hooks.points import AppStarted, AppStopping
from modules.imaging.folders import OutputFolders
from modules.library.catalog import Catalog
from modules.library.hashes import HashCache
from modules.library.header import Header
from modules.library.vaes import list_vaes
from modules.pipeline.extras.builtin import builtin_steps
from modules.prompting.style_book import StyleBook
from modules.prompting.wildcards import scan_wildcards
from modules.settings.store import PLACE_KEYS, SettingsStore
from modules.web import adapters, server
from modules.web.cards.kinds import card_pages
from modules.web.cards.pages import CardPages
from modules.web.rest.fetch import Fetcher
from modules.web.services import EmbeddingLists, LoadedModel, Services
from modules.web.start_profile import StartProfile
from modules.wishes import attention_of, device_of, extensions_of, freeze_of, given, layout_of, sources_of

if TYPE_CHECKING:
    from fastapi import FastAPI

    from modules.pipeline.plan import Shelf
    from modules.pipeline.services import Workshop
    from modules.residency.device import DevicePolicy
    from modules.residency.pool import Pool
    from modules.training.merge.merger import Pantry
    from modules.web.ui.tokens import Tokenizer, Words

logger = logging.getLogger(__name__)


def serve(config: LaunchConfig) -> int:
    """Listen, build everything meanwhile, and serve until told to stop.

    Returns:
        The exit status.

    Raises:
        WebuiError: the program cannot start; the message says what to do.
    """
    _log_to_console(config.loglevel)
    app = server.create_app(config)
    with ExitStack() as until_exit:
        if not config.nowebui:
            from modules.web.ui.interface import Interface

            app.state.interface = Interface(app, logins=config.gradio_auth)
        return server.serve(app, config, partial(_build, app, config, until_exit))


def _build(app: "FastAPI", config: LaunchConfig, until_exit: ExitStack) -> Services:
    """Build the services; torch is still being imported in a thread of its own when this returns."""
    house = House(config, until_exit)
    if not config.nowebui:
        threading.Thread(target=house.open_interface, args=(app,), name="interface", daemon=True).start()
    house.extending.add_routes(app)
    house.extending.manager.restart = lambda: app.state.stopping.end(finish_running=True, again=True)
    house.start()
    if config.nowebui:
        house.ready(app)
    return house.services


class House:
    """Everything that lives as long as the program, built in order."""

    def __init__(self, config: LaunchConfig, until_exit: ExitStack) -> None:
        self.config = config
        self.profile = StartProfile(log=config.log_startup)
        mark = self.profile.timer()
        self.layout = layout_of(config)
        self.layout.ensure()
        other = until_exit.enter_context(hold(self.layout.data))
        if other is not None:
            logger.warning("process %s on %s already uses the data folder %s", other.pid, other.host, self.layout.data)
        self.temp = until_exit.enter_context(temp_root())
        self.settings = SettingsStore(self.layout.settings_file, freeze=freeze_of(config))
        make_folder(self.layout.cache)
        self.hashes = HashCache(self.layout.cache / "hashes.sqlite3")
        self.catalog: Catalog[Any] = Catalog(sources_of(config, self.layout), self.hashes, _classify)
        self.catalog.refresh()
        self.catalog.import_hashes(self.layout.cache_json)
        self._vaes: dict[str, Path] = {}
        self._modules: dict[str, Path] = {}
        self.refresh_vaes()
        self.loras = LoraCatalog([self.layout.lora, self.layout.lycoris], allow_unsafe=config.disable_safe_unpickle)
        mark("list models")
        self.style_book = StyleBook(config.styles_file)
        self._workshop: Future[Workshop] = Future()
        self._opener = threading.Thread(target=self._open_workshop, name="workshop", daemon=True)
        self._opening = threading.Lock()
        self._complete = threading.Event()
        # What extensions that load now may already ask for; theirs is not known yet.
        self.offers = Offers()
        ledger = Ledger(self.layout.data / "jobs.sqlite3", alone=other is None)
        self.compat = Compat(
            layout=self.layout, settings=self.settings, catalog=self.catalog, flags=config.flags,
            workshop=self._opened_workshop, services=lambda: self.services,
        )  # fmt: skip
        self.extending = self._open_extensions()
        self.offers = self.compat.offers(Offers(self.extending.loaded))
        self.steps = self.compat.steps(Steps([*builtin_steps(self.offers.upscalers), *self.extending.loaded.steps]))
        native = with_main_steps(self.extending.scripts, self.steps, self.settings.snapshot())
        self.scripts = self.compat.scripts(native)
        mark("load extensions")
        until_exit.callback(lambda: self.extending.hooks.run(AppStopping()))
        self.engine = LocalEngine(
            self.run,
            hooks=self.extending.hooks,
            snapshot=lambda overrides: self.settings.snapshot().with_overrides(overrides),
            ledger=ledger,
            model_of=self._model_of,
        )
        self.services = Services(
            settings=self.settings,
            desk=Desk(self.engine, self.settings.snapshot, ledger=ledger, hooks=self.extending.hooks),
            scripts=self.scripts,
            steps=self.steps,
            hooks=self.extending.hooks,
            extensions=self.extending.manager,
            early_page_files=self.compat.page_files(),
            engine=self.engine,
            ledger=ledger,
            flags=config.flags,
            version=VERSION,
            checkpoints=lambda: adapters.checkpoint_infos(self.catalog.entries),
            refresh_checkpoints=self._refresh_checkpoints,
            vaes=lambda: adapters.vae_infos(self._vaes),
            refresh_vaes=self.refresh_vaes,
            modules=lambda: adapters.vae_infos(self._modules),
            samplers=lambda: adapters.sampler_infos(self.offers.book()),
            schedulers=lambda: adapters.scheduler_infos(self.offers.book()),
            choose_sampler=lambda sampler, schedule: adapters.choose_sampler(self.offers.book(), sampler, schedule),
            face_restorers=lambda: list(self.offers.face_restorers()),
            unets=lambda: [one.label for one in self.offers.unets()],
            upscalers=self.offers.upscalers,
            knows_checkpoint=lambda text: self.catalog.find(text) is not None,
            checkpoint_facts=partial(adapters.checkpoint_facts, self.catalog),
            stray_files=lambda: adapters.stray_files(sources_of(config, self.layout).folders),
            loaded=self._loaded,
            localizations=self._localizations,
            unload_models=self._unload,
            reload_model=self._reload,
            styles=self.style_book.styles,
            embeddings=self._embeddings,
            loras=self.loras.refresh,
            lora_by_hash=self._lora_by_hash,
            refresh_loras=self.loras.refresh,
            hypernetworks=lambda: hypernetwork_files([self.layout.hypernetworks]),
            cards=self._cards(),
            start_profile=self.profile.dump,
            fetch_picture=Fetcher(self._may_download),
            memory=adapters.memory_in_use,
        )
        mark("set up services")

    def start(self) -> None:
        """Begin to take jobs; the first one waits until the libraries it needs are imported."""
        self._complete.set()
        self.services.desk.take_up()
        self.engine.start()
        threading.Thread(target=self._tidy, name="tidy", daemon=True).start()
        self._begin_workshop()

    def _tidy(self) -> None:
        """Remove half written pictures that a killed process left."""
        paths = asdict(self.settings.snapshot().paths).values()
        tidy({self.layout.data / path for path in paths if path})

    def run(self, request: Payload, ctx: JobContext) -> Result | Unfinished:
        """Carry out a job."""
        if isinstance(request, MergeRequest):
            return self._merge(request, ctx)
        if isinstance(request, ExtrasRequest):
            return self._extras(request, ctx)
        if isinstance(request, VisitRequest):
            return Visited()  # whoever wanted this turn has gone
        from modules.pipeline.carry_out import carry_on

        handlers = [*self.scripts.handlers(request), *self.steps.handlers(request, ctx)]
        ctx = replace(ctx, hooks=ctx.hooks.adding(handlers))
        return carry_on(self._workshop.result(), request, ctx)

    def _model_of(self, job: Job) -> str:
        """Name the checkpoint file that a job will use; empty when it uses none."""
        if not isinstance(job.payload, Generation):
            return ""
        settings = self.settings.snapshot().with_overrides(job.payload.overrides)
        entry = self.catalog.find(settings.sd.sd_model_checkpoint or "") or self.catalog.default()
        return str(entry.path) if entry is not None else ""

    def _open_extensions(self) -> Extending:
        """Find and load what extends the program."""
        config, layout = self.config, self.layout
        places = Places(
            root=layout.root, builtin=layout.extensions_builtin, extra=layout.extensions, states=layout.config_states,
            scripts=layout.scripts,
        )  # fmt: skip
        return open_extensions(
            places, layout.cache, self.settings, [NativeLoader(), self.compat], extensions_of(config), needs_of(layout)
        )

    def ready(self, app: "FastAPI", page: Any = None) -> None:
        """Tell extensions that the program answers, with a page or without, and that this start came to its end."""
        self.extending.watch.ready()
        self.extending.hooks.run(AppStarted(app=app, page=page))

    def open_interface(self, app: "FastAPI") -> None:
        """Import gradio, build the page and show it."""
        mark = self.profile.timer()
        from modules.web.ui.context import UiContext
        from modules.web.ui.presets import PresetBook
        from modules.web.ui.saving import Keeper
        from modules.web.ui.tokens import TokenCounter

        config = self.config
        context = UiContext(
            services=self.services,
            counter=TokenCounter(words=self._known_words()),
            temp=self.temp,
            theme=config.theme,
            api=config.api,
            remote=config.is_remote,
            last_prompt=None if config.hide_ui_dir_config else self._last_prompt(),
            hidden=PLACE_KEYS if config.hide_ui_dir_config else frozenset(),
            user_css=self.layout.user_css,
            style_book=self.style_book,
            presets=PresetBook(self.layout.presets_file),
            keeper=Keeper(self._folders()),
            uploads=self.layout.cache / "uploads",
            ui_config=self.layout.ui_config_file,
            hides_folders=config.hide_ui_dir_config,
        )
        if app.state.interface.load(context):
            self.ready(app, app.state.interface.blocks)
        mark("build the page")
        scheme = "https" if config.tls_certfile else "http"
        host = "127.0.0.1" if config.host == "0.0.0.0" else config.host
        address = f"{scheme}://{host}:{config.port}{'/' + config.subpath.strip('/') if config.subpath else ''}"
        logger.info("Open %s in a browser", address)
        if config.autolaunch:
            import webbrowser

            webbrowser.open(address)

    def refresh_vaes(self) -> None:
        """Look for VAE files and text encoders again."""
        folders = [self.layout.checkpoints, *given(self.config.ckpt_dir)]
        self._vaes = list_vaes(folders, [self.layout.vae, *given(self.config.vae_dir)])
        self._modules = self._vaes | list_vaes([], [self.layout.text_encoders])

    def _embeddings(self, fresh: bool) -> EmbeddingLists:
        """List the embeddings that fit the model in memory, and the others; waits for the libraries that read them."""
        shop = self._workshop.result()
        return adapters.embedding_lists(shop.networks.listing(fresh=fresh), shop.pool.encoders())

    def _cards(self) -> CardPages:
        """Make the pages of cards; nothing is looked for before somebody looks at one."""
        layout = self.layout
        return card_pages(
            layout.cache / "cards",
            embeddings=[layout.embeddings],
            hypernetworks=[layout.hypernetworks],
            loras=[layout.lora, layout.lycoris],
            checkpoints=lambda: [(one.name, one.path) for one in self.catalog.entries],
            look_at_checkpoint=partial(adapters.checkpoint_card, self.catalog),
            refresh_checkpoints=self._refresh_checkpoints,
            refresh_loras=self.loras.refresh,
            added=self.offers.cards,
            hash_of=(lambda _path: None) if self.config.no_hashing else self.hashes.known_sha256,
        )

    def _lora_by_hash(self, digest: str) -> str | None:
        """Name the LoRA with a hash that is known without reading the file."""
        for entry in self.loras.entries:
            if self.hashes.known_lora_hash(entry.path, entry.metadata) == digest:
                found = self.loras.find(entry.alias)
                return entry.alias if found and found.path == entry.path else entry.name
        return None

    def _known_words(self) -> "Callable[[Tokenizer], Words | None]":
        """Return what finds the embeddings that fit the model in memory; none before there is one."""
        from modules.adapters.textual_inversion.words import WordsCache

        cache = WordsCache()

        def known(tokenizer: "Tokenizer") -> "Words | None":
            shop = self._workshop.result() if self._workshop.done() and not self._workshop.exception() else None
            encoders = shop.pool.encoders() if shop else None
            return (
                cache.get(shop.networks.listing().embeddings, encoders, tokenizer.encode) if shop and encoders else None
            )

        return known

    def _may_download(self) -> bool:
        """Tell whether requests may name addresses of pictures; for other machines only when somebody here said so."""
        return not self.config.is_remote or self.settings.is_chosen("api_enable_requests")

    def _refresh_checkpoints(self) -> None:
        self.catalog.refresh()
        self.refresh_vaes()

    def _localizations(self) -> dict[str, Path]:
        from modules.web.ui.localization import list_localizations

        own = [self.layout.localizations, self.layout.data / "localizations"]
        return list_localizations([*own, *localizations(self.extending.loaded)])

    def _loaded(self) -> list[LoadedModel]:
        """List the models in memory; none until the libraries for them are imported."""
        if not self._workshop.done() or self._workshop.exception() is not None:
            return []
        return adapters.loaded_models(self._workshop.result().pool.present())

    def _unload(self) -> None:
        """Have the models leave the device; there is none before the libraries for them are imported."""
        if self._workshop.done() and self._workshop.exception() is None:
            self._workshop.result().pool.unload()

    def _reload(self) -> None:
        """Bring back the model that was used last, or load the configured one."""
        shop = self._workshop.result()
        if not shop.pool.reload():
            self._warm_up(shop)

    def _shelf(self) -> "Shelf":
        from modules.pipeline.plan import Shelf

        return Shelf(
            catalog=self.catalog,
            hashes=None if self.config.no_hashing else self.hashes,
            vaes=self._vaes,
            forced_vae=self.config.vae_path,
            modules=self._modules,
            loras=self.loras,
            hypernetworks=lambda: hypernetwork_files([self.layout.hypernetworks]),
            styles=self.style_book.styles(),
            wildcards=lambda: scan_wildcards(self.layout.data / "wildcards"),
            book=self.offers.book(),
            upscalers=self.offers.upscalers(),
            face_restorers=self.offers.face_restorers(),
            unets=self.offers.unets(),
        )

    def _extras(self, request: ExtrasRequest, ctx: JobContext) -> ExtrasOutcome:
        from modules.imaging.save_extras import ExtrasFiles
        from modules.pipeline.extras.run import Tools, run_extras

        return run_extras(request, ctx, Tools(steps=self.steps.bound, files=ExtrasFiles(self._folders())))

    def _merge(self, request: MergeRequest, ctx: JobContext) -> Merged:
        from modules.training.merge.merger import merge

        before = self.catalog.default()
        merged = merge(self._pantry(), request, ctx)
        first, configured = self.catalog.default(), self.settings.snapshot().sd.sd_model_checkpoint
        if before is not None and first is not None and first.path != before.path and not configured:
            # Nothing is configured, so the first of the list is in use; the new one shall not take its place.
            with suppress(InvalidRequest, StorageFault):
                self.settings.set({"sd_model_checkpoint": before.title})
        return merged

    def _pantry(self) -> "Pantry":
        from modules.training.merge.merger import Pantry

        return Pantry(
            catalog=self.catalog,
            hashes=None if self.config.no_hashing else self.hashes,
            vaes=self._vaes,
            folder=self.config.ckpt_dir or self.layout.checkpoints,
            allow_unsafe=self.config.disable_safe_unpickle,
        )

    def _folders(self) -> OutputFolders:
        """Return where pictures may be written."""
        layout = self.layout
        return OutputFolders(
            data=layout.data,
            allowed=self.config.gradio_allowed_path,
            forbidden=(layout.root / "modules", layout.scripts, layout.extensions, layout.extensions_builtin),
        )

    def _last_prompt(self) -> Path | None:
        return None if self.config.no_prompt_history else self.layout.params_file

    def _opened_workshop(self) -> "Workshop":
        """Wait for torch and the device; an extension may ask for them while it loads, before anything else does."""
        self._begin_workshop()
        return self._workshop.result()

    def _begin_workshop(self) -> None:
        with self._opening:
            if self._opener.ident is None:
                self._opener.start()

    def _open_workshop(self) -> None:
        """Import torch and decide where models run; whatever goes wrong is told to every job."""
        mark = self.profile.timer()
        try:
            self._workshop.set_result(self._make_workshop())
            mark("import torch and choose a device")
        except Exception as error:
            logger.exception("the pipeline could not be set up")
            self._workshop.set_exception(error)
            return
        self._complete.wait()
        if not self.config.skip_load_model_at_start:
            self._warm_up(self._workshop.result())
            mark("load the checkpoint")

    def _make_workshop(self) -> "Workshop":
        from modules.adapters.store import NetworkFiles
        from modules.adapters.textual_inversion.folder import EmbeddingFolder
        from modules.imaging.save import Output
        from modules.pipeline.services import Workshop
        from modules.residency.approximations import Approximations
        from modules.residency.device import decide

        config, layout = self.config, self.layout
        policy = decide(device_of(config))
        unsafe = config.disable_safe_unpickle

        return Workshop(
            shelf=self._shelf,
            pool=self._open_pool(policy),
            approximations=Approximations([layout.vae_approx, layout.vae_taesd], policy, allow_unsafe=unsafe),
            attention=attention_of(config, policy, lambda: self.offers.attentions()),
            output=Output(self._folders()),
            version=INFOTEXT_VERSION,
            last_prompt=self._last_prompt(),
            networks=NetworkFiles(EmbeddingFolder([layout.embeddings], allow_unsafe=unsafe), allow_unsafe=unsafe),
            check_nan=not config.disable_nan_check,
            # The scripts are not known yet when an extension asks for the device while it loads.
            scripts=lambda title: self.scripts.runner(title),
            surround=self.compat.surround,
            around_folder=self.compat.around_folder,
        )

    def _open_pool(self, policy: "DevicePolicy") -> "Pool":
        """Make what keeps models; it hears of changes of the settings at once."""
        from modules.families import identify_files
        from modules.nn.ops import PLAIN_OPS
        from modules.residency.keeping import KEYS, Keeping
        from modules.residency.pool import Pool

        def keeping() -> Keeping:
            return Keeping.chosen(self.settings.snapshot())

        pool = Pool(
            policy, identify_files, PLAIN_OPS, self.layout.models, keeping=keeping,
            allow_unsafe=self.config.disable_safe_unpickle,
        )  # fmt: skip
        self.settings.on_change(lambda changed: pool.settle() if changed & KEYS else None)
        return pool

    def _warm_up(self, shop: "Workshop") -> None:
        """Load the configured checkpoint, so that the first job finds it in memory."""
        from modules.pipeline.plan import resolve_model

        try:
            settings = self.settings.snapshot()
            shelf = self._shelf()
            model, _ = resolve_model(Generation(), settings, shelf)
            with shop.pool.lease(model, shop.attention(settings)):
                pass
            shelf.hashed(model)
        except ModelError as error:
            logger.warning("%s", error)


def _classify(header: Header) -> Any:
    from modules.families import identify
    from modules.families.sidecar import read_sidecar
    from modules.library.sidecars import config_path

    return identify(header, read_sidecar(config_path(header.path)))[1]


def _log_to_console(level: str | None) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level or "WARNING")
    logging.getLogger("modules").setLevel(level or "INFO")
