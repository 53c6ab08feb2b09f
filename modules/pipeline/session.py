"""What a job works with while it runs: one model at a time, its surroundings, its clock."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from modules.domain.events import Stage
from modules.domain.plan import ResolvedModel
from modules.hooks.context import JobContext
from modules.nn.attention.backend import Backend
from modules.pipeline.clock import Clock
from modules.pipeline.preview import Previewer
from modules.residency.model import Model
from modules.residency.pool import Pool


class Session:
    """Borrows models from the pool. Whoever needs the model asks for it anew, so that a change lets go of the last one.

    Args:
        pool: lends the models.
        attention: implementation that the settings ask for.
        ctx: of the job.
    """

    def __init__(self, pool: Pool, attention: Backend, ctx: JobContext) -> None:
        self.ctx, self.clock, self.previewer = ctx, Clock(), Previewer(ctx)
        self._pool, self._attention = pool, attention
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

    def use(self, wanted: ResolvedModel) -> None:
        """Make these files the model in use; it is loaded if it is not in memory.

        Raises:
            ModelError: a file cannot be used.
            OutOfMemory: the model does not fit.
        """
        if self.uses(wanted):
            return
        self._let_go()
        self.ctx.emit(Stage(job_id=self.ctx.job_id, text="loading model"))
        with self.clock("load"):
            self._model = self._leases.enter_context(self._pool.lease(wanted, self._attention))
        self._wanted = wanted

    def _let_go(self) -> None:
        self._model = self._wanted = None
        self._leases.close()
