"""The pictures of a plan beside A1111's lists of prompts and seeds."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modules.compat.results import Processed
from modules.domain.plan import ImagePlan

Images = tuple[ImagePlan, ...]


def as_many(images: Images, first: Images, count: int | None = None) -> Images:
    """Return as many pictures as the plan has; those that were decided before stay as they were."""
    wanted = len(images) if count is None else count
    known = (*first, *images[len(first) :])
    last = known[-1]
    more = (
        replace(last, index=place, seed=last.seed + place - last.index, subseed=last.subseed + place - last.index)
        for place in range(len(known), wanted)
    )
    return (*known, *more)[:wanted]


def told_images(images: Images, processed: Processed) -> Images:
    """Return one entry for each picture that results speak of."""
    lists = {
        "prompt": processed.all_prompts, "negative_prompt": processed.all_negative_prompts,
        "seed": processed.all_seeds, "subseed": processed.all_subseeds,
    }  # fmt: skip
    count = max((len(one) for one in (processed.all_prompts, processed.all_seeds) if one), default=len(images))
    return tuple(
        at_place(replace(images[min(place, len(images) - 1)], index=place), place, lists) for place in range(count)
    )


def changed(image: ImagePlan, lists: Mapping[str, Any]) -> ImagePlan:
    """Return a picture with the values that lists have for it, by its own number."""
    return at_place(image, image.index, lists)


def at_place(image: ImagePlan, place: int, lists: Mapping[str, Any]) -> ImagePlan:
    """Return a picture with the values that lists have at a place."""
    found = {name: values[place] for name, values in lists.items() if values is not None and place < len(values)}
    found = {name: int(value) if name in ("seed", "subseed") else value for name, value in found.items()}
    return replace(image, **found) if any(getattr(image, name) != value for name, value in found.items()) else image
