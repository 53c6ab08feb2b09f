"""A1111's X/Y/Z plot as extensions see it: a list of axes that they add theirs to, and the words to make them with.

The program has a plot of its own; what extensions added is offered there, and changes `p` where a run begins.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from pathlib import PurePath
from types import MappingProxyType, ModuleType
from typing import Any

from modules.compat import fold
from modules.compat.host import host
from modules.compat.mount import SCRIPTS
from modules.compat.scripts import OWN
from modules.domain.errors import InvalidRequest, WebuiError
from modules.domain.request import Generation
from modules.extending.axis_values import decimals, integers, reordered, split_csv
from modules.extending.script import BOTH, IMG2IMG, TXT2IMG
from modules.hooks.axes import Axis
from modules.hooks.points import AxesOffered

FILE = "xyz_grid.py"
ALIAS = "scripts.xyz_grid"
KEY = "a1111-axes"
"""Under which the request of one run carries what axes of extensions do to it: label -> (value, all values)."""
Apply = Callable[[Any, Any, Any], None]
"""(p, value, all values): changes `p`."""


def str_permutations(x: Any) -> Any:
    """Mark an axis whose values are all orders of what was typed."""
    return x


def format_value_add_label(p: Any, opt: Any, x: Any) -> str:
    """Write a value behind the name of its axis."""
    return f"{opt.label}: {round(x, 8) if isinstance(x, float) else x}"


def format_value(p: Any, opt: Any, x: Any) -> Any:
    """Write a value alone."""
    return round(x, 8) if isinstance(x, float) else x


def format_value_join_list(p: Any, opt: Any, x: Any) -> str:
    """Write a list."""
    return ", ".join(map(str, x))


def format_remove_path(p: Any, opt: Any, x: Any) -> str:
    """Write the name of a file."""
    return PurePath(str(x)).name


def format_nothing(p: Any, opt: Any, x: Any) -> str:
    """Write nothing."""
    return ""


def do_nothing(p: Any, x: Any, xs: Any) -> None:
    """Change nothing."""


def boolean_choice(reverse: bool = False) -> Callable[[], list[str]]:
    """Return what offers the words for on and off."""
    return lambda: ["False", "True"] if reverse else ["True", "False"]


def csv_string_to_list_strip(data_str: str) -> list[str]:
    """Split a text at commas."""
    return split_csv(data_str)


@dataclass(eq=False)
class AxisOption:
    """One thing that the plot can vary; extensions may change its attributes."""

    label: str
    type: Any
    apply: Apply
    format_value: Callable[[Any, Any, Any], Any] = format_value_add_label
    confirm: Callable[[Any, Any], None] | None = None
    cost: float = 0.0
    choices: Callable[[], Any] | None = None
    prepare: Callable[[str], Any] | None = None
    is_img2img: bool | None = None


class AxisOptionTxt2Img(AxisOption):
    """One that only txt2img has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_img2img = False


