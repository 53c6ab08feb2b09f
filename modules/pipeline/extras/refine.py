"""Pass a picture through steps; one that fails is named, and the others go on."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from modules.domain.errors import WebuiError
from modules.hooks.context import JobContext
from modules.pipeline.extras.step import Bound, Picture

logger = logging.getLogger(__name__)
T = TypeVar("T")

Done = Callable[[int], None]
"""Told how many steps are done."""


def refine(picture: Picture, steps: Sequence[Bound], ctx: JobContext, done: Done = lambda _count: None) -> list[Picture]:  # fmt: skip
    """Return what steps make of a picture: itself, then the further ones. Ends early when the job is interrupted.

    Raises:
        WebuiError: a step refuses the picture.
    """
    for step in steps:
        if step.prepare is not None:
            picture = _attempt(step, lambda prepare=step.prepare: prepare(picture, ctx), picture, ctx)  # noqa: B023 - called at once
    made = [picture]
    for number, step in enumerate(steps, 1):
        if ctx.cancel.ends_batch:
            break
        made = _passed(step, made, ctx)
        done(number)
    return made


def _passed(step: Bound, pictures: Sequence[Picture], ctx: JobContext) -> list[Picture]:
    """Give pictures to one step; what it adds comes after all that were there."""
    firsts: list[Picture] = []
    others: list[Picture] = []
    for one in pictures:
        first, *more = [one] if one.is_done else _attempt(step, lambda one=one: step.process(one, ctx), [one], ctx)
        firsts.append(first)
        others += more
    return firsts + others


def _attempt(step: Bound, call: Callable[[], T], otherwise: T, ctx: JobContext) -> T:
    try:
        return call()
    except WebuiError:
        raise
    except Exception as error:
        logger.exception("the step %s failed", step.label)
        ctx.note(f"{step.label} failed: {type(error).__name__}: {error}")
        return otherwise
