"""Encoded prompts in A1111's forms: schedules that jobs hold (`p.c`, `p.uc`), dictionaries that networks are given."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from modules.compat.prompts import (
    ComposableScheduledPromptConditioning,
    DictWithShape,
    MulticondLearnedConditioning,
    ScheduledPromptConditioning,
)
from modules.sampling.types import Conditioning, Timeline

IMAGE = "concat"
"""Name of what a network sees of a picture beside the latent."""


def shown_positives(positives: Sequence[Sequence[Timeline]]) -> MulticondLearnedConditioning:
    """Return the encoded prompts of a batch as `p.c`."""
    batch = [
        [ComposableScheduledPromptConditioning(_schedules(part), part.weight) for part in parts] for parts in positives
    ]
    return MulticondLearnedConditioning(shape=(len(batch),), batch=batch)


def shown_negatives(negatives: Sequence[Timeline]) -> list[list[Any]]:
    """Return the encoded negative prompts of a batch as `p.uc`."""
    return [_schedules(line) for line in negatives]


def taken_positives(shown: Any, like: Sequence[Sequence[Timeline]]) -> tuple[tuple[Timeline, ...], ...]:
    """Read `p.c`; what A1111's form has no room for comes from the prompts that were encoded first.

    Args:
        shown: a `MulticondLearnedConditioning`.
        like: what the program encoded for this batch.
    """
    return tuple(
        tuple(_line(part.schedules, _near(like, place, number), part.weight) for number, part in enumerate(parts))
        for place, parts in enumerate(shown.batch)
    )


def taken_negatives(shown: Any, like: Sequence[Timeline]) -> tuple[Timeline, ...]:
    """Read `p.uc`; see `taken_positives`."""
    return tuple(_line(schedules, like[min(place, len(like) - 1)], 1.0) for place, schedules in enumerate(shown))


def shown_side(side: Conditioning) -> Any:
    """Return what rows are told as A1111 has it: a tensor, or a dict for networks that are told more."""
    if side.pooled is None:
        return side.tokens.clone()
    return DictWithShape({"crossattn": side.tokens.clone(), "vector": side.pooled.clone()})


def taken_side(side: Conditioning, shown: Any) -> Conditioning:
    """Read what rows are told."""
    if isinstance(shown, Mapping):
        return replace(side, tokens=shown["crossattn"], pooled=shown["vector"])
    return replace(side, tokens=shown)


def image_of(extras: Mapping[str, Tensor], like: Tensor) -> Tensor:
    """Return what rows see of pictures; nothing is [R, 5, 1, 1]."""
    found = extras.get(IMAGE)
    return like.new_zeros(like.shape[0], 5, 1, 1) if found is None else found


def extras_with(extras: Mapping[str, Tensor], image: Any) -> Mapping[str, Tensor]:
    """Return what rows see, with another picture if there is one."""
    if not isinstance(image, Tensor) or image.shape[-2:] == (1, 1) or image is extras.get(IMAGE):
        return extras
    return {**extras, IMAGE: image}


def network_dict(told: Conditioning, x: Tensor) -> dict[str, Any]:
    """Return what a call of the network is given besides latent and level."""
    image = [image_of(told.extras, x)]
    if told.pooled is None:
        return {"c_crossattn": [told.tokens], "c_concat": image}
    return {"crossattn": told.tokens, "vector": told.pooled, "c_concat": image}


def from_network_dict(cond: Any, told: Conditioning) -> Conditioning:
    """Read such a dictionary, which may be of other rows than those that were asked for.

    Args:
        cond: a dictionary, or tokens alone.
        told: what the rows of the walk are told; gives what the dictionary has no room for.
    """
    if not isinstance(cond, Mapping):
        return replace(told, tokens=cond, extras=_for_rows(told.extras, len(cond)))
    tokens = _first(cond.get("crossattn", cond.get("c_crossattn")))
    pooled = _first(cond.get("vector", cond.get("c_adm", told.pooled)))
    extras = extras_with(_for_rows(told.extras, len(tokens)), _first(cond.get("c_concat")))
    return replace(told, tokens=tokens, pooled=pooled, extras=extras)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) else value


def _for_rows(extras: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Repeat what rows see for tiles of them, row after row."""
    return {
        name: value if len(value) == count else value.repeat(-(-count // len(value)), *[1] * (value.ndim - 1))[:count]
        for name, value in extras.items()
    }


def _schedules(line: Timeline) -> list[Any]:
    told = line.conditioning
    return [ScheduledPromptConditioning(end, _row(told, place)) for place, end in enumerate(line.ends)]


def _row(told: Conditioning, place: int) -> Any:
    if told.pooled is None:
        return told.tokens[place].clone()
    return DictWithShape({"crossattn": told.tokens[place].clone(), "vector": told.pooled[place].clone()})


def _near(like: Sequence[Sequence[Timeline]], place: int, number: int) -> Timeline:
    parts = like[min(place, len(like) - 1)]
    return parts[min(number, len(parts) - 1)]


def _line(schedules: Any, like: Timeline, weight: float) -> Timeline:
    ends = tuple(int(one.end_at_step) for one in schedules)
    rows = [one.cond for one in schedules]
    longest = max(len(_tokens(row)) for row in rows)
    tokens = torch.stack([_stretched(_tokens(row), longest) for row in rows])
    vectors = [row["vector"] for row in rows if isinstance(row, Mapping)]
    pooled = torch.stack(vectors) if vectors else None
    told = replace(
        like.conditioning, tokens=tokens, pooled=pooled, extras=_for_rows(like.conditioning.extras, len(ends))
    )  # fmt: skip
    return Timeline(ends=ends, conditioning=told, weight=float(weight))


def _tokens(row: Any) -> Tensor:
    return row["crossattn"] if isinstance(row, Mapping) else row


def _stretched(tokens: Tensor, length: int) -> Tensor:
    return torch.cat([tokens, tokens[-1:].expand(length - len(tokens), -1)]) if len(tokens) < length else tokens
