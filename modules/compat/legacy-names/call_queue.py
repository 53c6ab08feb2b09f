"""A1111's `modules.call_queue`."""

from modules.compat.calls import wrap_gradio_call, wrap_gradio_call_no_job, wrap_gradio_gpu_call, wrap_queued_call
from modules.compat.turns import QueueLock as _QueueLock

__all__ = ["wrap_gradio_call", "wrap_gradio_call_no_job", "wrap_gradio_gpu_call", "wrap_queued_call"]
queue_lock = _QueueLock()
