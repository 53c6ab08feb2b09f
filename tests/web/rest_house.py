"""A server around the fake runner, for tests of the API."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from modules import cli
from modules.adapters.hypernetwork.files import hypernetwork_files
from modules.adapters.lora.catalog import LoraCatalog
from modules.domain.extras import ExtrasRequest
from modules.engine.desk import Desk
from modules.engine.job import Payload, Result
from modules.engine.ledger import Ledger
from modules.engine.local import LocalEngine
from modules.extending.steps import Steps
from modules.hooks.context import JobContext
from modules.imaging.folders import OutputFolders
from modules.imaging.save_extras import ExtrasFiles
from modules.imaging.upscale import PLAIN
from modules.pipeline.extras.builtin import builtin_steps
from modules.pipeline.extras.run import Tools, run_extras
from modules.prompting.styles import Style
from modules.settings.store import SettingsStore
from modules.web.cards.kinds import card_pages
from modules.web.rest.fetch import Fetcher
from modules.web.server import attach_services, create_app
from modules.web.services import (
    CheckpointFacts,
    CheckpointInfo,
    LoadedModel,
    SamplerChoice,
    SamplerInfo,
    SchedulerInfo,
    Services,
    StrayFile,
    VaeInfo,
)
from modules.web.start_profile import StartProfile
from tests.engine.fakes import FakeRunner

ORIGIN = "http://127.0.0.1:7860"
SAMPLERS = ("DPM++ 2M", "Euler a", "Euler")


def choose(name: str, scheduler: str) -> SamplerChoice:
    """Stand in for the catalogue of samplers: three of them, and one schedule that can be a suffix."""
    chosen = "Karras" if name.endswith(" Karras") else scheduler
    wanted = name.removesuffix(" Karras")
    warnings = () if wanted in SAMPLERS else (f"Sampler {name!r} not found",)
    warnings += () if chosen in ("Automatic", "Karras") else (f"Schedule type {chosen!r} not found",)
    return SamplerChoice(
        sampler=wanted if wanted in SAMPLERS else SAMPLERS[0],
        scheduler=chosen if chosen in ("Automatic", "Karras") else "Automatic",
        warnings=warnings,
        known=wanted in SAMPLERS,
    )


def facts(name: str) -> CheckpointFacts:
    """Stand in for a look into files: the toy was trained on small pictures, and what is called turbo on large ones."""
    if "turbo" in name:
        return CheckpointFacts(name=name, family="sdxl", label="Stable Diffusion XL", native_size=1024)
    return CheckpointFacts(
        name="toy.safetensors", filename="toy", family="toy", label="Toy", native_size=128, size_bytes=2048,
        variant=next((one for one in ("pix2pix", "depth", "unclip") if one in name), "base"),
    )  # fmt: skip


def no_connection(address: str, port: int, _timeout_s: float) -> Any:
    """Stand in for the network."""
    raise AssertionError(f"a connection to {address}:{port}")


@dataclass
class RestHouse:
    """Everything a test may want to look at."""

    app: FastAPI
    client: TestClient
    runner: FakeRunner
    services: Services
    refreshed: list[str] = field(default_factory=list)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """Send JSON below /sdapi/v1."""
        return self.client.post(f"/sdapi/v1{path}", json=body, **more)

    def get(self, path: str, **more: Any) -> Any:
        """Ask below /sdapi/v1."""
        return self.client.get(f"/sdapi/v1{path}", **more)

    def txt2img(self, **body: Any) -> Any:
        """Ask for a small picture."""
        return self.post("/txt2img", {"steps": 2, "width": 64, "height": 64, **body})


def services_for(
    folder: Path, config: cli.LaunchConfig, refreshed: list[str] | None = None
) -> tuple[Services, FakeRunner]:
    """Make services around a fake runner, with a worker that has started."""
    refreshed = [] if refreshed is None else refreshed
    runner, store, ledger = FakeRunner(), SettingsStore(folder / "config.json"), Ledger(folder / "jobs.sqlite")
    steps, files = Steps(builtin_steps(lambda: PLAIN)), ExtrasFiles(OutputFolders(data=folder))

    def run(request: Payload, ctx: JobContext) -> Result:
        if isinstance(request, ExtrasRequest):
            return run_extras(request, ctx, Tools(steps=steps.bound, files=files))
        return runner(request, ctx)

    engine = LocalEngine(run, snapshot=lambda values: store.snapshot().with_overrides(values), ledger=ledger)
    engine.start()
    toy = CheckpointInfo(title="toy [0123456789]", model_name="toy", hash="0123456789", sha256=None, filename="toy")
    services = Services(
        settings=store,
        desk=Desk(engine, store.snapshot, ledger=ledger),
        engine=engine,
        ledger=ledger,
        flags=config.flags,
        version="v1.10.1",
        checkpoints=lambda: [toy],
        refresh_checkpoints=lambda: refreshed.append("checkpoints"),
        vaes=lambda: [VaeInfo(model_name="v.pt", filename="/models/v.pt")],
        refresh_vaes=lambda: refreshed.append("vaes"),
        modules=lambda: [VaeInfo(model_name="clip_l.safetensors", filename="/models/text_encoder/clip_l.safetensors")],
        samplers=lambda: [SamplerInfo(name=name, options={"uses_ensd": "True"}) for name in SAMPLERS],
        schedulers=lambda: [SchedulerInfo(name="karras", label="Karras", default_rho=7.0)],
        choose_sampler=choose,
        knows_checkpoint=lambda name: name in ("toy", toy.title),
        checkpoint_facts=facts,
        steps=steps,
        stray_files=lambda: [StrayFile(name="flux.gguf", size_bytes=3, reason="is in the format GGUF")],
        loaded=lambda: [LoadedModel(filename="toy", num_bytes=4096, where="device")],
        localizations=lambda: {path.stem: path for path in folder.glob("localizations/*.json")},
        styles=lambda: [Style("ink", "in ink", "colour")],
        loras=LoraCatalog([folder / "Lora"]).refresh,
        hypernetworks=lambda: hypernetwork_files([folder / "hypernetworks"]),
        cards=card_pages(
            folder / "cache" / "cards",
            embeddings=[folder / "embeddings"],
            hypernetworks=[folder / "hypernetworks"],
            loras=[folder / "Lora"],
            refresh_loras=lambda: refreshed.append("loras"),
        ),
        start_profile=StartProfile().dump,
        fetch_picture=Fetcher(lambda: True, resolve=lambda host, _port: [host], connect=no_connection),
        unload_models=lambda: refreshed.append("unloaded"),
        reload_model=lambda: refreshed.append("reloaded"),
        memory=lambda: {"ram": {"free": 1, "used": 1, "total": 2}, "cuda": {"error": "unavailable"}},
    )
    return services, runner


@contextlib.contextmanager
def rest_house(folder: Path, *argv: str, attach: bool = True) -> Iterator[RestHouse]:
    """Build a server with command line flags, and stop it at the end."""
    config = cli.parse(["--api", *argv], {}, root=folder)
    refreshed: list[str] = []
    services, runner = services_for(folder, config, refreshed)
    app = create_app(config)
    if attach:
        attach_services(app, services)
    with TestClient(app, base_url=ORIGIN, client=("127.0.0.1", 50000)) as client:
        yield RestHouse(app=app, client=client, runner=runner, services=services, refreshed=refreshed)
    runner.gate.set()
    assert services.engine.shutdown(5)
    services.ledger.close()
