"""Find saved styles again in prompts they were applied to."""

from collections.abc import Sequence
from typing import Any, Protocol

from modules.imaging.infotext_compat import NEW_HIRES_STYLES, version_of


class StyleTexts(Protocol):
    """What is needed to know of a saved style."""

    @property
    def name(self) -> str:
        """Name shown in the list of styles."""
        ...

    @property
    def prompt(self) -> str:
        """Text added to the prompt, or wrapped around it at `{prompt}`."""
        ...

    @property
    def negative_prompt(self) -> str:
        """The same for the negative prompt."""
        ...


def take_styles(
    found: dict[str, Any], prompt: str, negative_prompt: str, styles: Sequence[StyleTexts], mode: str
) -> None:
    """Put both prompts into `found`, without the style texts, and the names of the styles unless `mode` forbids.

    Args:
        found: parsed keys; "Prompt", "Negative prompt" and perhaps "Styles array" are set in it.
        mode: Ignore, Apply, Discard or Apply if any.
    """
    found["Prompt"], found["Negative prompt"] = prompt, negative_prompt
    if mode == "Ignore":
        return
    names, bare, bare_negative = extract_styles(prompt, negative_prompt, styles)
    if not _same_in_hires(found, names, (bare, bare_negative), styles):
        return
    found["Prompt"], found["Negative prompt"] = bare, bare_negative
    if mode == "Apply" or (mode == "Apply if any" and names):
        found["Styles array"] = names


def extract_styles(prompt: str, negative_prompt: str, styles: Sequence[StyleTexts]) -> tuple[list[str], str, str]:
    """Return the names of the styles found, in the order they were applied, and the prompts without them."""
    names: list[str] = []
    remaining = list(styles)
    while True:
        for style in remaining:
            stripped = _without(style, prompt, negative_prompt)
            if stripped is not None:
                prompt, negative_prompt = stripped
                names.append(style.name)
                remaining.remove(style)
                break
        else:
            return names[::-1], prompt, negative_prompt


def _without(style: StyleTexts, prompt: str, negative_prompt: str) -> tuple[str, str] | None:
    if not style.prompt and not style.negative_prompt:
        return None
    positive = _strip(style.prompt, prompt)
    negative = _strip(style.negative_prompt, negative_prompt)
    return None if positive is None or negative is None else (positive, negative)


def _strip(style: str, prompt: str) -> str | None:
    """Return the prompt without the style's text, or None when it does not contain it."""
    if not style:
        return prompt
    before, marker, after = style.strip().partition("{prompt}")
    if marker:
        fits = len(prompt) >= len(before) + len(after) and prompt.startswith(before) and prompt.endswith(after)
        return prompt[len(before) : len(prompt) - len(after)] if fits else None
    trimmed = prompt.strip()
    if not trimmed.endswith(before):
        return None
    return trimmed[: len(trimmed) - len(before)].removesuffix(", ")


def _same_in_hires(
    found: dict[str, Any], names: list[str], bare: tuple[str, str], styles: Sequence[StyleTexts]
) -> bool:
    """Take the styles out of the hires prompts too; False when they hold other styles than the prompts do."""
    version = version_of(found)
    keys = ("Hires prompt", "Hires negative prompt")
    if not any(key in found for key in keys) or (version is not None and version <= NEW_HIRES_STYLES):
        return True
    first = found.get(keys[0], found["Prompt"])
    second = found.get(keys[1], found["Negative prompt"])
    names_hires, *bare_hires = extract_styles(first, second, styles)
    if names_hires != names:
        return False
    for key, text, same_as in zip(keys, bare_hires, bare, strict=True):
        found[key] = "" if text == same_as else text
    return True
