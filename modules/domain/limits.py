"""Sizes, counts and lengths that one request may ask for, checked on final values before anything is allocated."""

import re
from dataclasses import dataclass
from functools import cache

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.domain.hires import hires_size
from modules.domain.param import ParamPath, walk_params
from modules.domain.request import Generation, Size

MAX_STYLES = 256
MAX_ALTERNATIVES = 64
"""Parts of one prompt joined by AND."""
MAX_SCHEDULES = 256
"""Bracketed parts of one prompt that change during sampling."""
MAX_EXTRA_NETWORKS = 64
MAX_OVERRIDES = 1000

COUNTS = frozenset({
    "width", "height", "steps", "batch_size", "n_iter", "seed_resize_from_w", "seed_resize_from_h",
    "hr_second_pass_steps", "hr_resize_x", "hr_resize_y", "hr_scale",
    "left", "right", "top", "bottom",
})  # fmt: skip
"""Parameters whose upper bound guards the machine; going over it exceeds a limit, it is not a wrong value."""

_EXTRA_NETWORK = re.compile(r"<[A-Za-z]\w*:")
_AND = re.compile(r"\bAND\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the owner of the machine allows. Each field is named in errors by the setting that moves it."""

    max_image_pixels: int = 32_000_000
    """Width times height of one picture."""
    max_total_pixels: int = 2_000_000_000
    """Pixels of all pictures of one request together."""
    max_images: int = 64_000
    """Pictures of one request."""
    max_prompt_chars: int = 50_000


def check(generation: Generation, limits: Limits) -> None:
    """Refuse a request that is over a limit or outside the declared range of a parameter.

    Raises:
        LimitExceeded: names the field, the value, the limit and the setting.
        InvalidRequest: a value below or beyond its declared range.
    """
    mask = generation.mask
    of_mask = (mask, mask.soft, mask.extend) if mask else ()
    for part in (generation, generation.init, *of_mask, generation.hires, generation.refiner):
        if part is not None:
            for item in _params(type(part)):
                _check_range(item, _value(part, item.path))
    _check_pixels(generation, limits)
    for field, text in _prompts(generation):
        for part in (text,) if isinstance(text, str) else text:
            check_prompt(field, part, limits)
    if len(generation.styles) > MAX_STYLES:
        raise LimitExceeded("styles", f"{len(generation.styles)} styles", MAX_STYLES)
    if len(generation.overrides) > MAX_OVERRIDES:
        raise LimitExceeded("override_settings", f"{len(generation.overrides)} settings", MAX_OVERRIDES)


def num_images(generation: Generation) -> int:
    """Count the pictures that a request asks for: one for each prompt of a list, else what its batches hold.

    Raises:
        InvalidRequest: the lists of prompts and negative prompts differ in length, or are empty.
    """
    counts = {
        name: len(text)
        for name, text in (("prompt", generation.prompt), ("negative_prompt", generation.negative_prompt))
        if not isinstance(text, str)
    }
    if not counts:
        return generation.batch.size * generation.batch.count
    if len(set(counts.values())) > 1:
        raise InvalidRequest(
            f"{counts['prompt']} prompts and {counts['negative_prompt']} negative prompts; one of each for every picture",
            field="negative_prompt",
        )
    name, count = next(iter(counts.items()))
    if count == 0:
        raise InvalidRequest("the list holds no text; give one for each picture", field=name)
    return count


def check_prompt(field: str, text: str, limits: Limits) -> None:
    """Refuse a prompt that is too long or has too many parts. Linear in the length of the text.

    Raises:
        LimitExceeded: names the field, the count and the limit.
    """
    if len(text) > limits.max_prompt_chars:
        raise LimitExceeded(field, f"{len(text)} characters", limits.max_prompt_chars, "api_max_prompt_chars")
    counts = (
        (len(_AND.findall(text)) + 1, "parts joined by AND", MAX_ALTERNATIVES),
        (len(_EXTRA_NETWORK.findall(text)), "extra networks", MAX_EXTRA_NETWORKS),
        (count_schedules(text), "scheduled parts", MAX_SCHEDULES),
    )
    for count, what, limit in counts:
        if count > limit:
            raise LimitExceeded(field, f"{count} {what}", limit)


def count_schedules(text: str) -> int:
    """Count the bracketed parts that hold a `:` or `|`, that is `[from:to:when]` and `[one|other]`."""
    marked: list[bool] = []
    total = 0
    escaped = False
    for letter in text:
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == "[":
            marked.append(False)
        elif letter == "]" and marked:
            total += marked.pop()
        elif letter in ":|" and marked:
            marked[-1] = True
    return total


@cache
def _params(cls: type) -> tuple[ParamPath, ...]:
    return tuple(walk_params(cls))


def _value(part: object, path: tuple[str, ...]) -> object:
    for name in path:
        part = getattr(part, name)
    return part


def _prompts(generation: Generation) -> list[tuple[str, str | tuple[str, ...]]]:
    found = [("prompt", generation.prompt), ("negative_prompt", generation.negative_prompt)]
    if generation.hires is not None:
        found += [("hr_prompt", generation.hires.prompt), ("hr_negative_prompt", generation.hires.negative_prompt)]
    return found


def _check_range(item: ParamPath, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    low, high = item.param.ge, item.param.le
    if low is not None and value < low:
        raise InvalidRequest(f"{value} is below the smallest value {low}", field=item.name)
    if high is not None and value > high:
        if item.name in COUNTS:
            raise LimitExceeded(item.name, value, high)
        raise InvalidRequest(f"{value} is above the largest value {high}", field=item.name)


def _check_pixels(generation: Generation, limits: Limits) -> None:
    pixels, what = _pixels(generation.run_size), "width x height"
    if generation.hires is not None:
        sizes = hires_size(generation.size, generation.hires)
        enlarged = max(_pixels(sizes.upscaled), _pixels(sizes.target))
        if min(sizes.target.width, sizes.target.height) < 8:
            raise InvalidRequest(
                f"the hires pass would be {sizes.target.width}x{sizes.target.height}", field="hr_scale"
            )
        if enlarged > pixels:
            pixels, what = enlarged, "the hires size"
    images = num_images(generation)
    if pixels > limits.max_image_pixels:
        raise LimitExceeded(what, _mega(pixels), _mega(limits.max_image_pixels), "api_max_result_mpixels")
    if images > limits.max_images:
        raise LimitExceeded("batch_size x n_iter", images, limits.max_images, "api_max_images_per_request")
    if pixels * images > limits.max_total_pixels:
        raise LimitExceeded(
            "all pictures", _mega(pixels * images), _mega(limits.max_total_pixels), "api_max_total_mpixels"
        )


def _pixels(size: Size) -> int:
    return size.width * size.height


def _mega(pixels: int) -> str:
    return f"{pixels / 1e6:g} megapixels"
