"""A1111's `/scripts` and `/script-info`: the scripts that a request can name, and their arguments in order."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from modules.domain.param import ParamPath, walk_params
from modules.domain.request import RefinerSpec, SamplingSpec, SeedSpec, SoftSpec
from modules.domain.scripts import ARGUMENTS, Argument
from modules.extending.script import IMG2IMG, TXT2IMG, Offer
from modules.extending.scripts import choices_of, parameters
from modules.web.rest.parts import SOFT_INPAINTING
from modules.web.rest.requests import StrictRoute, services_of
from modules.web.services import Services

Needs = Annotated[Services, Depends(services_of)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptInfo:
    """One script of one tab."""

    name: str
    is_alwayson: bool
    args: tuple[Argument, ...]


def script_list_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/sdapi/v1", route_class=StrictRoute, tags=["sdapi"])
    router.add_api_route("/scripts", scripts, methods=["GET"])
    router.add_api_route("/script-info", script_info, methods=["GET"])
    return router


def scripts(services: Needs) -> dict[str, list[str]]:
    """List the scripts that a request can name, by their titles in small letters."""
    return {
        "txt2img": [one.name for one in of_text(services)],
        "img2img": [one.name for one in of_pictures(services)],
    }


def script_info(services: Needs) -> list[dict[str, Any]]:
    """Describe the arguments of the scripts: first those of txt2img, then those of img2img."""
    tabs = ((False, of_text(services)), (True, of_pictures(services)))
    return [
        {
            "name": one.name,
            "is_alwayson": one.is_alwayson,
            "is_img2img": on_pictures,
            "args": [_told(a) for a in one.args],
        }
        for on_pictures, found in tabs
        for one in found
    ]


def of_text(services: Services) -> list[ScriptInfo]:
    """Return the scripts of txt2img."""
    return [*_of_extensions(services, TXT2IMG), *_fields(services)]


def of_pictures(services: Services) -> list[ScriptInfo]:
    """Return the scripts of img2img."""
    selectable = [ScriptInfo(name=name, is_alwayson=False, args=args) for name, args in ARGUMENTS.items()]
    return [*selectable, *_of_extensions(services, IMG2IMG), *_fields(services), _soft()]


def _of_extensions(services: Services, tab: str) -> Iterable[ScriptInfo]:
    """Yield the scripts of extensions; their arguments are their parameters in order."""
    for is_alwayson, found in ((False, services.scripts.selectable(tab)), (True, services.scripts.always(tab))):
        for one in found:
            own = choices_of(one, offer_of(services, tab, lists_of(services)))
            args = tuple(_of_param(item, services, own.get(name)) for name, item in parameters(one.Params).items())
            yield ScriptInfo(name=one.label.lower(), is_alwayson=is_alwayson, args=args)
    for name, is_alwayson, args in services.scripts.listed(tab):
        yield ScriptInfo(name=name, is_alwayson=is_alwayson, args=tuple(args))


def _of_param(item: ParamPath, services: Services, choices: Sequence[str] | None) -> Argument:
    about = item.param
    if choices is None:
        choices = about.choices if isinstance(about.choices, tuple) else lists_of(services).get(about.choices or "")
    low, high = about.slider or (about.ge, about.le)
    return Argument(
        label=about.label, default=item.default, minimum=low, maximum=high, step=about.step,
        choices=tuple(choices) if choices is not None else None,
    )  # fmt: skip


def lists_of(services: Services) -> dict[str, Sequence[str]]:
    """Return the lists that parameters of scripts may name."""
    return {
        "checkpoints": [one.title for one in services.checkpoints()],
        "vaes": [one.model_name for one in services.vaes()],
        "samplers": [one.name for one in services.samplers()],
        "schedulers": [one.label for one in services.schedulers()],
        "upscalers": ["None", *services.upscalers()],
    }


def offer_of(services: Services, tab: str, lists: Mapping[str, Sequence[str]]) -> Offer:
    """Return what scripts of a tab can offer to choose from at this moment."""
    return Offer(tab=tab, lists=lists, hooks=services.hooks, scripts=services.scripts.always(tab))


def _soft() -> ScriptInfo:
    numbers = [_argument(item) for item in walk_params(SoftSpec)]
    return ScriptInfo(
        name=SOFT_INPAINTING, is_alwayson=True, args=(Argument(label="Soft inpainting", default=False), *numbers)
    )


def _fields(services: Services) -> Iterable[ScriptInfo]:
    """Yield the scripts whose arguments A1111 ignores over the API, because they are plain fields of the request."""
    samplers = tuple(one.name for one in services.samplers())
    schedulers = tuple(one.label for one in services.schedulers())
    sampling, seed, refiner = _by_name(SamplingSpec), _by_name(SeedSpec), _by_name(RefinerSpec)
    yield ScriptInfo(
        name="seed", is_alwayson=True,
        args=(
            seed("seed"), Argument(label="Extra", default=False), seed("subseed"), seed("subseed_strength"),
            seed("seed_resize_from_w"), seed("seed_resize_from_h"),
        ),
    )  # fmt: skip
    yield ScriptInfo(
        name="refiner", is_alwayson=True,
        args=(Argument(label="Refiner", default=False), refiner("refiner_checkpoint"), refiner("refiner_switch_at")),
    )  # fmt: skip
    yield ScriptInfo(
        name="sampler", is_alwayson=True,
        args=(sampling("sampler_name", samplers), sampling("scheduler", schedulers), sampling("steps")),
    )  # fmt: skip


def _by_name(cls: type) -> Callable[..., Argument]:
    items = {item.name: item for item in walk_params(cls)}

    def named(name: str, choices: tuple[str, ...] | None = None) -> Argument:
        return _argument(items[name], choices)

    return named


def _argument(item: ParamPath, choices: tuple[str, ...] | None = None) -> Argument:
    low, high = item.param.slider or (None, None)
    default = item.default if isinstance(item.default, bool | int | float | str) else None
    return Argument(
        label=item.param.label, default=default, minimum=low, maximum=high, step=item.param.step, choices=choices
    )


def _told(one: Argument) -> dict[str, Any]:
    value = list(one.default) if isinstance(one.default, tuple) else one.default
    return {
        "label": one.label, "value": value, "minimum": one.minimum, "maximum": one.maximum, "step": one.step,
        "choices": list(one.choices) if one.choices is not None else None,
    }  # fmt: skip
