"""A runner that makes tiny pictures and tells about it, in place of the networks."""

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, PngImagePlugin

from modules.domain.events import ImageReady, Previewed, Progressed, Stage, Started
from modules.domain.plan import (
    GuidanceOptions,
    ImagePlan,
    NoiseOptions,
    Note,
    Pass,
    Plan,
    ResolvedModel,
    SamplerOptions,
    ScheduleOptions,
    TextOptions,
)
from modules.domain.request import Generation
from modules.domain.result import Outcome, Produced
from modules.engine.job import Payload
from modules.hooks.context import JobContext


def png(width: int, height: int, infotext: str, colour: tuple[int, int, int] = (10, 20, 30)) -> bytes:
    """Encode one plain picture with its parameters text."""
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", infotext)
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def plan_of(request: Generation) -> Plan:
    """Decide a request without looking at any file."""
    seed = request.seed.seed if request.seed.seed >= 0 else 4242
    prompt = request.prompt if isinstance(request.prompt, str) else request.prompt[0]
    negative = request.negative_prompt if isinstance(request.negative_prompt, str) else request.negative_prompt[0]
    images = tuple(
        ImagePlan(index=i, prompt=prompt, negative_prompt=negative, seed=seed + i, subseed=99 + i)
        for i in range(request.batch.size * request.batch.count)
    )
    return Plan(
        request=request,
        images=images,
        model=ResolvedModel(checkpoint=Path("toy.safetensors"), name="toy", short_hash="0123456789"),
        main=Pass(
            size=request.size,
            steps=request.sampling.steps,
            sampler=request.sampling.sampler,
            scheduler=request.sampling.scheduler,
            schedule_label=request.sampling.scheduler,
        ),
        sampler=SamplerOptions(eta=1.0),
        schedule=ScheduleOptions(),
        text=TextOptions(),
        guidance=GuidanceOptions(cfg_scale=request.guidance.cfg_scale),
        noise=NoiseOptions(),
    )


@dataclass
class FakeRunner:
    """Runs a request step by step; a test can look between the steps, hold it, or make it fail."""

    before_step: Callable[[int], None] = lambda _step: None
    """Called with the number of steps begun in all jobs."""
    seen: list[Generation] = field(default_factory=list)
    contexts: list[JobContext] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    """Cleared: jobs wait before their first step."""
    entered: threading.Event = field(default_factory=threading.Event)
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        self.gate.set()
        self._steps = 0

    def __call__(self, request: Payload, ctx: JobContext) -> Outcome:
        assert isinstance(request, Generation)
        self.seen.append(request)
        self.contexts.append(ctx)
        plan = plan_of(request)
        ctx.emit(Started(job_id=ctx.job_id, num_batches=request.batch.count))
        self.entered.set()
        assert self.gate.wait(20)
        made: list[Produced] = []
        for batch in plan.batches():
            ctx.emit(Stage(job_id=ctx.job_id, text="sampling"))
            self._sample(plan, batch.number, ctx)
            ctx.emit(Stage(job_id=ctx.job_id, text="decoding"))
            for image in batch.images:
                made.append(self._produce(plan, image, ctx))
            ctx.cancel.clear_skip()
            if ctx.cancel.ends_job:
                break
        return Outcome(plan=plan, images=tuple(made), interrupted=ctx.cancel.ends_job, notes=self.notes)

    def _sample(self, plan: Plan, batch: int, ctx: JobContext) -> None:
        for step in range(1, plan.main.steps + 1):
            self._steps += 1
            self.before_step(self._steps)
            ctx.emit(
                Progressed(
                    job_id=ctx.job_id, batch=batch, num_batches=plan.request.batch.count, step=step,
                    num_steps=plan.main.steps,
                )
            )  # fmt: skip
            if ctx.wants_preview(step):
                ctx.emit(Previewed(job_id=ctx.job_id, data=png(8, 8, ""), format="png", number=step))
            if ctx.cancel.ends_batch:
                return

    def _produce(self, plan: Plan, image: ImagePlan, ctx: JobContext) -> Produced:
        size = plan.main.size
        text = f"{image.prompt}\nSteps: {plan.main.steps}, Sampler: {plan.main.sampler}, Seed: {image.seed}"
        produced = Produced(
            data=png(size.width, size.height, text), format="png", infotext=text, width=size.width,
            height=size.height, plan=image,
        )  # fmt: skip
        ctx.emit(ImageReady(job_id=ctx.job_id, image=produced))
        return produced
