"""What a running job carries with it, so that nothing needs a global state object."""

from collections.abc import Callable
from dataclasses import dataclass, field

from modules.domain.events import Event, Noted
from modules.hooks.cancel import CancelToken
from modules.hooks.dispatch import Hooks
from modules.settings.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JobContext:
    """The surroundings of one job; a nested run shares the token and the event sink."""

    job_id: str
    settings: Snapshot
    """Taken when the job started, with the request's overrides applied."""
    emit: Callable[[Event], None]
    cancel: CancelToken = field(default_factory=CancelToken)
    hooks: Hooks = field(default_factory=Hooks)
    wants_preview: Callable[[int], bool] = lambda _step: False
    """Asked after each step (1-based) whether a preview is worth making now."""

    def note(self, text: str) -> None:
        """Tell the person something about this job."""
        self.emit(Noted(job_id=self.job_id, text=text))
