"""A1111's `modules.progress`."""

from modules.compat.calls import Progress as _Progress
from modules.compat.calls import ProgressRequest, ProgressResponse
from modules.compat.facade import compute

__all__ = ["ProgressRequest", "ProgressResponse", "add_task_to_queue", "finish_task", "progressapi", "start_task"]

_progress = _Progress()
add_task_to_queue, start_task, finish_task = _progress.add, _progress.start, _progress.finish
record_results = _progress.record
progressapi = _progress.tell
pending_tasks = _progress.pending
finished_tasks = _progress.finished
recorded_results = _progress.results

compute(__name__, {"current_task": lambda: _progress.current})
