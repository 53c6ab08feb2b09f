"""What a job works with while it runs: one model at a time, its surroundings, its clock."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from modules.adapters.store import NetworkFiles
from modules.domain.events import Stage
from modules.domain.plan import CodingOptions, Networks, ResolvedModel
from modules.hooks.context import JobContext
from modules.imaging.upscale import PLAIN, Upscaler
from modules.nn.attention.backend import Backend
from modules.pipeline.clock import Clock
from modules.pipeline.preview import Previewer
from modules.pipeline.unets import OfferedUnet, unet_for
from modules.residency.approximations import TINY, Approximations
from modules.residency.model import Model
from modules.residency.pool import Pool
from modules.sampling.book import BOOK, SamplerBook
from modules.sampling.types import Network


class Session:
    """Borrows models from the pool. Whoever needs the model asks for it anew, so that a change lets go of the last one.

    Args:
        pool: lends the models.
        approximations: small networks that may stand in for the VAE.
        attention: implementation that the settings ask for.
        coding: what the plan encodes and decodes with.
        ctx: of the job.
        networks: reads extra networks.
        book: samplers and schedules.
        upscalers: what enlarges pictures, by name.
        unets: networks that may stand in the place of a checkpoint's own.
    """

    def __init__(
        self,
        pool: Pool,
        approximations: Approximations,
        attention: Backend,
        coding: CodingOptions,
        ctx: JobContext,
        networks: NetworkFiles,
        book: SamplerBook = BOOK,
        upscalers: Mapping[str, Upscaler] = PLAIN,
        unets: Sequence[OfferedUnet] = (),
    ) -> None:
        self.ctx, self.clock, self.previewer, self.book = ctx, Clock(), Previewer(ctx, approximations), book
        self.upscalers, self._unets = upscalers, unets
        self._networks, self._told = networks, set[str]()
        self._pool, self._approximations, self._attention, self._coding = pool, approximations, attention, coding
        self._leases = ExitStack()
        self._wanted: ResolvedModel | None = None
        self._model: Model | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()

    @property
    def model(self) -> Model:
        """The model in use.

        Raises:
            RuntimeError: none was asked for yet.
        """
        if self._model is None:
            raise RuntimeError("the job has not asked for a model yet")
        return self._model

    def uses(self, wanted: ResolvedModel) -> bool:
        """Tell whether this is the model in use."""
        return self._wanted == wanted

    def network(self, *, tiling: bool, merge_ratio: float) -> AbstractContextManager[Network]:
        """Return what lends the network for a pass: that of the model in use, or one that stands in for it."""
        assert self._wanted is not None
        wanted = self.ctx.settings.sd.sd_unet
        offered = unet_for(self._unets, wanted, self._wanted)
        if offered is not None:
            return offered.open()
        return self.model.network(tiling=tiling, note=self.ctx.note, merge_ratio=merge_ratio)

    def use(self, wanted: ResolvedModel) -> None:
        """Make these files the model in use; it is loaded if it is not in memory.

        Raises:
            ModelError: a file cannot be used, also one of those that stand in for the VAE.
            UnsupportedFeature: nothing can stand in for this model's VAE.
            OutOfMemory: the model does not fit.
        """
        if self.uses(wanted):
            return
        self._let_go()
        self.ctx.emit(Stage(job_id=self.ctx.job_id, text="loading model"))
        with self.clock("load"):
            lent = self._pool.lease(wanted, self._attention, self.ctx.note)
            self._model = self._coded(self._leases.enter_context(lent))
        self._wanted = wanted

    def dress(self, networks: Networks) -> None:
        """Have the model in use wear these extra networks and no others. What cannot be used is told once and left out."""
        uses = (*networks.loras, *networks.hypernetworks)
        if uses:
            self.ctx.emit(Stage(job_id=self.ctx.job_id, text="loading networks"))
        with self.clock("load"):
            self.model.worn.wear(networks, self._networks, self._note_once)
        kept = self.ctx.settings.extra_networks.lora_in_memory_limit
        self._networks.trim([use.path for use in uses], loras=kept)

    def _note_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.ctx.note(text)

    def _coded(self, model: Model) -> Model:
        """Let the small networks stand in for the VAE where the plan says so."""
        latent, find = model.components.latent, self._approximations
        decode = find.decoder(latent) if self._coding.decode == TINY else None
        encode = find.encoder(latent) if self._coding.encode == TINY else None
        return replace(model, decoder=decode, encoder=encode) if decode or encode else model

    def _let_go(self) -> None:
        self._model = self._wanted = None
        self._leases.close()
