"""One line of a list of prompts: a prompt, or options such as `--prompt "a cat" --steps 30`."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from modules.domain.request import Generation

WORDS = MappingProxyType({
    "true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False,
})  # fmt: skip
SEVERAL = ("prompt", "negative_prompt")
"""Options that take all words up to the next option."""
SKIPPED = ("prompt_for_display", "sampler_index")
"""Options without effect, in A1111 too."""


def _switch(text: str) -> bool:
    if text.lower() not in WORDS:
        raise ValueError(f"{text[:50]!r} is neither true nor false")
    return WORDS[text.lower()]


def _whole(text: str) -> int:
    try:
        return int(text[:30])
    except ValueError:
        raise ValueError(f"{text[:50]!r} is no whole number") from None


def _number(text: str) -> float:
    try:
        return float(text[:30])
    except ValueError:
        raise ValueError(f"{text[:50]!r} is no number") from None


def _inverted(text: str) -> bool:
    return not _switch(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


FIELDS: Mapping[str, tuple[tuple[str, ...], Callable[[str], Any]]] = MappingProxyType({
    "prompt": (("prompt",), str), "negative_prompt": (("negative_prompt",), str), "styles": (("styles",), _names),
    "sd_model": (("model", "checkpoint"), str), "seed": (("seed", "seed"), _whole),
    "subseed": (("seed", "subseed"), _whole), "subseed_strength": (("seed", "subseed_strength"), _number),
    "seed_resize_from_w": (("seed", "resize_from_width"), _whole),
    "seed_resize_from_h": (("seed", "resize_from_height"), _whole), "sampler_name": (("sampling", "sampler"), str),
    "steps": (("sampling", "steps"), _whole), "cfg_scale": (("guidance", "cfg_scale"), _number),
    "batch_size": (("batch", "size"), _whole), "n_iter": (("batch", "count"), _whole),
    "width": (("size", "width"), _whole), "height": (("size", "height"), _whole),
    "restore_faces": (("post", "restore_faces"), _switch), "tiling": (("post", "tiling"), _switch),
    "do_not_save_samples": (("output", "save_images"), _inverted),
    "do_not_save_grid": (("output", "save_grid"), _inverted),
})  # fmt: skip
"""Option -> field of the request, and what reads its value."""
SETTINGS: Mapping[str, str] = MappingProxyType({"outpath_samples": "outdir_samples", "outpath_grids": "outdir_grids"})
"""Option -> setting of one run. Folders are checked where files are written."""
KNOWN = frozenset({*FIELDS, *SETTINGS, *SKIPPED})


def read_line(line: str) -> dict[str, Any]:
    """Return option -> value.

    Raises:
        ValueError: an option that does not exist, or a value that it cannot take.
    """
    if not line.startswith("--"):
        return {"prompt": line}
    found: dict[str, Any] = {}
    words = shlex.split(line)
    while words:
        option = words.pop(0)
        name = option.removeprefix("--")
        if not option.startswith("--") or name not in KNOWN:
            raise ValueError(f"there is no option {option[:50]!r}")
        given = _given(words, several=name in SEVERAL)
        if not given:
            raise ValueError(f"{option} needs a value")
        read = FIELDS[name][1] if name in FIELDS else str
        found[name] = read(" ".join(given))
    return found


def _given(words: list[str], *, several: bool) -> list[str]:
    """Take the words that belong to an option."""
    if not several:
        return [words.pop(0)] if words else []
    given: list[str] = []
    while words and not words[0].startswith("--"):
        given.append(words.pop(0))
    return given


def apply(request: Generation, options: Mapping[str, Any], *, at_start: bool) -> Generation:
    """Return the request of one line; prompts are joined with those that all lines share.

    Args:
        request: what all lines share.
        options: of the line.
        at_start: whether its prompts come before the shared ones.
    """
    for name, value in options.items():
        if name in SEVERAL:
            shared = getattr(request, name)
            value = " ".join((value, shared) if at_start else (shared, value)) if shared else value
        if name in FIELDS:
            request = _put(request, FIELDS[name][0], value)
        elif name in SETTINGS:
            overrides = {**request.overrides, SETTINGS[name]: value}
            request = replace(request, overrides=MappingProxyType(overrides))
    return request


def _put(value: Any, path: tuple[str, ...], new: Any) -> Any:
    first, *rest = path
    return replace(value, **{first: _put(getattr(value, first), tuple(rest), new) if rest else new})
