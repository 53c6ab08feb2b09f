"""A1111's names: there while the view is mounted, of the kind that extensions expect, and unknown ones raise."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.compat.zoo_house import ZooHouse, zoo_house

ABSENT: Mapping[str, str] = {
    "modules.ui_postprocessing.create_ui": "would build a second tab Extras; steps of extensions are in the page's own",
    "modules.ui_extra_networks.create_ui": "would build the cards a second time; pages of extensions are among the page's own",
    "modules.ui_extra_networks.setup_ui": "connects what `create_ui` builds",
}
"""Names of A1111 that extensions use and that are not there, and why. Only ever gets shorter."""

PACKAGES = ("ldm", "sgm", "k_diffusion", "lora", "networks")
ABSENT_THERE: Mapping[str, str] = {
    "ldm.modules.midas": "extensions bring this network themselves",
    "ldm.modules.image_degradation": "makes pictures worse for training upscalers",
    "ldm.modules.distributions": "encoding gives latents at once",
    "ldm.modules.ema": "of training",
    "ldm.models.diffusion.ddim": "a sampler apart from those of the program",
    "ldm.models.diffusion.sampling_util": "of that sampler",
    "ldm.models.autoencoder.IdentityFirstStage": "of training",
    "ldm.util.log_txt_as_img": "of training",
    "lora.lora_forward": "layers wear LoRAs in their weights; older versions of A1111 had it",
    "lora.": "attributes of the networks in the list, which the survey found on a variable called lora; Forge's functions",
    "networks.Inpaint_": "of an extension's own module of this name",
    "networks.load_lora_": "of Forge",
    "networks.mentioned_name": "an attribute of the networks in the list, found on a variable of this name",
    "networks.bundle_embeddings": "the same",
}
"""Beginnings of names in these packages that the survey counted and that are not there, and why."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    with zoo_house(tmp_path_factory.mktemp("names")) as found:
        found.txt2img()  # so that there is a model in memory
        yield found


@pytest.fixture(scope="module")
def survey(shared_dir: Path) -> Mapping[str, Any]:
    return json.loads((shared_dir / "spec" / "extension_api.json").read_text(encoding="utf-8"))


def wanted(survey: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for module, names in survey["python"].items():
        for name, about in names.items():
            if about["used_by"] and about["in_reference"] and f"{module}.{name}" not in ABSENT and name != "*":
                yield module, name, about


def found(module: str, name: str) -> Any:
    return reduce(getattr, name.split("."), importlib.import_module(module))


def is_there(module: str, name: str) -> bool:
    try:
        found(module, name)
    except (ImportError, AttributeError):
        return False
    return True


def test_every_name_that_extensions_use_is_there(house: ZooHouse, survey: Mapping[str, Any]):
    assert [f"{module}.{name}" for module, name, _ in wanted(survey) if not is_there(module, name)] == []
    assert [text for text in ABSENT if is_there(*text.rsplit(".", 1))] == []


def test_every_name_of_other_packages_that_extensions_use_is_there(house: ZooHouse, survey: Mapping[str, Any]):
    missing = {
        f"{module}.{name}"
        for module, about in survey["other_imports"].items()
        if module.split(".")[0] in PACKAGES
        for name in about["names"]
        if not is_there(module, name)
    }
    assert {text for text in missing if not text.startswith(tuple(ABSENT_THERE))} == set()
    assert [text for text in ABSENT_THERE if not any(one.startswith(text) for one in missing)] == []


def test_names_are_of_the_kind_that_extensions_expect(house: ZooHouse, survey: Mapping[str, Any]):
    checks = {
        "class": inspect.isclass, "function": callable, "method": callable, "module": inspect.ismodule,
        "dict": lambda value: isinstance(value, Mapping), "str": lambda value: isinstance(value, str | None),
        "list": lambda value: isinstance(value, list), "int": lambda value: isinstance(value, int),
        "bool": lambda value: isinstance(value, bool),
    }  # fmt: skip
    wrong = [
        f"{module}.{name} is no {about['kind']}"
        for module, name, about in wanted(survey)
        if about["kind"] in checks and not checks[about["kind"]](found(module, name))
    ]
    assert wrong == []


def test_functions_take_what_extensions_give_them(house: ZooHouse, survey: Mapping[str, Any]):
    wrong: list[str] = []
    for module, name, about in wanted(survey):
        if about["kind"] != "function" or not about["signature"]:
            continue
        words = re.findall(r"(?:^|, |\(|\*)(\w+)(?==|,|\)|$)", about["signature"].strip("()"))
        names = [word for word in words if word not in ("args", "kwargs", "unspecified")]
        known = inspect.signature(found(module, name)).parameters
        if any(one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL) for one in known.values()):
            continue
        wrong += [f"{module}.{name} takes no {word}" for word in names if word not in known]
    assert wrong == []


