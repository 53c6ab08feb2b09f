"""From a parameters text to new values of controls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modules.domain.errors import InvalidRequest
from modules.imaging.infotext_parse import MAX_CHARS, parse_infotext
from modules.settings.infotext_keys import settings_in_infotext
from modules.web.rest.translate import asks_for_hires, infotext_fields
from modules.web.services import Services
from modules.web.ui.values import OVERRIDES, SUBSEED_SHOW, override_entries, parameters, typed_value

NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasted:
    """What a parameters text changes."""

    values: Mapping[str, Any] = field(default_factory=lambda: NONE)
    """Flat name -> new value, for the controls that the text speaks about."""
    notes: tuple[str, ...] = ()
    """What the text asks for and cannot be done, in sentences."""


def paste(text: str, services: Services) -> Pasted:
    """Read a parameters text for the page; a value that its control cannot take leaves the control as it is.

    Raises:
        LimitExceeded: the text is too long.
    """
    settings = services.settings.snapshot()
    parsed = parse_infotext(
        text, styles=services.styles(), styles_mode=settings.infotext.infotext_styles,
        skip=settings.infotext.infotext_skip_pasting, backcompat=settings.compatibility.auto_backcompat,
    )  # fmt: skip
    values: dict[str, Any] = {}
    for key, name in infotext_fields().items():
        if key in parsed and name in parameters():
            try:
                values[name] = typed_value(name, parsed[key])
            except InvalidRequest:
                continue
    if "Steps" not in parsed:
        # Without a parameters line the text is a plain prompt, and defaults of absent keys say nothing.
        values = {name: value for name, value in values.items() if name in ("prompt", "negative_prompt", "styles")}
    else:
        _settle_sampler(values, services)
        values[SUBSEED_SHOW] = any(key in parsed for key in ("Variation seed", "Seed resize from-1"))
        values[OVERRIDES] = override_entries(settings_in_infotext(parsed, settings))
    notes = ("The text has a hires pass, which is not supported yet.",) if asks_for_hires(parsed) else ()
    return Pasted(values=values, notes=notes)


def _settle_sampler(values: dict[str, Any], services: Services) -> None:
    """Find the sampler and schedule that old and new names stand for; unknown names change nothing."""
    if "sampler_name" not in values:
        values.pop("scheduler", None)
        return
    named = values["sampler_name"]
    choice = services.choose_sampler(named, values.get("scheduler", "Automatic"))
    if not choice.known:
        del values["sampler_name"]
        values.pop("scheduler", None)
    elif named != choice.sampler:
        # An old name such as "DPM++ 2M Karras" holds the schedule.
        values.update(sampler_name=choice.sampler, scheduler=choice.scheduler)
    elif values.get("scheduler") not in {"Automatic", *(one.label for one in services.schedulers())}:
        values.pop("scheduler", None)


def last_text(path: Path | None) -> str:
    """Return the parameters text of the last run, empty when there is none."""
    if path is None or not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(MAX_CHARS)


def seeds_of(infotext: str) -> tuple[int, int]:
    """Return seed and variation seed that a picture was made with, -1 for what its text does not say."""
    parsed = parse_infotext(infotext, backcompat=False)
    return _number(parsed.get("Seed")), _number(parsed.get("Variation seed"))


def _number(text: Any) -> int:
    try:
        return int(typed_value("seed", text)) if text is not None else -1
    except InvalidRequest:
        return -1
