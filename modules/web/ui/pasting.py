"""From a parameters text to new values of controls."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modules.domain.errors import InvalidRequest
from modules.domain.request import HiresSpec
from modules.hooks.points import InfotextPasted
from modules.imaging.infotext_parse import MAX_CHARS, parse_infotext
from modules.prompting.extra_networks import with_local_names
from modules.settings.infotext_keys import settings_in_infotext
from modules.web.rest.translate import asks_for_hires, infotext_fields
from modules.web.services import Services
from modules.web.ui.choices import NO_CHECKPOINT, SAME_CHECKPOINT, SAME_SAMPLER, WORDS, checkpoint_named, lists_of
from modules.web.ui.values import (
    CHOSEN,
    ENABLE_EXTEND,
    ENABLE_HIRES,
    ENABLE_REFINER,
    ENABLE_SOFT,
    IMG2IMG,
    MASK_BLUR,
    OVERRIDES,
    SUBSEED_SHOW,
    TXT2IMG,
    names_of,
    override_entries,
    parameters,
    script_control,
    typed_value,
)

FIRST_PROMPTS = ("prompt", "negative_prompt")
EXTENDED_BY = MappingProxyType({"width": ("left", "right"), "height": ("top", "bottom")})
NONE: Mapping[str, Any] = MappingProxyType({})
NO_SCRIPT = "None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasted:
    """What a parameters text changes."""

    values: Mapping[str, Any] = field(default_factory=lambda: NONE)
    """Flat name -> new value, for the controls that the text speaks about."""
    notes: tuple[str, ...] = ()
    """What the text asks for and cannot be done, in sentences."""


def paste(tab: str, text: str, services: Services) -> Pasted:
    """Read a parameters text for a tab; a value that its control cannot take leaves the control as it is.

    Raises:
        LimitExceeded: the text is too long.
    """
    settings = services.settings.snapshot()
    parsed = parse_infotext(
        text, styles=services.styles(), styles_mode=settings.infotext.infotext_styles,
        skip=settings.infotext.infotext_skip_pasting, backcompat=settings.compatibility.auto_backcompat,
    )  # fmt: skip
    parsed = dict(services.hooks.run(InfotextPasted(tab=tab, text=text, entries=MappingProxyType(parsed))).entries)
    for key in {"Prompt", "Hires prompt"} & parsed.keys():
        parsed[key] = with_local_names(str(parsed[key]), str(parsed.get("Lora hashes", "")), services.lora_by_hash)
    values = _plain_values(tab, parsed)
    if "Steps" not in parsed:
        # Without a parameters line the text is a plain prompt, and defaults of absent keys say nothing.
        return Pasted(values={name: values[name] for name in (*FIRST_PROMPTS, "styles") if name in values})
    _settle_sampler(values, services)
    notes = _settle_passes(values, parsed, services) if tab == TXT2IMG else _settle_mask(values, parsed)
    notes += _settle_refiner(values, parsed, services)
    values[SUBSEED_SHOW] = any(key in parsed for key in ("Variation seed", "Seed resize from-1"))
    values |= {
        script_control(script, name): value
        for script, found in services.scripts.pasted(tab, parsed).items()
        for name, value in found.items()
    }
    values |= _chosen_script(tab, parsed, services)
    values[OVERRIDES] = override_entries(settings_in_infotext(parsed, settings))
    return Pasted(values=values, notes=notes)


def _chosen_script(tab: str, parsed: Mapping[str, Any], services: Services) -> dict[str, Any]:
    """Choose the script of the drop-down that the text names, or none."""
    title, found = services.scripts.pasted_call(tab, parsed)
    script = services.scripts.selectable_named(title, tab) if title else None
    values = {script_control(script.id, name): value for name, value in found.items()} if script else {}
    return {CHOSEN: title or NO_SCRIPT, **values}


def _plain_values(tab: str, parsed: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    own = {item.param.infotext: name for name, item in parameters(tab).items() if item.param.infotext}
    for key, name in {**infotext_fields(), **own}.items():
        if key in parsed and name in parameters(tab):
            try:
                values[name] = typed_value(tab, name, parsed[key])
            except InvalidRequest:
                continue
    return values


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


def _settle_passes(values: dict[str, Any], parsed: Mapping[str, Any], services: Services) -> tuple[str, ...]:
    """Fill the hires pass, or leave all of it alone when the text has none."""
    values[ENABLE_HIRES] = asks_for_hires(parsed)
    if not values[ENABLE_HIRES]:
        for name in names_of(HiresSpec):
            values.pop(name, None)
        return ()
    lists = lists_of(services)
    for name, offered in (("hr_upscaler", lists["hires_upscalers"]), ("hr_scheduler", lists["hr_scheduler"])):
        if values.get(name) not in offered:
            values.pop(name, None)
    _settle_hires_sampler(values, services)
    return _settle_checkpoint(values, "hr_checkpoint_name", SAME_CHECKPOINT, services)


def _settle_hires_sampler(values: dict[str, Any], services: Services) -> None:
    named = values.get("hr_sampler_name", SAME_SAMPLER)
    if named == SAME_SAMPLER:
        return
    choice = services.choose_sampler(named, "Automatic")
    if not choice.known:
        del values["hr_sampler_name"]
    elif named != choice.sampler:
        values.update(hr_sampler_name=choice.sampler, hr_scheduler=choice.scheduler)


def _settle_refiner(values: dict[str, Any], parsed: Mapping[str, Any], services: Services) -> tuple[str, ...]:
    values[ENABLE_REFINER] = "Refiner" in parsed
    return _settle_checkpoint(values, "refiner_checkpoint", NO_CHECKPOINT, services)


def _settle_checkpoint(values: dict[str, Any], name: str, none: str, services: Services) -> tuple[str, ...]:
    """Find a further checkpoint by what the text calls it; says so when it is not there."""
    named = values.get(name, none)
    if named == none:
        return ()
    found = checkpoint_named(named, services.checkpoints())
    values[name] = none if found is None else found.title
    return () if found else (f"The text asks for the checkpoint {named}, which is not here.",)


def _settle_mask(values: dict[str, Any], parsed: Mapping[str, Any]) -> tuple[str, ...]:
    """Read what a text says in words about a mask."""
    values[ENABLE_SOFT] = str(parsed.get("Soft inpainting enabled")) == "True"
    for key, name in (
        ("Mask mode", "inpainting_mask_invert"),
        ("Masked content", "inpainting_fill"),
        ("Inpaint area", "inpaint_full_res"),
    ):
        if parsed.get(key) in WORDS[name]:
            at = WORDS[name].index(parsed[key])
            values[name] = bool(at) if name == "inpaint_full_res" else at
    for key, name, declared in (
        ("Mask blur", MASK_BLUR, "mask_blur_x"),
        ("Masked area padding", "inpaint_full_res_padding", "inpaint_full_res_padding"),
    ):
        with contextlib.suppress(InvalidRequest):
            if key in parsed:
                values[name] = typed_value(IMG2IMG, declared, parsed[key])
    _settle_extend(values, parsed)
    return ()


def _settle_extend(values: dict[str, Any], parsed: Mapping[str, Any]) -> None:
    """Fill the room around the picture; a text leaves out sides without any, and tells the size of the whole."""
    values[ENABLE_EXTEND] = "Extend overlap" in parsed
    if not values[ENABLE_EXTEND]:
        return
    for name, sides in EXTENDED_BY.items():
        added = sum(values.setdefault(side, 0) for side in sides)
        whole = values.pop(name, None)
        with contextlib.suppress(InvalidRequest):
            if whole is not None:
                values[name] = typed_value(IMG2IMG, name, whole - added)


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
        return int(typed_value(TXT2IMG, "seed", text)) if text is not None else -1
    except InvalidRequest:
        return -1