class AxisOptionImg2Img(AxisOption):
    """One that only img2img has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_img2img = True


def apply_field(field: str) -> Apply:
    """Return what sets an attribute of `p`."""
    return lambda p, x, xs: setattr(p, field, x)


def apply_override(field: str, boolean: bool = False) -> Apply:
    """Return what sets a setting for one run."""

    def apply(p: Any, x: Any, xs: Any) -> None:
        p.override_settings[field] = str(x).lower() == "true" if boolean else x

    return apply


def apply_prompt(p: Any, x: Any, xs: Any) -> None:
    """Put a text in the place of the first one.

    Raises:
        RuntimeError: the first one is nowhere.
    """
    if xs[0] not in p.prompt and xs[0] not in p.negative_prompt:
        raise RuntimeError(f"Prompt S/R did not find {xs[0]} in prompt or negative prompt.")
    p.prompt, p.negative_prompt = p.prompt.replace(xs[0], x), p.negative_prompt.replace(xs[0], x)


def apply_order(p: Any, x: Any, xs: Any) -> None:
    """Put parts of the prompt into another order."""
    p.prompt = reordered(p.prompt, x)


def apply_face_restore(p: Any, opt: Any, x: Any) -> None:
    """Switch the restoring of faces."""
    p.restore_faces = str(opt).lower() in ("codeformer", "gfpgan", "true", "yes", "y", "1")


def apply_styles(p: Any, x: Any, _: Any) -> None:
    """Add styles."""
    p.styles.extend(x.split(","))


def apply_checkpoint(p: Any, x: Any, xs: Any) -> None:
    """Choose a checkpoint.

    Raises:
        RuntimeError: there is none of this name.
    """
    confirm_checkpoints(p, [x])
    p.override_settings["sd_model_checkpoint"] = x


def apply_size(p: Any, x: Any, xs: Any) -> None:
    """Choose width and height."""
    width, _, height = str(x).partition("x")
    p.width, p.height = int(width.strip()), int(height.strip())


def confirm_samplers(p: Any, xs: Any) -> None:
    """Refuse samplers that are not there.

    Raises:
        RuntimeError: names the first one.
    """
    services = host().services()
    known = {name.lower() for one in services.samplers() for name in (one.name, *one.aliases)}
    _confirm("sampler", xs, lambda name: name.lower() in known)


def confirm_checkpoints(p: Any, xs: Any) -> None:
    """Refuse checkpoints that are not there; see `confirm_samplers`."""
    _confirm("checkpoint", xs, lambda name: host().catalog.find(name) is not None)


def confirm_checkpoints_or_none(p: Any, xs: Any) -> None:
    """Refuse checkpoints that are not there; see `confirm_samplers`."""
    _confirm("checkpoint", xs, lambda name: name in (None, "", "None", "none") or host().catalog.find(name) is not None)


def confirm_range(min_val: float, max_val: float, axis_label: str) -> Callable[[Any, Any], None]:
    """Return what refuses numbers out of a range."""

    def confirm(p: Any, xs: Any) -> None:
        for x in xs:
            if not min_val <= x <= max_val:
                raise ValueError(f'{axis_label} value "{x}" out of range [{min_val}, {max_val}]')

    return confirm


def _confirm(what: str, names: Any, known: Callable[[Any], bool]) -> None:
    wrong = next((name for name in names if not known(name)), None)
    if wrong is not None:
        raise RuntimeError(f"Unknown {what}: {wrong}")


def own_options() -> list[AxisOption]:
    """Return A1111's own axes. The program has its own of these names; here they can be looked at and borrowed."""
    both, text, image, field, option = AxisOption, AxisOptionTxt2Img, AxisOptionImg2Img, apply_field, apply_override
    switched = partial(apply_override, boolean=True)
    return [
        both("Nothing", str, do_nothing, format_value=format_nothing),
        both("Seed", int, field("seed")), both("Var. seed", int, field("subseed")),
        both("Var. strength", float, field("subseed_strength")), both("Steps", int, field("steps")),
        text("Hires steps", int, field("hr_second_pass_steps")), both("CFG Scale", float, field("cfg_scale")),
        image("Image CFG Scale", float, field("image_cfg_scale")),
        both("Prompt S/R", str, apply_prompt, format_value=format_value),
        both("Prompt order", str_permutations, apply_order, format_value=format_value_join_list),
        both("Sampler", str, field("sampler_name"), format_value=format_value, confirm=confirm_samplers),
        text("Hires sampler", str, field("hr_sampler_name"), confirm=confirm_samplers),
        both("Checkpoint name", str, apply_checkpoint, format_remove_path, confirm_checkpoints, 1.0),
        both("Negative Guidance minimum sigma", float, field("s_min_uncond")),
        both("Sigma Churn", float, field("s_churn")), both("Sigma min", float, field("s_tmin")),
        both("Sigma max", float, field("s_tmax")), both("Sigma noise", float, field("s_noise")),
        both("Schedule type", str, field("scheduler")), both("Schedule min sigma", float, option("sigma_min")),
        both("Schedule max sigma", float, option("sigma_max")), both("Schedule rho", float, option("rho")),
        both("Beta schedule alpha", float, option("beta_dist_alpha")),
        both("Beta schedule beta", float, option("beta_dist_beta")), both("Eta", float, field("eta")),
        both("Clip skip", int, option("CLIP_stop_at_last_layers")),
        both("Denoising", float, field("denoising_strength")),
        both("Initial noise multiplier", float, field("initial_noise_multiplier")),
        both("Extra noise", float, option("img2img_extra_noise")),
        text("Hires upscaler", str, field("hr_upscaler")),
        image("Cond. Image Mask Weight", float, option("inpainting_mask_weight")),
        both("VAE", str, option("sd_vae"), cost=0.7), both("Styles", str, apply_styles),
        both("UniPC Order", int, option("uni_pc_order"), cost=0.5),
        both("Face restore", str, apply_face_restore, format_value=format_value),
        both("Token merging ratio", float, option("token_merging_ratio")),
        both("Token merging ratio high-res", float, option("token_merging_ratio_hr")),
        both("Always discard next-to-last sigma", str, switched("always_discard_next_to_last_sigma")),
        both("SGM noise multiplier", str, switched("sgm_noise_multiplier")),
        both("Refiner checkpoint", str, field("refiner_checkpoint"), format_remove_path, confirm_checkpoints_or_none, 1.0),
        both("Refiner switch at", float, field("refiner_switch_at")), both("RNG source", str, option("randn_source")),
        both("FP8 mode", str, option("fp8_storage"), cost=0.9), both("Size", str, apply_size),
    ]  # fmt: skip


