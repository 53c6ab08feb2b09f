"""What the plot can vary: A1111's axes in A1111's order, then the parameters of always-on scripts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from modules.domain.errors import InvalidRequest, UnsupportedFeature
from modules.domain.param import ParamPath
from modules.domain.request import Generation, RefinerSpec, Size
from modules.extending.axis_values import WORDS, decimals, integers, orders, reordered, sizes, switches, texts
from modules.extending.script import ENABLED, IMG2IMG, TXT2IMG, Script
from modules.extending.scripts import parameters, read_values
from modules.hooks.axes import Apply, Axis
from modules.hooks.dispatch import Hooks
from modules.hooks.points import AxesOffered

NOTHING, SEED, VARIATION_SEED = "Nothing", "Seed", "Var. seed"
ON_OFF = ("True", "False")
FIELD = "script_args"
FACE_RESTORERS = ("codeformer", "gfpgan", *(word for word, on in WORDS.items() if on))
REFINER_SWITCH = 0.8
"""Where a refiner that only the plot asks for begins, as in the page."""


def offered(tab: str, hooks: Hooks, scripts: Iterable[Script]) -> tuple[Axis, ...]:
    """Return the axes of a tab.

    Args:
        tab: txt2img or img2img.
        hooks: handlers that may change them.
        scripts: always-on scripts of the tab, whose parameters are axes too.
    """
    own = (*AXES, *(axis for script in scripts for axis in of_script(script)))
    return hooks.run(AxesOffered(tab=tab, axes=tuple(axis for axis in own if tab in axis.tabs))).axes


def find(axes: Sequence[Axis], named: Any, where: str) -> Axis:
    """Find an axis by its place or its label.

    Raises:
        InvalidRequest: there is none.
    """
    if isinstance(named, int) and not isinstance(named, bool) and 0 <= named < len(axes):
        return axes[named]
    found = next((one for one in axes if isinstance(named, str) and one.label.lower() == named.strip().lower()), None)
    if found is None:
        raise InvalidRequest(f"{where} type: there is no axis {named!r:.50} in this tab", field=FIELD)
    return found


def put(value: Any, path: Sequence[str], new: Any) -> Any:
    """Return a copy of nested dataclasses with one field changed; a part that is not there stays away."""
    assert is_dataclass(value)
    assert not isinstance(value, type)
    first, *rest = path
    part = getattr(value, first)
    if rest and part is None:
        return value
    return replace(value, **{first: put(part, rest, new) if rest else new})


def field(*path: str) -> Apply:
    """Change a field of the request."""
    return lambda request, value, _: put(request, path, value)


def setting(key: str) -> Apply:
    """Change a setting for one run."""

    def apply(request: Generation, value: Any, _values: Sequence[Any]) -> Generation:
        return replace(request, overrides=MappingProxyType({**request.overrides, key: value}))

    return apply


def show_value(_request: Generation, value: Any) -> str:
    """Write a value without the name of the axis."""
    return str(value)


def show_file(_request: Generation, value: Any) -> str:
    """Write the name of a file without its folders."""
    return PurePath(str(value).replace("\\", "/")).name


def _show_order(_request: Generation, value: Any) -> str:
    return ", ".join(value)


def _show_size(_request: Generation, value: Size) -> str:
    return f"Size: {value.width}x{value.height}"


def _prompts(request: Generation) -> Iterator[str]:
    hires = (request.hires.prompt, request.hires.negative_prompt) if request.hires else ()
    for text in (request.prompt, request.negative_prompt, *hires):
        yield from (text,) if isinstance(text, str) else text


def _in_texts(change: Callable[[str], str], request: Generation, *, negative: bool = True) -> Generation:
    """Change the prompts of a request."""

    def changed(text: Any) -> Any:
        return change(text) if isinstance(text, str) else tuple(change(one) for one in text)

    names = ("prompt", "negative_prompt") if negative else ("prompt",)
    request = replace(request, **{name: changed(getattr(request, name)) for name in names})
    for name in names if request.hires is not None else ():
        request = put(request, ("hires", name), changed(getattr(request.hires, name)))
    return request


def _search_replace(request: Generation, value: Any, values: Sequence[Any]) -> Generation:
    return _in_texts(lambda text: text.replace(values[0], value), request)


def _found_in_prompt(request: Generation, values: Sequence[Any]) -> None:
    if not values[0] or not any(values[0] in text for text in _prompts(request)):
        raise InvalidRequest(f"Prompt S/R did not find {values[0][:100]!r} in prompt or negative prompt", field=FIELD)


def _all_found(request: Generation, values: Sequence[Any]) -> None:
    missing = next(
        (part for part in values[0] if not part or not any(part in text for text in _prompts(request))), None
    )
    if missing is not None:
        raise InvalidRequest(f"Prompt order did not find {missing[:100]!r} in the prompt", field=FIELD)


def _reorder(request: Generation, value: Any, _values: Sequence[Any]) -> Generation:
    return _in_texts(lambda text: reordered(text, value), request, negative=False)


def _styles(request: Generation, value: str, _values: Sequence[Any]) -> Generation:
    more = [name.strip() for name in value.split(",") if name.strip()]
    return replace(request, styles=(*request.styles, *more))


def _denoising(request: Generation, value: float, _values: Sequence[Any]) -> Generation:
    return put(request, ("init" if request.init else "hires", "denoising_strength"), value)


def _initial_noise(request: Generation, value: float, values: Sequence[Any]) -> Generation:
    if request.init is not None:
        return put(request, ("init", "noise_multiplier"), value)
    return setting("initial_noise_multiplier")(request, value, values)


def _uni_pc_order(request: Generation, value: int, values: Sequence[Any]) -> Generation:
    return setting("uni_pc_order")(request, max(min(value, request.sampling.steps - 1), 1), values)


def _refiner(request: Generation, value: str, _values: Sequence[Any]) -> Generation:
    if value in ("", "None"):
        return replace(request, refiner=None)
    known = request.refiner or RefinerSpec(checkpoint=value, switch_at=REFINER_SWITCH)
    return replace(request, refiner=replace(known, checkpoint=value))


def _no_faces(_request: Generation, values: Sequence[Any]) -> None:
    if any(str(value).lower() in FACE_RESTORERS for value in values):
        raise UnsupportedFeature("face restoration", field=FIELD)


def _nothing(request: Generation, _value: Any, _values: Sequence[Any]) -> Generation:
    return request


AXES: tuple[Axis, ...] = (
    Axis(label=NOTHING, apply=_nothing, read=lambda _: [None], show=lambda *_: ""),
    Axis(label=SEED, apply=field("seed", "seed"), read=integers),
    Axis(label=VARIATION_SEED, apply=field("seed", "subseed"), read=integers),
    Axis(label="Var. strength", apply=field("seed", "subseed_strength"), read=decimals),
    Axis(label="Steps", apply=field("sampling", "steps"), read=integers),
    Axis(label="Hires steps", apply=field("hires", "steps"), read=integers, tabs=(TXT2IMG,)),
    Axis(label="CFG Scale", apply=field("guidance", "cfg_scale"), read=decimals),
    Axis(label="Image CFG Scale", apply=field("init", "image_cfg_scale"), read=decimals, tabs=(IMG2IMG,)),
    Axis(label="Prompt S/R", apply=_search_replace, read=texts, check=_found_in_prompt, show=show_value),
    Axis(label="Prompt order", apply=_reorder, read=orders, check=_all_found, show=_show_order),
    Axis(label="Sampler", apply=field("sampling", "sampler"), read=texts, choices="samplers", show=show_value),
    Axis(label="Hires sampler", apply=field("hires", "sampler"), read=texts, choices="samplers", tabs=(TXT2IMG,)),
    Axis(label="Checkpoint name", apply=field("model", "checkpoint"), read=texts, choices="checkpoints", show=show_file, cost=1.0),
    Axis(label="Negative Guidance minimum sigma", apply=field("guidance", "s_min_uncond"), read=decimals),
    Axis(label="Sigma Churn", apply=field("sampling", "s_churn"), read=decimals),
    Axis(label="Sigma min", apply=field("sampling", "s_tmin"), read=decimals),
    Axis(label="Sigma max", apply=field("sampling", "s_tmax"), read=decimals),
    Axis(label="Sigma noise", apply=field("sampling", "s_noise"), read=decimals),
    Axis(label="Schedule type", apply=field("sampling", "scheduler"), read=texts, choices="schedulers"),
    Axis(label="Schedule min sigma", apply=setting("sigma_min"), read=decimals),
    Axis(label="Schedule max sigma", apply=setting("sigma_max"), read=decimals),
    Axis(label="Schedule rho", apply=setting("rho"), read=decimals),
    Axis(label="Beta schedule alpha", apply=setting("beta_dist_alpha"), read=decimals),
    Axis(label="Beta schedule beta", apply=setting("beta_dist_beta"), read=decimals),
    Axis(label="Eta", apply=field("sampling", "eta"), read=decimals),
    Axis(label="Clip skip", apply=setting("CLIP_stop_at_last_layers"), read=integers),
    Axis(label="Denoising", apply=_denoising, read=decimals),
    Axis(label="Initial noise multiplier", apply=_initial_noise, read=decimals),
    Axis(label="Extra noise", apply=setting("img2img_extra_noise"), read=decimals),
    Axis(label="Hires upscaler", apply=field("hires", "upscaler"), read=texts, choices="hires_upscalers", tabs=(TXT2IMG,)),
    Axis(label="Cond. Image Mask Weight", apply=setting("inpainting_mask_weight"), read=decimals, tabs=(IMG2IMG,)),
    Axis(label="VAE", apply=field("model", "vae"), read=texts, choices="vaes", cost=0.7),
    Axis(label="Styles", apply=_styles, read=texts, choices="styles"),
    Axis(label="UniPC Order", apply=_uni_pc_order, read=integers, cost=0.5),
    Axis(label="Face restore", apply=_nothing, read=texts, check=_no_faces, show=show_value),
    Axis(label="Token merging ratio", apply=setting("token_merging_ratio"), read=decimals),
    Axis(label="Token merging ratio high-res", apply=setting("token_merging_ratio_hr"), read=decimals),
    Axis(label="Always discard next-to-last sigma", apply=setting("always_discard_next_to_last_sigma"), read=switches, choices=ON_OFF),
    Axis(label="SGM noise multiplier", apply=setting("sgm_noise_multiplier"), read=switches, choices=ON_OFF),
    Axis(label="Refiner checkpoint", apply=_refiner, read=texts, choices="refiner_checkpoints", show=show_file, cost=1.0),
    Axis(label="Refiner switch at", apply=field("refiner", "switch_at"), read=decimals),
    Axis(label="RNG source", apply=setting("randn_source"), read=texts, choices=("GPU", "CPU", "NV")),
    Axis(label="FP8 mode", apply=setting("fp8_storage"), read=texts, choices=("Disable", "Enable for SDXL", "Enable"), cost=0.9),
    Axis(label="Size", apply=field("size"), read=sizes, show=_show_size),
)  # fmt: skip
"""A client of the API names an axis by its place among those of its tab."""


def of_script(script: Script) -> Iterator[Axis]:
    """Yield the parameters of an always-on script that have one value each; varying one switches the script on."""
    for name, item in parameters(script.Params).items():
        reader = _reader(item)
        if name == ENABLED or reader is None:
            continue
        fixed = item.param.choices or (ON_OFF if reader is switches else None)
        yield Axis(
            label=f"[{script.label}] {item.param.label}", apply=_parameter(script, name), read=reader, tabs=script.tabs,
            choices=fixed,
        )  # fmt: skip


def _reader(item: ParamPath) -> Callable[[Sequence[str]], Sequence[Any]] | None:
    known: Mapping[Any, Any] = {bool: switches, int: integers, float: decimals, str: texts}
    return known.get(item.annotation)


def _parameter(script: Script, name: str) -> Apply:
    def apply(request: Generation, value: Any, _values: Sequence[Any]) -> Generation:
        switch = {ENABLED: True} if ENABLED in parameters(script.Params) else {}
        values = read_values(script, {**request.scripts.get(script.id, {}), **switch, name: value})
        return replace(request, scripts=MappingProxyType({**request.scripts, script.id: values}))

    return apply
