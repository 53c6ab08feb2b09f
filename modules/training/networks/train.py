"""The loop that trains something beside a model. All chance of a step comes from the seed and the step's number."""

import logging
import math
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from modules.domain.errors import InvalidRequest, NumericalFault
from modules.domain.events import Progressed, Stage
from modules.domain.plan import TextOptions
from modules.domain.request import Size
from modules.families.family import Components
from modules.hooks.context import JobContext
from modules.sampling.types import Conditioning
from modules.training.networks.examples import Examples
from modules.training.networks.learner import Learner, frozen
from modules.training.networks.objective import check_trainable, noise_loss
from modules.training.shapes.loop import chance_of
from modules.training.shapes.precision import mixed_precision

logger = logging.getLogger(__name__)

SEED = "networks"
LOG_EVERY_S = 10.0
MAX_GRADIENT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How long and how something is trained."""

    steps: int
    batch: int = 16
    seed: int = 0
    warmup_steps: int = 20
    flat: float = 0.3
    """Share of the steps at the highest learning rate; a cosine goes down to nothing from there."""
    dropped: float = 0.1
    """Share of samples without their caption, which keeps guidance working."""
    mixed: bool = True
    """Compute in bfloat16 where the device is faster at it."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise InvalidRequest(f"{getattr(self, name)} is less than 1", field=name)

    def rate(self, step: int) -> float:
        """Return the factor on the highest learning rate at a step."""
        down = max(step / self.steps - self.flat, 0.0) / (1 - self.flat)
        return min((step + 1) / max(self.warmup_steps, 1), 1.0) * 0.5 * (1 + math.cos(math.pi * down))


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a run did."""

    steps: int
    """Fewer than wanted when somebody ended it; what was learned until then stands."""
    losses: tuple[float, ...]
    """Of each step."""


def train(model: Components, learner: Learner, examples: Examples, course: Course, ctx: JobContext) -> Learned:
    """Train until the steps are done or somebody asks the job to end. The model is afterwards as it was before.

    Raises:
        InvalidRequest: the model cannot be trained on.
        NumericalFault: the loss is no number.
    """
    check_trainable(model.prediction)
    ctx.emit(Stage(job_id=ctx.job_id, text="training"))
    with torch.inference_mode(False), torch.enable_grad(), frozen(model), learner.within(model):
        losses = _steps(model, learner, examples, course, ctx)
    return Learned(steps=len(losses), losses=tuple(losses))


def _steps(model: Components, learner: Learner, examples: Examples, course: Course, ctx: JobContext) -> list[float]:
    groups = learner.groups()
    peaks = [group["lr"] for group in groups]
    optimizer = torch.optim.AdamW([dict(group) for group in groups], betas=(0.9, 0.99))
    params = [p for group in groups for p in group["params"]]
    losses, told = list[float](), time.monotonic()
    for step in range(course.steps):
        if ctx.cancel.reason is not None:
            break
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * course.rate(step)
        chance = chance_of(course.seed, SEED, step, model.build.device)
        loss = batch_loss(model, examples, course, chance)
        optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:  # not where no caption of a batch says the word that learns
            loss.backward()
        nn.utils.clip_grad_norm_(params, MAX_GRADIENT)
        optimizer.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise NumericalFault(f"the loss is {losses[-1]} at step {step + 1}; a lower learning rate may help")
        ctx.emit(Progressed(job_id=ctx.job_id, batch=0, num_batches=1, step=step + 1, num_steps=course.steps))
        if (now := time.monotonic()) - told > LOG_EVERY_S:
            told = now
            logger.info("step %d of %d, loss %.4f", step + 1, course.steps, sum(losses[-50:]) / len(losses[-50:]))
    return losses


def batch_loss(model: Components, examples: Examples, course: Course, chance: torch.Generator) -> Tensor:
    """Return the loss of one random batch, with a way back to whatever learns within the model."""
    device = model.build.device
    rows = torch.randint(len(examples), (course.batch,), generator=chance, device=device)
    kept, choice = torch.rand(2, course.batch, generator=chance, device=device).tolist()
    captions = [
        some[int(which * len(some))] if stays >= course.dropped else ""
        for some, which, stays in zip((examples.captions[int(row)] for row in rows.tolist()), choice, kept, strict=True)
    ]
    with mixed_precision(device) if course.mixed else torch.autocast(device.type, enabled=False):
        conditioning = condition(model, captions, examples.size)
        prediction = model.prediction.on(device)
        network = model.family.network(model, False)
        return noise_loss(network, prediction, examples.latents[rows].to(device).float(), conditioning, chance)


def condition(model: Components, captions: list[str], size: tuple[int, int]) -> Conditioning:
    """Encode captions as prompts are encoded."""
    options = TextOptions()
    if model.family.told_size:
        options = replace(options, size=Size(width=size[0], height=size[1]))
    return model.family.condition(model, captions, options)
