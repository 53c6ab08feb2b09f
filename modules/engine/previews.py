"""When a picture of the unfinished latent is worth making."""

import time
from collections.abc import Callable

from modules.engine.job import JobHandle
from modules.settings.sections import Previews

LOOKED_WITHIN_S = 10.0
"""A job is being watched when somebody asked for its progress this recently."""
MIN_GAP_S = 0.2


def preview_policy(
    settings: Previews, handle: JobHandle, clock: Callable[[], float] = time.monotonic
) -> Callable[[int], bool]:
    """Return the question a job asks after each step (1-based).

    The answer is yes every n-th step of the setting, while somebody looks, and at most five times a second.
    """
    every = settings.show_progress_every_n_steps
    if not settings.live_previews_enable or every < 1:
        return lambda _step: False
    last = float("-inf")

    def wanted(step: int) -> bool:
        nonlocal last
        if step % every or not handle.watched_within(LOOKED_WITHIN_S) or clock() - last < MIN_GAP_S:
            return False
        last = clock()
        return True

    return wanted
