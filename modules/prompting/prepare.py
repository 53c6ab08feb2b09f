"""From the prompts of one picture to what the pipeline encodes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from modules.prompting.comments import strip_comments
from modules.prompting.composition import split_and
from modules.prompting.extra_networks import ExtraNetwork, parse_extra_networks
from modules.prompting.limits import PromptLimits, check
from modules.prompting.schedule import Schedule, parse_schedule
from modules.prompting.styles import Style, apply_styles

Timeline = tuple[tuple[int, str], ...]
"""(end_step, text): the text is used while the 0-based model-call counter is <= end_step."""

# Control characters other than tab and line breaks, and halves of surrogate pairs, which no encoder takes.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPart:
    """One sub-prompt of an AND composition over the run."""

    weight: float
    timeline: Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPrompt:
    """The prompts of one picture, ready to be encoded."""

    prompt: str
    """With styles, without comments, tags kept: what infotext prints."""
    negative_prompt: str
    """The same of the negative prompt; tags in it are ordinary text."""
    text: str
    """The prompt without tags."""
    tags: tuple[ExtraNetwork, ...]
    parts: tuple[PreparedPart, ...]
    """At least one."""
    negative_timeline: Timeline


def finished_text(
    text: str,
    style_texts: Sequence[str] = (),
    *,
    comments: bool = True,
    field: str = "prompt",
    limits: PromptLimits | None = None,
) -> str:
    """Apply styles, remove comments (unless `comments` is off) and characters that cannot be printed.

    Raises:
        LimitExceeded: too many styles, or too long before or after they were applied.
    """
    limits = limits or PromptLimits()
    check("styles", len(style_texts), limits.styles, "styles")
    check(field, len(text), limits.characters, "characters")
    text = apply_styles(text, style_texts, limit=limits.characters, field=field)
    return _UNPRINTABLE.sub("", strip_comments(text) if comments else text)


def prepare(
    prompt: str,
    negative_prompt: str = "",
    *,
    styles: Sequence[Style] = (),
    steps: int,
    hires_steps: int | None = None,
    old_scheduling: bool = False,
    comments: bool = True,
    limits: PromptLimits | None = None,
) -> PreparedPrompt:
    """Take the prompts of one picture apart; time is linear in their length times the number of steps.

    Args:
        prompt: as typed; already finished texts may be given again with `styles` left out.
        negative_prompt: as typed. AND and tags mean nothing in it.
        styles: applied to both, in order.
        steps: model calls of the first pass (twice the steps for second-order samplers).
        hires_steps: model calls of the hires pass when this is for the hires pass.
        old_scheduling: option use_old_scheduling.
        comments: option enable_prompt_comments.
        limits: other than the defaults.

    Raises:
        LimitExceeded: too long, or too many parts, schedules or tags.
    """
    limits = limits or PromptLimits()
    prompt = finished_text(prompt, [style.prompt for style in styles], comments=comments, limits=limits)
    negatives = [style.negative_prompt for style in styles]
    negative = finished_text(negative_prompt, negatives, comments=comments, field="negative_prompt", limits=limits)
    text, tags = parse_extra_networks(prompt)
    check("prompt", len(tags), limits.extra_networks, "extra network tags")
    weights, schedules = _parsed(text, limits)
    negative_schedule = parse_schedule(negative)
    check("negative_prompt", negative_schedule.constructs, limits.schedules, "schedules")
    return PreparedPrompt(
        prompt=prompt,
        negative_prompt=negative,
        text=text,
        tags=tags,
        parts=tuple(
            PreparedPart(weight=weight, timeline=schedule.timeline(steps, hires_steps, old_scheduling))
            for weight, schedule in zip(weights, schedules, strict=True)
        ),
        negative_timeline=negative_schedule.timeline(steps, hires_steps, old_scheduling),
    )


def counted_texts(
    text: str, *, steps: int, positive: bool = True, comments: bool = True, limits: PromptLimits | None = None
) -> tuple[str, ...]:
    """Return the different texts of which a token counter shows the longest: all parts at all times, without tags.

    Raises:
        LimitExceeded: as `prepare`.
    """
    limits = limits or PromptLimits()
    text, _ = parse_extra_networks(finished_text(text, comments=comments, limits=limits))
    schedules = _parsed(text, limits)[1] if positive else [parse_schedule(text)]
    check("prompt", sum(schedule.constructs for schedule in schedules), limits.schedules, "schedules")
    return tuple(dict.fromkeys(entry for schedule in schedules for _, entry in schedule.timeline(steps)))


def _parsed(text: str, limits: PromptLimits) -> tuple[list[float], list[Schedule]]:
    """Return weight and schedule of each part of a positive prompt."""
    parts = split_and(text)
    check("prompt", len(parts), limits.parts, "parts joined by AND")
    schedules = [parse_schedule(part.text) for part in parts]
    check("prompt", sum(schedule.constructs for schedule in schedules), limits.schedules, "schedules")
    return [part.weight for part in parts], schedules
