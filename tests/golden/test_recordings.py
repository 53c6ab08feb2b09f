"""Replay requests recorded from A1111 against our API in this process and compare pictures and infotexts.

The checkpoints are made on the spot by the script that lies with the recordings. Groups whose feature is not there yet are
left out by name, and single cases that cannot match are listed with the reason; both lists can only shrink.
"""

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from modules import cli
from modules.app import House
from modules.web.server import attach_services, create_app

GROUPS = ("01_samplers", "02_schedulers", "03_prompts", "04_emphasis", "05_clip_skip", "06_rng", "07_variation", "08_batch",
          "09_hires", "10_img2img", "11_inpaint", "12_refiner", "13_tiling_size", "14_misc", "18_extra_networks", "20_xl")  # fmt: skip
"""Groups whose features are there."""
SINGLE = (
    "15_scripts/poor_mans_outpainting",
    "15_scripts/prompt_matrix",
    "15_scripts/prompts_from_file",
    "15_scripts/sd_upscale",
    "15_scripts/xyz_prompt_sr_cfg",
    "17_errors/bad_sampler",
    "17_errors/bad_sampler_index",
    "17_errors/bad_scheduler",
    "19_models/inpaint_model_img2img",
    "19_models/inpaint_model_mask_weight_0.5",
    "19_models/inpaint_model_txt2img",
    "19_models/vpred__unipc",
    "19_models/vpred_ztsnr",
)
"""Further cases, of groups that are not there as a whole."""
LEFT_OUT = {"18_extra_networks/vae"}
"""Cases of these groups that nobody could reproduce: the noise was denoised to another picture before it was decoded."""
STALE_TEXT = ("<lora:tiny_lora:0.8>", "<lora:tiny_lora:0:0.8>")
"""What a prompt says, and what A1111 made of it: the text as it had encoded it for the request before, without networks."""
ASKED_AS = {"18_extra_networks/lora_functional": STALE_TEXT, "18_extra_networks/lora_hires": STALE_TEXT}
CHECKPOINTS = {"tiny-v1": ("tiny-v1", 1, "8e89532a71"), "tiny-v1-vpred": ("tiny-v1", 1, "8e89532a71"),
               "tiny-v1b": ("tiny-v1", 2, "9c44465d5b"),
               "tiny-v1-inpainting": ("tiny-v1-inpainting", 4, "318108d50d"),
               "tiny-xl": ("tiny-xl", 5, "7b5fd2fdb2")}  # fmt: skip
"""Name -> manifest, seed, start of the file's SHA-256."""
LEAST_PSNR_DB = 45.0
DIFFERS = {
    "01_samplers/dpm_adaptive": (
        30.0,
        "its step lengths follow the error, so rounding moves all later noise levels; see docs/decisions",
    )
}
"""Cases below the limit: the PSNR they reach, and why."""
TABLES = {"15_scripts/xyz_prompt_sr_cfg": (384, 256), "15_scripts/prompt_matrix": (256, 256)}
"""Cases whose first picture is a grid with labels in another font than A1111's: the size of what is right of and below them."""
SCRIPTS = {*TABLES, "15_scripts/prompts_from_file"}
"""Cases of scripts that make several runs; A1111 left some lists of theirs shorter than the number of pictures."""


def folder() -> Path:
    """Return where the recordings lie, whether or not they are there."""
    return Path(__file__).resolve().parents[3] / "shared" / "golden"


def cases() -> list[str]:
    """Return `group/name` of every recording of the groups."""
    found = sorted(path for group in GROUPS for path in (folder() / "recordings" / group).glob("*.request.json"))
    single = SINGLE if found else ()
    named = (f"{path.parent.name}/{path.name.removesuffix('.request.json')}" for path in found)
    return [*(name for name in named if name not in LEFT_OUT), *single]


def sent(value: Any) -> Any:
    """Replace `@folder/file` by that file in base64."""
    if isinstance(value, str) and value.startswith("@"):
        return base64.b64encode((folder() / "recordings" / value[1:]).read_bytes()).decode()
    if isinstance(value, list):
        return [sent(part) for part in value]
    return {key: sent(part) for key, part in value.items()} if isinstance(value, dict) else value


