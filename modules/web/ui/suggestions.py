"""What suits a checkpoint: size, steps, guidance and sampler, from its lineage and from what its name says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from modules.web.services import CheckpointFacts

NAMES = ("sampler_name", "scheduler", "steps", "cfg_scale", "width", "height")
"""Controls that follow the checkpoint."""
MOST_STEPS = 16
"""A larger number before "step" in a file name counts something else, such as training."""
TURBO_SIZE = 512
_STEPS = re.compile(r"(?<![0-9])([0-9]{1,2})[ _-]?steps?(?![a-z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """A way of training that makes a checkpoint need few steps and little guidance."""

    words: tuple[str, ...]
    """One of them is a word of the name."""
    steps: int
    cfg_scale: float = 1.0
    sampler_name: str = "Euler"
    scheduler: str = "SGM Uniform"


DISTILLED = (
    Distilled(words=("dmd", "dmd2"), steps=4, sampler_name="LCM", scheduler="SGM Uniform"),
    Distilled(words=("lightning", "sdxllightning"), steps=8),
    Distilled(words=("hyper", "hypersd", "hypersdxl"), steps=8),
    Distilled(words=("lcm",), steps=6, cfg_scale=1.5, sampler_name="LCM"),
    Distilled(words=("turbo", "sdturbo", "xlturbo"), steps=4, sampler_name="Euler a", scheduler="Turbo"),
    Distilled(words=("schnell",), steps=4, scheduler="Simple"),
)
"""The first one that fits counts; merges such as "turbo-dmd2" behave like the stronger one."""

BY_FAMILY: Mapping[str, Mapping[str, Any]] = MappingProxyType({
    "sdxl": {"cfg_scale": 5.0},
    "sd3": {"cfg_scale": 4.5, "steps": 28, "sampler_name": "Euler", "scheduler": "SGM Uniform"},
    "flux": {"cfg_scale": 1.0, "sampler_name": "Euler", "scheduler": "Simple"},
})  # fmt: skip
"""Family id -> what its people use; what is left out stays at the page's own defaults."""


def suggest(facts: CheckpointFacts) -> Mapping[str, Any]:
    """Return values of controls that suit a checkpoint, by name; controls without a suggestion are left out."""
    found = distilled(facts)
    size = facts.native_size
    values: dict[str, Any] = dict(BY_FAMILY.get(facts.family, {}))
    if found is not None:
        values |= {
            "sampler_name": found.sampler_name, "scheduler": found.scheduler, "cfg_scale": found.cfg_scale,
            "steps": _told_steps(facts.name) or found.steps,
        }  # fmt: skip
        if _is_first_turbo(facts.name):
            size = TURBO_SIZE
    return {**values, "width": size, "height": size}


def distilled(facts: CheckpointFacts) -> Distilled | None:
    """Return how a checkpoint was distilled, by the words of its file name and of its own title."""
    words = {*_words(facts.name), *_words(facts.metadata.get("modelspec.title", ""))}
    return next((one for one in DISTILLED if words.intersection(one.words)), None)


def _words(text: str) -> list[str]:
    """Split a name at everything but letters and digits, and where capitals begin a word: `dreamshaperXL_v2Turbo`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return re.split(r"[^a-z0-9]+", spaced.lower())


def _told_steps(name: str) -> int | None:
    """Return the number in names such as `sdxl_lightning_4step`."""
    found = _STEPS.search(name.lower())
    return int(found[1]) if found and 1 <= int(found[1]) <= MOST_STEPS else None


def _is_first_turbo(name: str) -> bool:
    """Tell SDXL Turbo itself, whose pictures are small, from large models that were merged with it."""
    return re.search(r"sd[ _-]?xl[ _-]?turbo", name.lower()) is not None
