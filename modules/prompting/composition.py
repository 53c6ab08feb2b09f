"""`AND`: several prompts denoised side by side, each with a weight."""

import math
import re
from dataclasses import dataclass

_AND = re.compile(r"\bAND\b")
_NUMBER = re.compile(r"[-+]?(?:\d++(?:\.\d*+)?|\.\d++)")


@dataclass(frozen=True, slots=True)
class SubPrompt:
    """One part of a composed prompt; `weight` scales its share of the guidance and may be negative."""

    text: str
    weight: float = 1.0


def split_and(text: str) -> tuple[SubPrompt, ...]:
    """Split a positive prompt at each whole word `AND`; a prompt without it is one part. Never raises.

    A number after the last colon of a part is its weight, even without AND: `16:9` at the end weighs nine.
    """
    return tuple(_sub_prompt(part) for part in _AND.split(text))


def _sub_prompt(part: str) -> SubPrompt:
    head, colon, tail = part.rpartition(":")
    number = tail.strip()
    if colon and _NUMBER.fullmatch(number):
        weight = float(number)
        if math.isfinite(weight):
            return SubPrompt(head.rstrip(), weight)
    return SubPrompt(part.rstrip())
