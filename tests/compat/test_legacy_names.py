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

USED_BY = 2
MISSING = frozenset({"modules.ui_extra_networks.extra_pages"})
"""Names that two or more extensions use and that are not there. Only ever gets shorter."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    with zoo_house(tmp_path_factory.mktemp("names")) as found:
        yield found


@pytest.fixture(scope="module")
def survey(shared_dir: Path) -> Mapping[str, Any]:
    return json.loads((shared_dir / "spec" / "extension_api.json").read_text(encoding="utf-8"))


def wanted(survey: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for module, names in survey["python"].items():
        for name, about in names.items():
            if about["used_by"] >= USED_BY and name != "*":
                yield module, name, about


def found(module: str, name: str) -> Any:
    return reduce(getattr, name.split("."), importlib.import_module(module))


def test_every_name_that_extensions_share_is_there(house: ZooHouse, survey: Mapping[str, Any]):
    missing: set[str] = set()
    for module, name, about in wanted(survey):
        try:
            found(module, name)
        except (ImportError, AttributeError):
            if about["in_reference"]:
                missing.add(f"{module}.{name}")
    assert missing == MISSING


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
        if about["in_reference"] and about["kind"] in checks and f"{module}.{name}" not in MISSING
        if not checks[about["kind"]](found(module, name))
    ]
    assert wrong == []


def test_functions_take_what_extensions_give_them(house: ZooHouse, survey: Mapping[str, Any]):
    wrong: list[str] = []
    for module, name, about in wanted(survey):
        if about["kind"] != "function" or not about["signature"] or f"{module}.{name}" in MISSING:
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
