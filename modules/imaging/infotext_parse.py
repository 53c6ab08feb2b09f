"""Read the parameters text of a picture. Linear in its length, whatever it contains."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modules.domain.errors import LimitExceeded
from modules.imaging.infotext_compat import old_first_pass, old_versions
from modules.imaging.infotext_styles import StyleTexts, take_styles

MAX_CHARS = 100_000

_KEY_RUN = re.compile(r"[\w \-/]+")
_KEY_START = re.compile(r"\w")
_BLANKS = re.compile(r"\s*")
_QUOTED = re.compile(r'"(?:\\.|[^\\"])+"')
_SIZE = re.compile(r"([0-9]+)x([0-9]+)")
_FEWEST_ENTRIES = 3

_DEFAULTS: Mapping[str, Any] = {
    "Clip skip": "1",
    "Hires resize-1": 0,
    "Hires resize-2": 0,
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "Mask mode": "Inpaint masked",
    "Masked content": "original",
    "Inpaint area": "Whole picture",
    "Masked area padding": 32,
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Schedule max sigma": 0,
    "Schedule min sigma": 0,
    "Schedule rho": 0,
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "FP8 weight": "Disable",
    "Refiner switch by sampling steps": False,
}
"""What the absence of a key stands for."""


def parse_infotext(
    text: str,
    *,
    styles: Sequence[StyleTexts] = (),
    styles_mode: str = "Apply if any",
    skip: Sequence[str] = (),
    backcompat: bool = True,
) -> dict[str, Any]:
    """Read a parameters text into keys and values, with defaults for what it does not say.

    Values are strings, as written; `WxH` values become `<key>-1` and `<key>-2`. The prompts are under "Prompt" and
    "Negative prompt", recognised styles under "Styles array".

    Args:
        text: what a picture carries or a person pasted.
        styles: saved styles to look for in the prompts.
        styles_mode: setting `infotext_styles`.
        skip: keys to leave out, setting `infotext_skip_pasting`.
        backcompat: whether an old Version switches old behaviour on, setting `auto_backcompat`.

    Raises:
        LimitExceeded: the text is longer than `MAX_CHARS`.
    """
    if len(text) > MAX_CHARS:
        raise LimitExceeded("infotext", f"{len(text)} characters", MAX_CHARS)
    lines = text.strip().split("\n")
    entries = list(parameter_entries(lines[-1]))
    if len(entries) < _FEWEST_ENTRIES:
        entries = []
    else:
        lines.pop()
    found = _values(entries)
    prompt, negative = _prompts(lines)
    take_styles(found, prompt, negative, styles, styles_mode)
    if "Hypernet" in found:
        found["Prompt"] += f"<hypernet:{found['Hypernet']}:{found.get('Hypernet strength', '1.0')}>"
    _fill_in(found)
    old_first_pass(found)
    if backcompat:
        old_versions(found)
    for key in skip:
        found.pop(key, None)
    return found


def parameter_entries(line: str) -> Iterator[tuple[str, str]]:
    """Yield key and value of each entry of a parameters line, quoted values decoded.

    A key is a word character and then word characters, blanks, `-` or `/`, up to a colon; a value is a JSON string
    followed by a comma or the end, or else everything up to the next comma.
    """
    at = 0
    while (run := _KEY_RUN.search(line, at)) is not None:
        at = run.end()
        start = _KEY_START.search(line, run.start(), at)
        if start is None or at - start.start() < 2 or line[at : at + 1] != ":":
            continue
        value, at = _value(line, at + 1)
        yield line[start.start() : run.end()], value


def _value(line: str, at: int) -> tuple[str, int]:
    """Return the value that begins after a colon and the position after its comma."""
    blanks = _BLANKS.match(line, at)
    at = blanks.end() if blanks else at
    quoted = _QUOTED.match(line, at)
    if quoted and line[quoted.end() : quoted.end() + 1] in (",", ""):
        return _unquote(quoted.group()), quoted.end() + 1
    comma = line.find(",", at)
    end = len(line) if comma < 0 else comma
    return _unquote(line[at:end]), end + 1


def _unquote(text: str) -> str:
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        decoded = json.loads(text)
    except json.JSONDecodeError:
        return text
    # A lone surrogate is valid JSON but can never be stored or sent again.
    return text if any("\ud800" <= letter <= "\udfff" for letter in decoded) else decoded


def _values(entries: Sequence[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in entries:
        size = _SIZE.fullmatch(value)
        if size:
            found[f"{key}-1"], found[f"{key}-2"] = size.groups()
        else:
            found[key] = value
    return found


def _prompts(lines: Sequence[str]) -> tuple[str, str]:
    parts: tuple[list[str], list[str]] = ([], [])
    inside, template = 0, False
    for line in lines:
        words = line.strip()
        if words.startswith("Negative prompt:"):
            inside, template = 1, False
            words = words.removeprefix("Negative prompt:").strip()
        # Old versions of Dynamic Prompts appended the text before wildcards; it is not part of the prompt.
        template = template or words.startswith(("Template:", "Negative Template:"))
        if not template and (words or parts[inside]):
            parts[inside].append(words)
    return "\n".join(parts[0]), "\n".join(parts[1])


def _fill_in(found: dict[str, Any]) -> None:
    for key, value in _DEFAULTS.items():
        found.setdefault(key, value)
    if found["FP8 weight"] != "Disable":
        found.setdefault("Cache FP16 weight for LoRA", False)
    if any(mark in found[part] for part in ("Prompt", "Negative prompt") for mark in "(["):
        found.setdefault("Emphasis", "Original")