@pytest.mark.parametrize("kind", ["p_attributes", "processed_attributes"])
def test_jobs_and_results_have_the_attributes_that_are_read(house: ZooHouse, survey: Mapping[str, Any], kind: str):
    processing = importlib.import_module("modules.processing")
    jobs = (processing.StableDiffusionProcessingTxt2Img(), processing.StableDiffusionProcessingImg2Img())
    objects = jobs if kind == "p_attributes" else (processing.Processed(jobs[0], [], 1, "text"),)
    assert [name for name in survey[kind] if not any(hasattr(one, name) for one in objects) and not name.startswith("cached_")] == []  # fmt: skip


def test_state_and_options_answer(house: ZooHouse, survey: Mapping[str, Any]):
    shared = importlib.import_module("modules.shared")
    assert [name for name in survey["state"] if not hasattr(shared.state, name)] == []
    assert [key for key in survey["option_keys"] if key in BUILTIN and not hasattr(shared.opts, key)] == []
    assert not hasattr(shared.opts, "no_such_setting")
    assert shared.opts.data.get("no_such_setting", 3) == 3


BUILTIN = frozenset({
    "samples_format", "sd_model_checkpoint", "outdir_txt2img_grids", "outdir_samples", "outdir_grids",
    "img2img_background_color", "outdir_img2img_samples", "sd_vae", "grid_format", "outdir_txt2img_samples",
    "outdir_img2img_grids", "CLIP_stop_at_last_layers", "grid_save", "grid_extended_filename", "return_grid",
    "lora_functional", "font", "outdir_save", "sd_checkpoint_cache", "lora_preferred_name", "save_to_dirs",
    "save_images_add_number", "samples_filename_pattern", "img2img_color_correction", "save_init_img",
    "outdir_init_images", "enable_pnginfo", "multiple_tqdm", "samples_save", "img2img_fix_steps",
    "sd_checkpoint_hash", "sd_unet", "upcast_attn", "uni_pc_variant", "uni_pc_order", "temp_dir", "emphasis",
})  # fmt: skip


@pytest.mark.parametrize("module", ["shared", "processing", "scripts", "images", "script_callbacks", "sd_models"])
def test_unknown_names_raise(house: ZooHouse, module: str):
    with pytest.raises(AttributeError):
        importlib.import_module(f"modules.{module}").no_such_name  # noqa: B018
    with pytest.raises(ImportError):
        importlib.import_module("modules.no_such_module")
    with pytest.raises(ImportError):
        importlib.import_module("modules_forge")


def test_one_module_for_each_name(house: ZooHouse):
    import modules

    shared = importlib.import_module("modules.shared")
    assert isinstance(shared, ModuleType)
    assert shared.__name__ == "modules.shared"
    assert vars(modules)["shared"] is shared
    assert importlib.import_module("modules.sampling").__file__ != shared.__file__
    assert shared.options_templates is shared.opts.data_labels


def test_what_an_extension_assigns_is_seen_by_all(house: ZooHouse):
    devices: Any = importlib.import_module("modules.devices")
    before = devices.dtype_vae
    devices.dtype_vae = "half"
    try:
        assert importlib.import_module("modules.devices").dtype_vae == "half"
    finally:
        del devices.dtype_vae
    assert devices.dtype_vae == before


def test_nothing_of_it_is_there_before_and_after():
    code = (
        "import modules.app\n"
        "import importlib, sys\n"
        "for name in ('modules.shared', 'modules.scripts', 'launch'):\n"
        "    try:\n        importlib.import_module(name)\n    except ImportError:\n        continue\n"
        "    raise SystemExit(name)\n"
        "assert not any('legacy-names' in str(getattr(m, '__file__', '')) for m in sys.modules.values())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_package_has_its_modules_before_they_are_imported(house: ZooHouse):
    package: Any = importlib.import_module("modules")
    shared = package.shared
    vars(package).pop("shared")
    assert package.shared is shared
    assert isinstance(package.ui_settings, ModuleType)
    assert all(isinstance(one, ModuleType) for one in (package.textual_inversion.textual_inversion, package.api.models))
    assert not hasattr(package, "no_such_module")
