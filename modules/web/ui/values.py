"""From the values of controls to a request. Values travel by the flat name they have in the API."""

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from modules.domain.errors import InvalidRequest, UnknownName
from modules.domain.param import ParamPath, walk_params
from modules.domain.request import Generation
from modules.settings.coerce import coerce
from modules.settings.infotext_keys import setting_of_infotext_key
from modules.settings.snapshot import Snapshot, declarations
from modules.web.rest.build import build
from modules.web.rest.translate import check_checkpoint, without_controls
from modules.web.services import Services

PROMPTS = ("prompt", "negative_prompt")
EXTRA_SEED = ("subseed", "subseed_strength", "seed_resize_from_w", "seed_resize_from_h")
"""Controls that count only while the Extra box is ticked."""
SUBSEED_SHOW = "subseed_show"
OVERRIDES = "override_settings"


@cache
def parameters() -> Mapping[str, ParamPath]:
    """Return flat name -> declaration of every parameter of a request."""
    return MappingProxyType({item.name: item for item in walk_params(Generation)})


def generation_of(values: Mapping[str, Any], services: Services, user: str | None) -> Generation:
    """Turn the values of controls into a request.

    Args:
        values: flat name -> what the browser sent, which may be anything.
        services: names are looked up here.
        user: login name, written to the request.

    Raises:
        InvalidRequest: a value that cannot be used; names the field.
    """
    settings = services.settings.snapshot()
    hidden = () if values.get(SUBSEED_SHOW) else EXTRA_SEED
    typed = {
        name: typed_value(name, value)
        for name, value in values.items()
        if name in parameters() and name not in hidden and value is not None
    }
    overrides = read_overrides(values.get(OVERRIDES) or ())
    check_checkpoint(overrides, services.knows_checkpoint)
    output = {"save_images": settings.saving.samples_save, "save_grid": settings.saving.grid_save, "user": user}
    more = {"overrides": MappingProxyType(overrides), "output": output}
    return build(Generation, typed, more)


def typed_value(name: str, value: Any) -> Any:
    """Check one value against the declaration of its parameter.

    Raises:
        InvalidRequest: wrong type or out of range; names the parameter.
    """
    if name in PROMPTS:
        if not isinstance(value, str):
            raise InvalidRequest(f"expected text, got {type(value).__name__}", field=name)
        return without_controls(value)
    return coerce(parameters()[name], value)


def read_overrides(entries: Sequence[Any]) -> dict[str, Any]:
    """Turn entries such as `Clip skip: 2` into settings for one run.

    Raises:
        UnknownName: no setting has this label.
        InvalidRequest: a value that its setting cannot take.
    """
    found: dict[str, Any] = {}
    for entry in entries:
        label, _, value = str(entry).partition(":")
        key = setting_of_infotext_key(label.strip())
        if key is None:
            raise UnknownName("Setting", label.strip(), field=OVERRIDES)
        found[key] = coerce(declarations()[key], value.strip())
    return found


def override_entries(settings: Mapping[str, Any]) -> list[str]:
    """Write settings for one run as entries that `read_overrides` reads back."""
    return [f"{declarations()[key].param.infotext or key}: {value}" for key, value in settings.items()]


def offered_samplers(settings: Snapshot, names: Sequence[str]) -> list[str]:
    """Return the samplers that the page offers: all but those the owner hides, and all if none were left."""
    shown = [name for name in names if name not in settings.sampler.hide_samplers]
    return shown or list(names)