@pytest.fixture(scope="module")
def client(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Serve the recordings' checkpoint."""
    data = tmp_path_factory.mktemp("golden")
    models, source = data / "models" / "Stable-diffusion", shared_dir / "golden" / "checkpoints"
    models.mkdir(parents=True)
    for name, (manifest, seed, digest) in CHECKPOINTS.items():
        made = models / f"{name}.safetensors"
        script = [
            sys.executable,
            str(source / "make_checkpoint.py"),
            str(source / f"manifest_{manifest}.json"),
            str(made),
        ]
        subprocess.run([*script, "--seed", str(seed)], check=True, capture_output=True, timeout=300)
        assert hashlib.sha256(made.read_bytes()).hexdigest().startswith(digest)
        (models / f"{name}.yaml").write_bytes((source / f"{name}.yaml").read_bytes())
    networks = [sys.executable, str(source / "make_networks.py"), str(source / "manifest_tiny-v1.json"), str(data)]
    subprocess.run(networks, check=True, capture_output=True, timeout=300)
    (data / "styles.csv").write_bytes((source / "styles.csv").read_bytes())
    (data / "config.json").write_text('{"sd_model_checkpoint": "tiny-v1"}')
    config = cli.parse(["--nowebui", "--use-cpu", "all", "--data-dir", str(data)], {})
    with ExitStack() as until_exit:
        app = create_app(config)
        house = House(config, until_exit)
        house.start()
        attach_services(app, house.services)
        with TestClient(app, base_url="http://127.0.0.1") as opened:
            yield opened
        house.engine.shutdown(5)
        house.services.ledger.close()
        for made in models.glob("*.safetensors"):
            made.unlink()


@pytest.mark.parametrize("case", cases() or ["none"])
def test_recording(case: str, client: TestClient, record_property: Callable[[str, object], None]) -> None:
    path = folder() / "recordings" / f"{case}.request.json"
    said, meant = ASKED_AS.get(case, ("", ""))
    answered = path.with_name(path.name.replace(".request.", ".response."))
    request, recorded = (
        json.loads(text.replace(said, meant) if said else text) for text in (path.read_text(), answered.read_text())
    )
    answer = client.request(request["method"], request["endpoint"], json=sent(request["payload"]))
    assert answer.status_code == recorded["status"], answer.text
    body, wanted = answer.json(), recorded["json"]
    assert len(body["images"]) == len(wanted["images"])
    for ours, name in zip(body["images"], wanted["images"], strict=True):
        made, known = pixels(base64.b64decode(ours)), pixels(path.with_name(name).read_bytes())
        if case in TABLES and name.endswith(".0.png"):
            made, known = (without_labels(image, *TABLES[case]) for image in (made, known))
        reached = psnr(made, known)
        record_property("picture_db", reached)
        assert reached >= DIFFERS.get(case, (LEAST_PSNR_DB,))[0], f"{reached:.1f} dB"
    ours_info, info = json.loads(body["info"]), wanted["info"]
    assert [told(text) for text in ours_info["infotexts"]] == [told(text) for text in info["infotexts"]]
    for key in (
        "all_seeds",
        "all_prompts",
        "all_negative_prompts",
        "width",
        "height",
        "is_using_inpainting_conditioning",
    ):
        told_by_us = ours_info[key]
        if case in SCRIPTS and isinstance(told_by_us, list):
            told_by_us = told_by_us[: len(info[key])]
        assert told_by_us == info[key]
    if request["payload"].get("subseed", -1) != -1:
        assert ours_info["all_subseeds"] == info["all_subseeds"]


def pixels(data: bytes) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")).astype(np.float64)


def without_labels(image: np.ndarray[Any, Any], width: int, height: int) -> np.ndarray[Any, Any]:
    assert abs(image.shape[0] - height - 19) <= 2, "the labels take about as much room as A1111's"
    return image[-height:, -width:]


def psnr(ours: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> float:
    assert ours.shape == wanted.shape
    error = float(((ours - wanted) ** 2).mean())
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def told(infotext: str) -> tuple[str, dict[str, str]]:
    """Return the prompts and the entries of an infotext, without the version of the program.

    The hash after a checkpoint's name is there only once it was computed, so it does not count.
    """
    *prompts, line = infotext.split("\n")
    entries = dict(re.findall(r'\s*([\w+ /-]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', line))
    return "\n".join(prompts), {
        key: re.sub(r" \[[0-9a-f]{10}\]", "", value) for key, value in entries.items() if key != "Version"
    }