def open_module() -> None:
    """Make the module that extensions look for, and put it among the scripts that were loaded."""
    path = SCRIPTS / FILE
    spec = importlib.util.spec_from_file_location(FILE, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[FILE] = sys.modules[ALIAS] = module
    spec.loader.exec_module(module)
    host().scripts.register(module, str(path), OWN)


def axes_offered(payload: AxesOffered) -> AxesOffered | None:
    """Offer what extensions added."""
    module = sys.modules.get(FILE)
    if module is None:
        return None
    # A client of the API names axes by their places: A1111's come first, then those of extensions.
    own = [axis for axis in payload.axes if axis.label in module.own_labels]
    more = [axis for axis in payload.axes if axis.label not in module.own_labels]
    added = [option for option in module.axis_options if option.label not in module.own_labels]
    return replace(payload, axes=(*own, *(_axis(one) for one in added if payload.tab in _tabs(one)), *more))


def apply_axes(p: Any, request: Generation) -> None:
    """Let the axes of extensions change a job that is about to begin.

    Raises:
        InvalidRequest: one of them failed; names it.
    """
    asked = request.scripts.get(KEY)
    if not asked:
        return
    options = {option.label: option for option in _module().axis_options}
    for label, (value, values) in asked.items():
        if label in options:
            _call(label, options[label].apply, p, value, values)


def _module() -> ModuleType:
    return sys.modules[FILE]


def _tabs(option: Any) -> tuple[str, ...]:
    wanted = getattr(option, "is_img2img", None)
    return BOTH if wanted is None else (IMG2IMG,) if wanted else (TXT2IMG,)


def _axis(option: Any) -> Axis:
    """Make an axis of the program's plot of one that an extension added."""
    return Axis(
        label=str(option.label), apply=partial(_recorded, option.label), read=partial(_read, option),
        tabs=_tabs(option), choices=None if option.choices is None else partial(_choices, option),
        check=partial(_check, option), show=partial(_shown, option), split=option.prepare, cost=float(option.cost or 0),
    )  # fmt: skip


def _recorded(label: str, request: Generation, value: Any, values: Sequence[Any]) -> Generation:
    asked = MappingProxyType({**request.scripts.get(KEY, {}), label: (value, values)})
    return replace(request, scripts=MappingProxyType({**request.scripts, KEY: asked}))


def _read(option: Any, entries: Sequence[str]) -> Sequence[Any]:
    if option.type is int:
        return integers(entries)
    if option.type is float:
        return decimals(entries)
    if option.type is str_permutations:
        return [list(order) for order in permutations(entries)]
    return [option.type(entry) for entry in entries]


def _choices(option: Any) -> list[str]:
    return [str(entry) for entry in option.choices()]


def _check(option: Any, request: Generation, values: Sequence[Any]) -> None:
    if option.confirm is not None:
        _call(option.label, option.confirm, fold.job_object(request), values)


def _shown(option: Any, request: Generation, value: Any) -> str:
    return str(_call(option.label, option.format_value, fold.job_object(request), option, value))


def _call(label: str, call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except WebuiError:
        raise
    except Exception as error:
        raise InvalidRequest(f"{label}: {error}", field="script_args") from error
