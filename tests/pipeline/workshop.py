"""A pipeline on the toy family, whole but for the engine around it."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from modules.adapters.hypernetwork.files import hypernetwork_files
from modules.adapters.lora.catalog import LoraCatalog
from modules.adapters.store import NetworkFiles
from modules.adapters.textual_inversion.folder import EmbeddingFolder
from modules.domain.events import Event
from modules.domain.request import Generation, ImageRef
from modules.domain.result import Outcome
from modules.families import identify_files
from modules.families.toy.checkpoint import make_toy_checkpoint
from modules.hooks.cancel import CancelToken
from modules.hooks.context import JobContext
from modules.hooks.dispatch import Hooks
from modules.imaging.folders import OutputFolders
from modules.imaging.save import Output
from modules.library.catalog import Catalog, Sources
from modules.library.hashes import HashCache
from modules.nn.attention.plain import PLAIN
from modules.nn.ops import PLAIN_OPS
from modules.pipeline.carry_out import carry_out
from modules.pipeline.plan import Shelf
from modules.pipeline.services import Workshop
from modules.residency.approximations import Approximations
from modules.residency.device import DeviceWish, decide
from modules.residency.pool import Pool
from modules.settings.snapshot import Snapshot

E = TypeVar("E", bound=Event)


@dataclass(kw_only=True)
class Studio:
    """Runs requests and keeps what they told."""

    shop: Workshop
    models: Path
    events: list[Event] = field(default_factory=list)

    def make(
        self, request: Generation, *, cancel: CancelToken | None = None, hooks: Hooks | None = None, **settings: Any
    ) -> Outcome:
        """Carry out a request with some settings changed."""
        self.events.clear()
        snapshot = Snapshot().with_overrides(settings)
        ctx = JobContext(
            job_id="job",
            settings=snapshot,
            emit=self.events.append,
            cancel=cancel or CancelToken(),
            hooks=hooks or Hooks(),
            wants_preview=lambda step: step % 2 == 0,
        )
        return carry_out(self.shop, request, ctx)

    def told(self, kind: type[E]) -> list[E]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


def open_studio(data: Path) -> Studio:
    """Set up a data folder with two toy checkpoints and everything that works on it."""
    models = data / "models"
    models.mkdir(parents=True)
    make_toy_checkpoint(models / "toy.safetensors", seed=0)
    make_toy_checkpoint(models / "zebra.safetensors", seed=1)
    hashes = HashCache(data / "hashes.sqlite3")
    catalog: Catalog[Any] = Catalog(Sources(folders=[models]), hashes, lambda header: None)
    catalog.refresh()
    loras = LoraCatalog([data / "Lora"])
    policy = decide(DeviceWish(use_cpu=["all"]))
    shop = Workshop(
        shelf=lambda: Shelf(
            catalog=catalog,
            hashes=hashes,
            vaes={},
            loras=loras,
            hypernetworks=lambda: hypernetwork_files([data / "hypernetworks"]),
        ),
        networks=NetworkFiles(EmbeddingFolder([data / "embeddings"])),
        approximations=Approximations([data / "VAE-approx", data / "VAE-taesd"], policy),
        pool=Pool(
            policy,
            identify_files,
            PLAIN_OPS,
        ),
        attention=lambda settings: PLAIN,
        output=Output(OutputFolders(data=data)),
        version="test",
        last_prompt=data / "params.txt",
    )
    return Studio(shop=shop, models=models)


def ref(image: Image.Image) -> ImageRef:
    """Return a picture as a request holds it."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return ImageRef.of(buffer.getvalue())
