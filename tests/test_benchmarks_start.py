"""The benchmarks run at their smallest setting and tell what they promise."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = (
    "run",
    "cold_start",
    "gpu_models",
    "load_time",
    "loop_overhead",
    "lora_switch",
    "request_overhead",
    "sampler_cost",
    "unet_step",
)


def run(*arguments: str) -> str:
    command = [sys.executable, "-W", "ignore", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def measured(name: str, *options: str) -> dict[str, Any]:
    return json.loads(run("-m", f"benchmarks.{name}", *options))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_says_what_it_does(name: str):
    assert "usage:" in run(f"benchmarks/{name}.py" if name in ("run", "cold_start") else "-m", *_module(name), "--help")


def _module(name: str) -> tuple[str, ...]:
    return () if name in ("run", "cold_start") else (f"benchmarks.{name}",)


@pytest.mark.slow
def test_the_loop_is_measured():
    found = measured("loop_overhead", "--rounds", "3", "--steps", "40", "--peers", "k_diffusion")["DPM++ 2M"]
    assert found["ours"]["us_per_step"]["min"] > 0


@pytest.mark.slow
def test_a_request_and_a_png_are_measured():
    found = measured("request_overhead", "--requests", "2", "--side", "64", "--rounds", "1", "--port", "17897")
    assert found["txt2img_ms"]["min"] > 0
    assert found["png"]["size_ours/pillow"] < 1.5


@pytest.mark.slow
def test_samplers_and_a_request_are_measured_on_the_shipped_checkpoint():
    options = ("--requests", "1", "--rounds", "1", "--steps", "2", "--samplers", "Heun", "--port", "17898")
    found = measured("sampler_cost", *options)
    assert list(found["samplers"]) == ["Euler", "Heun"]
    assert found["samplers"]["Heun"]["calls_per_step"] == 1.5
    assert found["request"]["wall/networks"]["min"] > 1


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["sd1", "sdxl"])
def test_loading_is_measured_for_both_layouts(layout: str):
    options = ("--layout", layout, "--width", "32", "--rounds", "1", "--dtype", "float16", "--ways", "read", "ours")
    found = measured("load_time", *options)
    assert found["ours"]["peak_own_mb"] < found["read"]["peak_own_mb"] + 60


@pytest.mark.slow
def test_a_change_of_lora_is_measured():
    found = measured("lora_switch", "--width", "32", "--rank", "2", "--rounds", "1")
    assert found["projections"] == 128
    assert found["restored_exactly"]
    assert found["relative_difference"] < 1e-3


@pytest.mark.slow
def test_pictures_of_every_mode_are_measured():
    options = ("--device", "cpu", "--width", "32", "--side", "64", "--steps", "5", "--rounds", "1", "--layouts", "sd1")
    found = measured("gpu_models", *options, "--dtype", "bfloat16", "--ways", "ours", "lowvram")["sd1"]
    assert found["ours"]["picture_s"] > 0
    assert found["lowvram"]["peak_mb"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_its_benchmark_says_so():
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu_models"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 3
    assert "no CUDA device" in ended.stderr


def test_an_unknown_section_is_named():
    command = [sys.executable, "benchmarks/run.py", "speed"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert "no section speed" in ended.stderr
