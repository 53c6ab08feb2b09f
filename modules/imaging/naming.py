"""File names from patterns such as `[seed]-[prompt_words]`, with A1111's tokens."""

import hashlib
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from modules.domain.plan import ImagePlan, Plan

MAX_PART_CHARS = 128

_TOKEN = re.compile(r"\[([^\[\]]+)\]")
_ARGUMENT = re.compile(r"<([^<>]*)>\Z")
_NO_WORD = re.compile(rf"[\s{re.escape(string.punctuation)}]+")
_REPLACED = str.maketrans(dict.fromkeys('#<>:"/\\|?*\n\r\t', "_"))
_DATETIME = "%Y%m%d%H%M%S"


@dataclass(frozen=True, slots=True, kw_only=True)
class NameFacts:
    """What the tokens of a pattern stand for."""

    plan: Plan
    image: ImagePlan
    width: int
    """Of the picture itself, in pixels."""
    height: int
    pixels_sha256: Callable[[], str]
    """Hash of the picture's pixels; asked for only when a pattern uses it."""
    max_words: int = 8
    """How many words `[prompt_words]` keeps."""
    basename: str = ""
    now: datetime


def apply_pattern(pattern: str, facts: NameFacts) -> str:
    """Replace the tokens of a pattern.

    A token without a value here, such as `[seed_last]` for a single picture, disappears together with the literal
    text before it. Unknown tokens stay as they are. Values never contain path separators; literal text may.
    """
    made, at = "", 0
    for match in _TOKEN.finditer(pattern):
        text, at = pattern[at : match.start()], match.end()
        name, arguments = _split(match.group(1))
        token = TOKENS.get(name.lower())
        value = match.group() if token is None else token(facts, arguments)
        if value is not None:
            made += text + value
    return made + pattern[at:]


def clean(text: str, *, spaces: bool = True) -> str:
    """Make a text usable inside a file name.

    Args:
        text: anything.
        spaces: False turns blanks into underscores.
    """
    text = text if spaces else text.replace(" ", "_")
    return text.translate(_REPLACED).lstrip(" ")[:MAX_PART_CHARS].rstrip(" .")


def _split(token: str) -> tuple[str, tuple[str, ...]]:
    """Split `datetime<%Y><UTC>` into its name and its arguments."""
    arguments: list[str] = []
    while (match := _ARGUMENT.search(token)) is not None:
        arguments.insert(0, match.group(1))
        token = token[: match.start()]
    return token, tuple(arguments)


Token = Callable[[NameFacts, tuple[str, ...]], str | None]


def _words(facts: NameFacts, _arguments: tuple[str, ...]) -> str:
    words = [word for word in _NO_WORD.split(facts.image.prompt) if word] or ["empty"]
    return clean(" ".join(words[: facts.max_words]))


def _has_prompt(facts: NameFacts, arguments: tuple[str, ...]) -> str:
    prompt = facts.image.prompt.lower()
    parts = (argument.partition("|") for argument in arguments)
    return clean("".join(word if word.lower() in prompt else default for word, _, default in parts))


def _datetime(facts: NameFacts, arguments: tuple[str, ...]) -> str:
    moment = facts.now
    if len(arguments) > 1:
        try:
            moment = moment.astimezone(ZoneInfo(arguments[1]))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            moment = facts.now  # An unknown zone means the local one, as in A1111.
    try:
        text = moment.strftime(arguments[0] if arguments and arguments[0] else _DATETIME)
    except (ValueError, UnicodeError):
        text = moment.strftime(_DATETIME)
    return clean(text)


def _hash(text: Callable[[NameFacts], str]) -> Token:
    def token(facts: NameFacts, arguments: tuple[str, ...]) -> str:
        return _shortened(hashlib.sha256(text(facts).encode(errors="replace")).hexdigest(), arguments)

    return token


def _shortened(digest: str, arguments: tuple[str, ...], default: int | None = 8) -> str:
    if arguments and arguments[0].isascii() and arguments[0].isdecimal():
        return digest[: int(arguments[0][:3])]
    return digest[:default]


def _vae(facts: NameFacts) -> str:
    path = facts.plan.model.vae
    return "NoneType" if path is None else clean(path.name.lstrip(".").partition(".")[0])


def _without_styles(facts: NameFacts) -> str:
    prompt = facts.plan.request.prompt
    if isinstance(prompt, tuple):
        return prompt[facts.image.index % len(prompt)] if prompt else ""
    return prompt


def _single_batch(facts: NameFacts) -> bool:
    return facts.plan.request.batch.size == 1


def _value(read: Callable[[NameFacts], object]) -> Token:
    def token(facts: NameFacts, _arguments: tuple[str, ...]) -> str | None:
        value = read(facts)
        return None if value is None else clean(str(value))

    return token


TOKENS: Mapping[str, Token] = MappingProxyType(
    {
        "basename": _value(lambda facts: facts.basename or "img"),
        "seed": _value(lambda facts: facts.image.seed),
        "seed_first": _value(lambda facts: facts.plan.images[0].seed),
        "seed_last": _value(lambda facts: None if _single_batch(facts) else facts.plan.images[-1].seed),
        "steps": _value(lambda facts: facts.plan.main.steps),
        "cfg": _value(lambda facts: facts.plan.guidance.cfg_scale),
        "width": _value(lambda facts: facts.width),
        "height": _value(lambda facts: facts.height),
        "styles": _value(lambda facts: ", ".join(facts.plan.request.styles) or "None"),
        "sampler": _value(lambda facts: facts.plan.main.sampler),
        "scheduler": _value(lambda facts: facts.plan.main.schedule_label.capitalize()),
        "sampler_scheduler": _value(
            lambda facts: f"{facts.plan.main.sampler} {facts.plan.main.schedule_label.capitalize()}"
        ),
        "model_hash": _value(lambda facts: facts.plan.model.short_hash or ""),
        "model_name": _value(lambda facts: facts.plan.model.name),
        "date": _value(lambda facts: facts.now.strftime("%Y-%m-%d")),
        "datetime": _datetime,
        "job_timestamp": _value(lambda facts: facts.plan.created.strftime(_DATETIME)),
        "prompt_hash": _hash(lambda facts: facts.image.prompt),
        "negative_prompt_hash": _hash(lambda facts: facts.image.negative_prompt),
        "full_prompt_hash": _hash(lambda facts: f"{facts.image.prompt} {facts.image.negative_prompt}"),
        "prompt": lambda facts, _: clean(facts.image.prompt, spaces=False),
        "prompt_spaces": _value(lambda facts: facts.image.prompt),
        "prompt_no_styles": _value(_without_styles),
        "prompt_words": _words,
        "batch_number": _value(
            lambda facts: None if _single_batch(facts) else facts.image.index % facts.plan.request.batch.size + 1
        ),
        "batch_size": _value(lambda facts: facts.plan.request.batch.size),
        "generation_number": _value(lambda facts: facts.image.index + 1 if len(facts.plan.images) > 1 else None),
        "hasprompt": _has_prompt,
        "clip_skip": _value(lambda facts: facts.plan.text.clip_skip),
        "denoising": _value(lambda facts: facts.plan.strength),
        "user": _value(lambda facts: facts.plan.request.output.user or ""),
        "vae_filename": _value(_vae),
        "image_hash": lambda facts, arguments: _shortened(facts.pixels_sha256(), arguments, default=None),
        "none": _value(lambda _facts: ""),
    }
)
"""Name -> value; None drops the token and the text before it."""
