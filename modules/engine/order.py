"""Which of the waiting jobs is next, and where a job may be moved."""

from collections.abc import Callable, Sequence

from modules.engine.job import Job, JobHandle


def next_index(waiting: Sequence[JobHandle], loaded: str, model_of: Callable[[Job], str], most: int) -> int:
    """Choose among waiting jobs the first that uses the loaded model, as long as nobody is overtaken too often.

    Args:
        waiting: at least one, in order of arrival.
        loaded: the model of the last job; empty when there was none.
        model_of: names the model that a job will use; empty when it uses none.
        most: how often a job may be overtaken.
    """
    if not loaded:
        return 0
    for index, handle in enumerate(waiting):
        if model_of(handle.job) in (loaded, ""):
            return index
        if handle.overtaken >= most:
            return 0
    return 0


def take(waiting: list[JobHandle], index: int) -> JobHandle:
    """Take a job out of the queue and note whom it overtook."""
    for overtaken in waiting[:index]:
        overtaken.overtaken += 1
    return waiting.pop(index)


def allowed_index(waiting: Sequence[JobHandle], index: int, wanted: int) -> int:
    """Return how near to a wanted place a job may come: it never overtakes a job of another person.

    Args:
        waiting: the queue.
        index: where the job is.
        wanted: where it should go, 0 for the front; what lies beyond the end is the end.
    """
    wanted = max(0, min(wanted, len(waiting) - 1))
    user = waiting[index].job.owner.user
    while index > wanted and waiting[index - 1].job.owner.user == user:
        index -= 1
    return max(index, wanted)
