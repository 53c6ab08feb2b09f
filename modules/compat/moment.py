"""Where the sampling of a job stands, for hooks and for methods that extensions replace or call."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from modules.compat.host import own_job
from modules.hooks.points import BeforeBatches
from modules.sampling.walks import Start, Walk


@dataclass(slots=True, eq=False)
class Moment:
    """Where the sampling of a job stands. Mutable: hooks and replaced methods meet here."""

    start: Start | None = None
    """What the walk starts from that is about to begin, as the program planned it."""
    walk: Walk | None = None
    """Carries out a walk from any start."""
    planned: "Callable[[], Tensor] | None" = None
    """Samples the batch as the program planned it."""
    opening: BeforeBatches | None = None
    """What a run on pictures starts from, while `p.init` is called."""
    sampler: Any = None
    """The object whose walk is under way."""
    combined: Tensor | None = None
    """What a replaced `combine_denoised` made of the latest estimates, [B, C, h, w]."""
    given: "tuple[Any, Any] | None" = None
    """The encoded prompts that `p.sample` was called with."""
    first_samples: Tensor | None = None
    """What the first of two passes made."""


def moment_of(p: Any) -> Moment:
    """Return where the job of the calling thread stands, if this is its `p`; nowhere otherwise."""
    job = own_job()
    if job is None or job.p is not p:
        return Moment()
    return job.moment
