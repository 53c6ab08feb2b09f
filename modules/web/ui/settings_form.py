"""The Settings tab as data: what there is to set, and what happens when somebody does."""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, get_args, get_origin

from modules.domain.errors import InvalidRequest, StorageFault
from modules.domain.param import ParamPath
from modules.pipeline.extras.step import EXTRAS, MAIN
from modules.settings.infotext_keys import setting_of_infotext_key
from modules.settings.sections import SECTIONS
from modules.settings.snapshot import RESTRICTED, declarations
from modules.web.adapters import upscaler_names
from modules.web.rest.translate import check_checkpoint, infotext_fields
from modules.web.services import Services
from modules.web.ui.context import UiContext
from modules.web.ui.localization import NONE
from modules.web.ui.names import BLOCKS, LABELS

MAX_KEYS = 1000


def describe(context: UiContext) -> list[dict[str, Any]]:
    """Describe all sections in the order of the Settings tab, with the values of this moment."""
    current = context.services.settings.snapshot()
    snapshot, known = current.flat(), current.declarations()
    return [
        {
            "id": section.id,
            "title": section.title,
            "category": section.category,
            "settings": [
                {
                    **describe_one(known[item.name], context.services),
                    "value": snapshot[item.name],
                    "locked": context.remote and item.name in RESTRICTED,
                }
                for item in fields(section.cls)
                if item.name in known and item.name not in context.hidden
            ],
        }
        for section in (*SECTIONS, *current.added.sections)
    ]


def describe_one(item: ParamPath, services: Services) -> dict[str, Any]:
    """Describe the control of one setting."""
    about = item.param
    low, high = about.slider or (about.ge, about.le)
    return {
        "key": item.name, "label": about.label, "help": about.help, "kind": kind_of(item), "min": low, "max": high,
        "slider": about.slider is not None, "step": about.step, "choices": choices_of(item, services),
        "default": list(item.default) if isinstance(item.default, tuple) else item.default,
    }  # fmt: skip


def kind_of(item: ParamPath) -> str:
    """Name the control that suits a setting: switch, int, float, choice, list, colour or text."""
    annotation = item.annotation
    if isinstance(annotation, types.UnionType):
        annotation = next(kind for kind in get_args(annotation) if kind is not types.NoneType)
    if get_origin(annotation) is tuple:
        return "list"
    if annotation in (bool, int, float):
        return {bool: "switch", int: "int", float: "float"}[annotation]
    if item.param.choices is not None:
        return "choice"
    return "colour" if item.name.endswith("_color") else "text"


def choices_of(item: ParamPath, services: Services) -> list[str] | None:
    """Return what can be chosen, None when anything can be typed."""
    choices = item.param.choices
    if isinstance(choices, tuple):
        return list(choices)
    known = _lists(services).get(choices or "")
    return None if known is None else list(known())


def _lists(services: Services) -> Mapping[str, Callable[[], Sequence[str]]]:
    return {
        "checkpoints": lambda: [one.title for one in services.checkpoints()],
        "vaes": lambda: ["Automatic", "None", *(one.model_name for one in services.vaes())],
        "upscalers": lambda: upscaler_names(services.upscalers()),
        "face_restorers": lambda: list(services.face_restorers()),
        "unets": lambda: ["Automatic", "None", *services.unets()],
        "loras": lambda: ["None", *(one.name for one in services.loras())],
        "hypernetworks": lambda: ["None", *services.hypernetworks()],
        "modules": lambda: [one.model_name for one in services.modules()],
        "samplers": lambda: [one.name for one in services.samplers()],
        "settings": partial(list, services.settings.snapshot().declarations()),
        "extras_steps": lambda: services.steps.names(EXTRAS),
        "main_steps": lambda: services.steps.names(MAIN),
        "tabs": lambda: list(LABELS),
        "blocks": lambda: list(BLOCKS),
        "localizations": lambda: [NONE, *services.localizations()],
        "infotext_keys": _infotext_keys,
    }


def _infotext_keys() -> list[str]:
    own = [item.param.infotext for item in declarations().values() if item.param.infotext]
    return sorted({*own, *(key for key in infotext_fields() if setting_of_infotext_key(key) is None)})


def save(values: Mapping[str, Any], context: UiContext) -> dict[str, Any]:
    """Change settings; what is acceptable is saved even when something else is not.

    Args:
        values: key -> new value.
        context: decides how far the page is trusted.

    Returns:
        `changed`, the keys with another value than before, and `refused`, key -> reason.

    Raises:
        InvalidRequest: too many keys.
    """
    if len(values) > MAX_KEYS:
        raise InvalidRequest(f"{len(values)} settings at once; at most {MAX_KEYS}")
    free = {key: value for key, value in values.items() if not (context.remote and key in RESTRICTED)}
    refused = {key: "may only be changed on the machine itself" for key in values if key not in free}
    try:
        return {"changed": _set(free, context), "refused": refused}
    except (InvalidRequest, StorageFault):
        # One of them is at fault; only trying each for itself tells which.
        changed: list[str] = []
        for key, value in free.items():
            try:
                changed += _set({key: value}, context)
            except (InvalidRequest, StorageFault) as error:
                refused[key] = str(error)
        return {"changed": sorted(changed), "refused": refused}


def _set(values: Mapping[str, Any], context: UiContext) -> list[str]:
    check_checkpoint(values, context.services.knows_checkpoint)
    return sorted(context.services.settings.set(values, by=context.caller))
