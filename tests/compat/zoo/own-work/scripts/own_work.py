"""Makes pictures by itself, from routes of its own, in every way that extensions do."""

import threading

from modules import processing, progress, script_callbacks, shared
from modules.call_queue import queue_lock, wrap_gradio_gpu_call, wrap_queued_call

INSIDE, LEAVE = threading.Event(), threading.Event()
ORDER: list = []


def make(seed: int, steps: int = 3):
    p = processing.StableDiffusionProcessingTxt2Img(
        prompt="a red circle",
        seed=seed,
        steps=steps,
        width=64,
        height=64,
        sampler_name="Euler",
        do_not_save_samples=True,
        do_not_save_grid=True,
    )
    made = processing.process_images(p)
    ORDER.append(("own", seed, len(made.images), shared.state.interrupted))
    return made


def held(seed: int):
    with queue_lock:
        INSIDE.set()
        LEAVE.wait(20)
        with queue_lock:
            return make(seed).seed


def many(id_task: str, count: int):
    seeds = []
    shared.state.job_count = count
    for number in range(count):
        if shared.state.interrupted:
            break
        INSIDE.set()
        LEAVE.wait(20)
        seeds.append(make(number).seed)
    return seeds, "done"


def started(demo, app):
    @app.post("/own-work/held")
    def by_lock(seed: int):
        return held(seed)

    @app.post("/own-work/bare")
    def bare(seed: int):
        return make(seed).seed

    @app.post("/own-work/wrapped")
    def wrapped(task: str, count: int):
        return wrap_gradio_gpu_call(many, extra_outputs=[None])(task, count)

    @app.post("/own-work/queued")
    def queued(seed: int):
        return wrap_queued_call(make)(seed).seed

    @app.post("/own-work/progress")
    def how_far(task: str):
        return progress.progressapi(progress.ProgressRequest(id_task=task))

    @app.post("/own-work/free")
    def free():
        if not queue_lock.acquire(blocking=False):
            return False
        queue_lock.release()
        return True


script_callbacks.on_app_started(started)
