"""A1111's request into ours. Each of its habits has one function here, and none gets further."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException

from modules.domain.errors import InvalidRequest, UnknownName, UnsupportedFeature
from modules.domain.param import walk_params
from modules.domain.request import Generation, ScriptCall, SoftSpec
from modules.domain.scripts import READERS, read_script
from modules.extending.script import IMG2IMG, TXT2IMG
from modules.extending.scripts import Scripts
from modules.imaging.infotext_parse import parse_infotext
from modules.imaging.infotext_styles import StyleTexts
from modules.library.vaes import AUTOMATIC, NONE
from modules.settings.infotext_keys import settings_in_infotext
from modules.settings.snapshot import Snapshot
from modules.web.rest.build import build
from modules.web.rest.parts import SOFT_INPAINTING, parts_of, size_of_first_image
from modules.web.rest.pictures import Pictures
from modules.web.rest.schema import MakeBody, params
from modules.web.services import SamplerChoice, Services

INERT_SCRIPTS = frozenset({"sampler", "seed", "refiner"})
"""A1111's always-on scripts that do nothing when called over the API: their values are plain fields."""
IMG2IMG_SCRIPTS = frozenset({SOFT_INPAINTING})
"""A1111's always-on scripts that are features of img2img here."""

_Asked = Mapping[str, Any]
_INFOTEXT_FIELDS: Mapping[str, str] = MappingProxyType({
    "Prompt": "prompt",
    "Styles array": "styles",
    "Size-1": "width",
    "Size-2": "height",
    "Seed resize from-1": "seed_resize_from_w",
    "Seed resize from-2": "seed_resize_from_h",
    "Denoising strength": "denoising_strength",
    "Hires upscale": "hr_scale",
    "Hires upscaler": "hr_upscaler",
    "Hires checkpoint": "hr_checkpoint_name",
    "Hires sampler": "hr_sampler_name",
    "Hires schedule type": "hr_scheduler",
    "Hires CFG Scale": "hr_cfg",
    "Hires prompt": "hr_prompt",
    "Hires negative prompt": "hr_negative_prompt",
    "Hires steps": "hr_second_pass_steps",
    "Hires resize-1": "hr_resize_x",
    "Hires resize-2": "hr_resize_y",
    "Refiner": "refiner_checkpoint",
    "Refiner switch at": "refiner_switch_at",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A body, and what was made of it."""

    body: MakeBody
    """With the fields that `infotext` filled in; the answer echoes it."""
    generation: Generation
    warnings: tuple[str, ...]
    kept: Mapping[str, Any]
    """Overridden settings that are to hold after the request, too."""


def understand(body: MakeBody, services: Services, user: str | None) -> Understood:
    """Turn a body into a request.

    Raises:
        InvalidRequest: a value that cannot be used; names the field.
        UnsupportedFeature: something A1111 has and this program has not.
        HTTPException: a script that does not exist.
    """
    pictures = Pictures.of(services)
    settings = pictures.settings
    check_names(body.model_dump()["override_settings"] or {}, services, field="override_settings")
    body = with_infotext(body, settings, services.styles())
    asked = body.model_dump()
    if asked["restore_faces"] and not services.face_restorers():
        raise UnsupportedFeature("Face restoration", field="restore_faces")
    refuse_scripts(asked, services.scripts)
    overrides: dict[str, Any] = asked["override_settings"] or {}
    services.settings.overridden(overrides, by="api")
    check_checkpoint(overrides, services.knows_checkpoint)
    choice = choose_sampler(asked, services.choose_sampler, strict=settings.api.api_strict_names)
    values = {name: asked[name] for name in params()}
    values.update(
        prompt=clean_prompt(asked["prompt"]), negative_prompt=clean_prompt(asked["negative_prompt"]),
        styles=tuple(asked["styles"] or ()), sampler_name=choice.sampler, scheduler=choice.scheduler,
    )  # fmt: skip
    save = asked["save_images"]
    more = {
        "overrides": MappingProxyType(without_idle_format(overrides, save_images=save)),
        "output": {"save_images": save, "save_grid": save, "user": user},
        **parts_of(asked, pictures, services.knows_checkpoint, services.upscalers()),
        "extra_networks": not asked["disable_extra_networks"],
        "script": script_of(asked, services.scripts),
        "scripts": services.scripts.asked(tab_of(asked), asked["alwayson_scripts"]),
    }
    values.update(first_pass_size(asked) or size_of_first_image(asked, pictures))
    generation = build(Generation, values, more)
    return Understood(body=body, generation=generation, warnings=choice.warnings, kept=kept_overrides(asked))


def kept_overrides(asked: _Asked) -> Mapping[str, Any]:
    """Return the overridden settings that A1111 would not put back."""
    return MappingProxyType({} if asked["override_settings_restore_afterwards"] else asked["override_settings"] or {})


def first_pass_size(asked: _Asked) -> dict[str, int]:
    """Read the size of the first pass from its old fields, which A1111 obeys with and without a hires pass."""
    old = {"width": asked.get("firstphase_width", 0), "height": asked.get("firstphase_height", 0)}
    return old if any(old.values()) else {}


def with_infotext(body: MakeBody, settings: Snapshot, styles: Sequence[StyleTexts]) -> MakeBody:
    """Fill the fields that the request left out from its `infotext`; settings in it become overrides.

    Raises:
        LimitExceeded: the text is too long.
        InvalidRequest: a value that does not fit its field; names the key of the text.
    """
    given = body.model_dump(exclude_unset=True)
    text = given.get("infotext")
    if not text:
        return body
    rules = settings.infotext
    parsed = parse_infotext(
        text, styles=styles, styles_mode=rules.infotext_styles, skip=rules.infotext_skip_pasting,
        backcompat=settings.compatibility.auto_backcompat,
    )  # fmt: skip
    known = type(body).model_fields
    keys = {api: key for key, api in infotext_fields().items() if key in parsed and api in known and api not in given}
    pasted = {api: parsed[key] for api, key in keys.items()}
    if asks_for_hires(parsed) and "enable_hr" in known and "enable_hr" not in given:
        pasted["enable_hr"] = True
    scripts: dict[str, Any] = given.get("alwayson_scripts", {})
    if "init_images" in known and not any(title.lower() == SOFT_INPAINTING for title in scripts):
        scripts = scripts | soft_in_infotext(parsed)
    overrides = {**settings_in_infotext(parsed, settings), **given.get("override_settings", {})}
    try:
        filled = {**pasted, **given, "override_settings": overrides or None, "alwayson_scripts": scripts}
        return type(body).model_validate(filled)
    except ValidationError as error:
        first = error.errors()[0]
        key = keys.get(str(first["loc"][0]), str(first["loc"][0]))
        raise InvalidRequest(f"{key}: {first['msg']}", field="infotext") from None


def infotext_fields() -> dict[str, str]:
    """Return infotext key -> API field, for everything a parameters text can fill in."""
    declared = {item.param.infotext: name for name, item in params().items() if item.param.infotext}
    return {**declared, **_INFOTEXT_FIELDS}


def soft_in_infotext(parsed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of `alwayson_scripts` for soft inpainting that a parameters text asks for; {} when it does not.

    Raises:
        InvalidRequest: a value that is no number; names the key of the text.
    """
    if parsed.get("Soft inpainting enabled") != "True":
        return {}
    args: list[Any] = [True]
    for item in walk_params(SoftSpec):
        given = parsed.get(item.param.infotext or "", item.default)
        try:
            args.append(float(given))
        except ValueError:
            raise InvalidRequest(f"{item.param.infotext}: {given!r:.50} is no number", field="infotext") from None
    return {SOFT_INPAINTING: {"args": args}}


def asks_for_hires(parsed: Mapping[str, Any]) -> bool:
    """Tell whether a parameters text comes from a picture with a hires pass."""
    resized = any(str(parsed.get(key, 0)) not in ("0", "") for key in ("Hires resize-1", "Hires resize-2"))
    return "Denoising strength" in parsed and ("Hires upscale" in parsed or "Hires upscaler" in parsed or resized)


def tab_of(asked: _Asked) -> str:
    """Return the tab whose scripts a request may name."""
    return IMG2IMG if "init_images" in asked else TXT2IMG


def refuse_scripts(asked: Mapping[str, Any], scripts: Scripts) -> None:
    """Refuse the names of scripts that do not exist, in A1111's words."""
    tab, on_picture = tab_of(asked), "init_images" in asked
    name = asked["script_name"]
    known = (on_picture and (name or "").lower() in READERS) or scripts.knows_selectable(name or "", tab)
    names = [name] if name and not known else []
    own = INERT_SCRIPTS | (IMG2IMG_SCRIPTS if on_picture else frozenset[str]())
    names += [
        title for title in asked["alwayson_scripts"] if title.lower() not in own and not scripts.knows(title, tab)
    ]
    for name in names:
        raise HTTPException(422, f"Script '{name[:200]}' not found")


def script_of(asked: _Asked, scripts: Scripts) -> ScriptCall | None:
    """Read the script that is to run.

    Raises:
        InvalidRequest: its arguments cannot be used.
    """
    if not asked["script_name"]:
        return None
    call = ScriptCall(name=asked["script_name"], args=tuple(asked["script_args"]))
    if not scripts.check_call(call, tab_of(asked)):
        read_script(call)
    return call


def check_names(values: Mapping[str, Any], services: Services, *, field: str) -> None:
    """Refuse settings that name a file which is not there; what is set already may stay.

    A text that came with a picture is not as strict: it may name a VAE that only its author has.

    Raises:
        UnknownName: with the names there are.
    """
    check_checkpoint(values, services.knows_checkpoint, field=field)
    name, known = values.get("sd_vae"), [AUTOMATIC, NONE, *(one.model_name for one in services.vaes())]
    if isinstance(name, str) and name not in known and name != services.settings.snapshot().vae.sd_vae:
        raise UnknownName("VAE", name, known, field=field)


def check_checkpoint(
    values: Mapping[str, Any], knows: Callable[[str], bool], *, field: str = "override_settings"
) -> None:
    """Refuse a checkpoint that is not there, before anything is queued.

    Raises:
        UnknownName: it is not there.
    """
    name = values.get("sd_model_checkpoint")
    if isinstance(name, str) and name and not knows(name):
        raise UnknownName("Checkpoint", name, field=field)


def choose_sampler(
    asked: Mapping[str, Any], find: Callable[[str, str], SamplerChoice], *, strict: bool
) -> SamplerChoice:
    """Find sampler and schedule: `sampler_name`, else `sampler_index`; a schedule may be part of the name.

    Raises:
        HTTPException: an unknown name, when the setting `api_strict_names` is on.
    """
    name = asked["sampler_name"] or asked["sampler_index"]
    choice = find(name or "Euler", asked["scheduler"] or "Automatic")
    if strict and not choice.known:
        raise HTTPException(400, "Sampler not found")
    return choice


def without_idle_format(overrides: Mapping[str, Any], *, save_images: bool) -> dict[str, Any]:
    """Leave `samples_format` out when nothing is saved: in A1111 it then has no effect on the answer either."""
    return {key: value for key, value in overrides.items() if save_images or key != "samples_format"}


def clean_prompt(given: str | list[str]) -> str | tuple[str, ...]:
    """Clean one prompt, or each of a list with one for every picture."""
    return without_controls(given) if isinstance(given, str) else tuple(without_controls(text) for text in given)


_CONTROLS = {code: None for code in (*range(32), 127) if chr(code) not in "\t\n"}


def without_controls(text: str) -> str:
    """Remove control characters, which no prompt means; line ends become plain."""
    return text.replace("\r\n", "\n").translate(_CONTROLS)
