"""The training loop of every stage: schedule, optimiser, averaged weights, and a state from which to go on.

All chance of a step comes from the seed and the step's number, so a run that was stopped and taken up again is the
run that was never stopped.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from modules.training.shapes.precision import mixed_precision

logger = logging.getLogger(__name__)


class Stage(Protocol):
    """One thing to train."""

    name: str

    @property
    def module(self) -> nn.Module:
        """What is averaged and saved."""
        ...

    def groups(self) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups: `params`, `lr` at its highest, `weight_decay`."""
        ...

    def loss(self, step: int, progress: float, chance: torch.Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the loss and figures for the log, for step `step` at `progress` 0..1 of the stage."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a stage runs: a number of steps, or minutes."""

    steps: int | None = None
    minutes: float | None = None

    def progress(self, step: int, seconds: float) -> float:
        """Return the done share, 1 or more when finished."""
        if self.steps is not None:
            return step / self.steps if self.steps else 1.0
        return seconds / (60 * self.minutes) if self.minutes else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a run behaves beside what it trains."""

    folder: Path
    device: torch.device
    seed: int = 0
    deadline: float = math.inf
    """`time.monotonic()` at which to save and stop, whatever is left to do."""
    save_every_s: float = 60.0
    log_every_s: float = 10.0
    ema: float = 0.999
    warmup_steps: int = 200
    flat: float = 0.4
    """Share of the budget at the highest learning rate; a cosine goes down from there."""


def chance_of(seed: int, name: str, step: int, device: torch.device) -> torch.Generator:
    """Return the random generator of one step."""
    return torch.Generator(device).manual_seed(
        (seed * 1_000_003 + sum(name.encode()) * 7919 + step * 2_654_435_761) % 2**62
    )


def learning_rate(progress: float, step: int, plan: Plan, floor: float = 0.02) -> float:
    """Return the factor on the highest learning rate."""
    down = max(progress - plan.flat, 0.0) / (1.0 - plan.flat)
    cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(down, 1.0)))
    return min((step + 1) / plan.warmup_steps, 1.0) * cosine


def save_atomically(value: object, path: Path) -> None:
    """Write with `torch.save` beside the file, then put it in place."""
    beside = path.with_suffix(".part")
    torch.save(value, beside)
    os.replace(beside, path)


class Loop:
    """Train one stage; `run` may be called again after a stop.

    Args:
        stage: what to train.
        plan: folder, device, seed and habits.
    """

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self.stage, self.plan = stage, plan
        self.step, self.seconds = 0, 0.0
        self.optimizer = torch.optim.AdamW(stage.groups(), betas=(0.9, 0.99), fused=True)
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.params = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.ema = {name: tensor.detach().clone() for name, tensor in stage.module.state_dict().items()}
        self.on_save: Callable[[], None] | None = None
        """Called after every save but the last."""
        self._pairs: tuple[list[Tensor], list[Tensor]] | None = None

    @property
    def path(self) -> Path:
        """The state file."""
        return self.plan.folder / f"{self.stage.name}.state.pt"

    def save(self) -> None:
        """Write everything needed to go on."""
        state = {
            "seed": self.plan.seed,
            "step": self.step,
            "seconds": self.seconds,
            "weights": self.stage.module.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
        }
        save_atomically(state, self.path)

    def resume(self) -> bool:
        """Take up the saved state if there is one; say whether there was."""
        if not self.path.exists():
            return False
        state = torch.load(self.path, map_location=self.plan.device, weights_only=True)
        self.step, self.seconds = state["step"], state["seconds"]
        self.stage.module.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema, self._pairs = state["ema"], None
        logger.info("%s: going on at step %d after %.1f min", self.stage.name, self.step, self.seconds / 60)
        return True

    def run(self, budget: Budget) -> bool:
        """Train until the budget is used up; False when the deadline came first. The state is saved either way."""
        self.stage.module.train()
        last_log = last_save = mark = time.monotonic()
        steps_before = self.step
        while (progress := budget.progress(self.step, self.seconds)) < 1.0:
            if time.monotonic() > self.plan.deadline:
                break
            loss, figures = self._advance(progress)
            now = time.monotonic()
            self.seconds, mark = self.seconds + now - mark, now
            if now - last_log > self.plan.log_every_s:
                self._log(progress, loss, figures, (self.step - steps_before) / (now - last_log))
                last_log, steps_before = now, self.step
            if now - last_save > self.plan.save_every_s:
                self.save()
                if self.on_save:
                    self.on_save()
                last_save = now
        self.save()
        done = budget.progress(self.step, self.seconds) >= 1.0
        logger.info(
            "%s: %s at step %d, %.1f min", self.stage.name, "done" if done else "stopped", self.step, self.seconds / 60
        )
        return done

    def load_averaged(self) -> None:
        """Put the averaged weights in place of the trained ones, for good."""
        self.stage.module.load_state_dict(self.ema)
        self.stage.module.eval()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averaged weights in place for a while."""
        live = {name: tensor.clone() for name, tensor in self.stage.module.state_dict().items()}
        self.load_averaged()
        try:
            yield
        finally:
            self.stage.module.load_state_dict(live)
            self.stage.module.train()

    def _advance(self, progress: float) -> tuple[Tensor, Mapping[str, Tensor]]:
        device = self.plan.device
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * learning_rate(progress, self.step, self.plan)
        chance = chance_of(self.plan.seed, self.stage.name, self.step, device)
        with mixed_precision(device):
            loss, figures = self.stage.loss(self.step, progress, chance)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in self.params if p.grad is not None], 1.0)
        self.optimizer.step()
        self.step += 1
        self._average()
        return loss.detach(), figures

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.plan.ema, (1 + self.step) / (10 + self.step))
        if self._pairs is None:  # the same storage for the whole run, so it is looked up once
            live = self.stage.module.state_dict()
            names = [name for name, tensor in live.items() if tensor.is_floating_point()]
            self._pairs = [self.ema[name] for name in names], [live[name] for name in names]
        torch._foreach_lerp_(*self._pairs, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    def _log(self, progress: float, loss: Tensor, figures: Mapping[str, Tensor], rate: float) -> None:
        text = " ".join(f"{name} {float(value):.4f}" for name, value in figures.items())
        logger.info(
            "%s: %3.0f %% step %d loss %.4f %s (%.2f steps/s)",
            self.stage.name, 100 * progress, self.step, float(loss), text, rate,
        )  # fmt: skip
        if not math.isfinite(float(loss)):
            raise FloatingPointError(f"{self.stage.name}: the loss is {float(loss)} at step {self.step}")
