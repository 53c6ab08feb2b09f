"""`modules.prompt_parser`: prompts as schedules, and schedules as encoded prompts."""

from collections import namedtuple
from typing import Any

from modules.prompting.composition import split_and
from modules.prompting.emphasis import parse_emphasis
from modules.prompting.schedule import timeline

ScheduledPromptConditioning = namedtuple("ScheduledPromptConditioning", ["end_at_step", "cond"])


class SdConditioning(list[str]):
    """Prompts, and the size of the picture that they are for."""

    def __init__(self, prompts: Any, is_negative_prompt: bool = False, width: Any = None, height: Any = None, copy_from: Any = None, distilled_cfg_scale: Any = None) -> None:  # fmt: skip
        super().__init__(prompts)
        source = prompts if copy_from is None else copy_from
        self.is_negative_prompt = is_negative_prompt or getattr(source, "is_negative_prompt", False)
        self.width = width or getattr(source, "width", None)
        self.height = height or getattr(source, "height", None)
        self.distilled_cfg_scale = distilled_cfg_scale or getattr(source, "distilled_cfg_scale", None)


class ComposableScheduledPromptConditioning:
    """One part of a prompt that AND joins."""

    def __init__(self, schedules: Any, weight: float = 1.0) -> None:
        self.schedules, self.weight = schedules, weight


class MulticondLearnedConditioning:
    """The encoded prompts of a batch."""

    def __init__(self, shape: Any, batch: Any) -> None:
        self.shape, self.batch = shape, batch


class DictWithShape(dict[str, Any]):
    """An encoded prompt of several tensors, which also tells the shape of the first one."""

    def __init__(self, x: Any, shape: Any = None) -> None:
        super().__init__()
        self.update(x)

    @property
    def shape(self) -> Any:
        """Of what the network attends to."""
        return self["crossattn"].shape


def get_learned_conditioning_prompt_schedules(
    prompts: Any, base_steps: int, hires_steps: int | None = None, use_old_scheduling: bool = False
) -> list[list[list[Any]]]:
    """Return for each prompt the texts and the steps until which they hold.

    Raises:
        LimitExceeded: a prompt has too many parts.
    """
    return [
        [[end, text] for end, text in timeline(prompt, base_steps, hires_steps, use_old_scheduling)]
        for prompt in prompts
    ]


def get_learned_conditioning(
    model: Any, prompts: Any, steps: int, hires_steps: int | None = None, use_old_scheduling: bool = False
) -> list[list[Any]]:
    """Encode the texts of prompts."""
    found: list[list[Any]] = []
    for schedule in get_learned_conditioning_prompt_schedules(prompts, steps, hires_steps, use_old_scheduling):
        encoded = model.get_learned_conditioning([text for _, text in schedule])
        found.append([
            ScheduledPromptConditioning(end, _row(encoded, place)) for place, (end, _) in enumerate(schedule)
        ])  # fmt: skip
    return found


def _row(encoded: Any, place: int) -> Any:
    if isinstance(encoded, dict):
        return DictWithShape({name: value[place] for name, value in encoded.items()})
    return encoded[place]


def get_multicond_prompt_list(prompts: Any) -> tuple[list[list[tuple[int, float]]], SdConditioning, dict[str, int]]:
    """Take prompts apart at AND: for each its parts by number and weight, then all different parts."""
    places: dict[str, int] = {}
    found: list[list[tuple[int, float]]] = []
    for prompt in prompts:
        parts = [(part.text, part.weight) for part in split_and(prompt)]
        found.append([(places.setdefault(text, len(places)), weight) for text, weight in parts])
    return found, SdConditioning(list(places), copy_from=prompts), places


def get_multicond_learned_conditioning(
    model: Any, prompts: Any, steps: int, hires_steps: int | None = None, use_old_scheduling: bool = False
) -> MulticondLearnedConditioning:
    """Encode prompts whose parts are joined by AND."""
    parts, flat, _ = get_multicond_prompt_list(prompts)
    encoded = get_learned_conditioning(model, flat, steps, hires_steps, use_old_scheduling)
    batch = [[ComposableScheduledPromptConditioning(encoded[place], weight) for place, weight in one] for one in parts]
    return MulticondLearnedConditioning(shape=(len(prompts),), batch=batch)


def _at(schedule: Any, step: int) -> Any:
    return next((one.cond for one in schedule if step <= one.end_at_step), schedule[0].cond)


def reconstruct_cond_batch(c: Any, current_step: int) -> Any:
    """Return what holds at a step, for a batch."""
    import torch

    found = [_at(schedule, current_step) for schedule in c]
    if isinstance(found[0], dict):
        return DictWithShape({name: torch.stack([one[name] for one in found]) for name in found[0]})
    return stack_conds(found)


def reconstruct_multicond_batch(c: MulticondLearnedConditioning, current_step: int) -> tuple[Any, Any]:
    """Return which rows are whose with which weight, and what holds at a step."""
    import torch

    tensors: list[Any] = []
    whose: list[list[tuple[int, float]]] = []
    for parts in c.batch:
        whose.append([(len(tensors) + place, part.weight) for place, part in enumerate(parts)])
        tensors += [_at(part.schedules, current_step) for part in parts]
    if isinstance(tensors[0], dict):
        return whose, DictWithShape({name: torch.stack([one[name] for one in tensors]) for name in tensors[0]})
    return whose, stack_conds(tensors)


def stack_conds(tensors: list[Any]) -> Any:
    """Stack rows; the last vector of shorter ones is repeated."""
    import torch

    longest = max(row.shape[0] for row in tensors)
    return torch.stack([torch.cat([row, row[-1:].repeat(longest - row.shape[0], 1)]) for row in tensors])


def parse_prompt_attention(text: str) -> list[list[Any]]:
    """Return the parts of a text with their weights."""
    return [[part.text, part.weight] for part in parse_emphasis(text)]
