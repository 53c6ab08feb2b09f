"""Conversion between the original layout and that of diffusers: there and back, judged by diffusers itself."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from modules.domain.errors import InvalidRequest, UnsupportedCheckpoint
from modules.domain.merge import FLOAT8
from modules.families import identify_files
from modules.families.family import Files, Match
from modules.families.toy.checkpoint import make_toy_checkpoint
from modules.library.header import Header, TensorInfo
from modules.training.convert.__main__ import main
from modules.training.convert.diffusers_folder import to_diffusers_folder
from modules.training.convert.original import is_unusual, source_files, to_original
from tests.families.diffusers_folders import PIPELINES, quietly, save_folder
from tests.families.narrow_files import build
from tests.families.test_diffusers_folders import EXPECTED, compare

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}


def tensors_in(folder: Path, part: str) -> dict[str, torch.Tensor]:
    found = load_file(folder / part / f"{WEIGHTS.get(part, 'model')}.safetensors")
    # The newest transformers write one level less than published folders have, and read both.
    return {name.removeprefix("text_model."): tensor for name, tensor in found.items()}


@pytest.mark.parametrize("kind", EXPECTED)
def test_there_and_back_nothing_changes(kind: str, tmp_path: Path):
    saved = save_folder(tmp_path / "first", kind)
    file = to_original(source_files(saved.folder), tmp_path / "one")
    files = source_files(file)
    family, match = identify_files(files)
    assert (match.family, match.variant) == EXPECTED[kind]
    compare(family.load(files, match, build("cpu")), saved)
    back = to_diffusers_folder(files, tmp_path / "second")
    for part in saved.parts:
        first, second = tensors_in(saved.folder, part), tensors_in(back, part)
        assert first.keys() == second.keys()
        assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", EXPECTED)
def test_diffusers_loads_the_folder_and_computes_the_same(kind: str, tmp_path: Path):
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

    saved = save_folder(tmp_path / "first", kind)
    file = to_original(source_files(saved.folder), tmp_path / "one")
    folder = to_diffusers_folder(source_files(file), tmp_path / "second")
    with quietly():
        pipeline: Any = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    assert type(pipeline).__name__ == PIPELINES[kind]
    assert pipeline.scheduler.config.prediction_type == "epsilon"
    assert pipeline.vae.config.scaling_factor == 0.25
    with torch.no_grad():
        compare_parts(pipeline, saved.parts)


def test_the_shipped_checkpoint_comes_back_bit_for_bit(tmp_path: Path):
    shipped = ROOT / "models" / "Stable-diffusion" / "shapes-v1.safetensors"
    folder = to_diffusers_folder(source_files(shipped), tmp_path / "folder")
    back = source_files(to_original(source_files(folder), tmp_path / "back"))
    first, second = load_file(shipped), load_file(back.checkpoint)
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    matches = [identify_files(files)[1] for files in (source_files(shipped), back)]
    assert dict(matches[0].config).items() <= dict(matches[1].config).items()


def compare_parts(pipeline: Any, parts: dict[str, Any]) -> None:
    """Run the text encoders with the new tokenizers, and the other networks, beside those that were saved first."""
    for name in ("text_encoder", "text_encoder_2"):
        if name in parts:
            tokens = getattr(pipeline, name.replace("text_encoder", "tokenizer"))("a red fox", return_tensors="pt")
            assert tokens.input_ids.tolist() == [[49406, 320, 736, 3240, 49407]]
            ours, theirs = (
                one(tokens.input_ids, output_hidden_states=True) for one in (getattr(pipeline, name), parts[name])
            )
            assert torch.equal(ours[0], theirs[0])
            assert torch.equal(ours.hidden_states[-2], theirs.hidden_states[-2])
    latent = torch.randn(1, 4, 8, 8)
    assert torch.equal(pipeline.vae.decode(latent).sample, parts["vae"].decode(latent).sample)
    unet, config = parts["unet"], parts["unet"].config
    x, context = torch.randn(1, config.in_channels, 8, 8), torch.randn(1, 5, config.cross_attention_dim)
    told = {}
    if config.addition_embed_type:
        count = (config.projection_class_embeddings_input_dim - 24) // 256
        told = {"text_embeds": torch.randn(1, 24), "time_ids": torch.arange(count)[None].float()}
    ours, theirs = (one(x, 500, context, added_cond_kwargs=told).sample for one in (pipeline.unet, unet))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_the_pipeline_draws(tmp_path: Path):
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

    saved = save_folder(tmp_path / "first", "sd1")
    folder = to_diffusers_folder(source_files(saved.folder), tmp_path / "second")
    with quietly():
        pipeline: Any = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
        pipeline.set_progress_bar_config(disable=True)
        made = pipeline("a fox", num_inference_steps=2, height=32, width=32, output_type="np").images
    assert made.shape == (1, 32, 32, 3)


def test_the_layer_that_version_2_does_not_read_is_left_out(tmp_path: Path):
    saved = save_folder(tmp_path / "first", "sd2")
    file = to_original(source_files(saved.folder), tmp_path / "one")
    tensors = load_file(file)
    last = {name.replace(".2.", ".3."): t.clone() for name, t in tensors.items() if ".resblocks.2." in name}
    assert last
    whole = {**tensors, **last, "cond_stage_model.model.text_projection": torch.eye(24)}
    save_file(whole, tmp_path / "whole.safetensors")
    files = Files(checkpoint=tmp_path / "whole.safetensors", config=file.with_suffix(".yaml"))
    back = to_diffusers_folder(files, tmp_path / "second")
    first, second = tensors_in(saved.folder, "text_encoder"), tensors_in(back, "text_encoder")
    assert first.keys() == second.keys()
    assert json.loads((back / "text_encoder" / "config.json").read_text())["num_hidden_layers"] == 3


def test_velocity_is_told_in_both_layouts(tmp_path: Path):
    told = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    saved = save_folder(tmp_path / "first", "sdxl", told)
    file = to_original(source_files(saved.folder), tmp_path / "one.safetensors")
    with safe_open(file, framework="pt") as opened:
        assert {"v_pred", "ztsnr"} <= set(opened.keys())
        assert opened.metadata()["modelspec.prediction_type"] == "v"
    _, match = identify_files(Files(checkpoint=file))
    assert match.prediction == "v"
    assert match.config["zero_terminal_snr"]
    back = to_diffusers_folder(source_files(file), tmp_path / "second")
    schedule = json.loads((back / "scheduler" / "scheduler_config.json").read_text())
    assert told.items() <= schedule.items()


def published(schedule: dict[str, Any], unet: dict[str, Any], vae: dict[str, Any]) -> dict[str, str]:
    """Return what the JSON files of a published folder say, as metadata."""
    return {
        "model_index.json": "{}", "scheduler/scheduler_config.json": json.dumps(schedule),
        "unet/config.json": json.dumps(unet), "vae/config.json": json.dumps(vae),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "unet", "scale", "change", "unusual"),
    [
        ("sd15", {"attention_head_dim": 8, "sample_size": 64}, 0.18215, {}, False),
        ("sdxl-base", {"attention_head_dim": [5, 10, 20], "sample_size": 128}, 0.13025, {}, False),
        ("sd15", {"attention_head_dim": 8, "sample_size": 64}, 0.18215, {"beta_end": 0.02}, True),
        ("sd15", {"attention_head_dim": 4, "sample_size": 64}, 0.18215, {}, True),
        ("sdxl-base", {"attention_head_dim": [5, 10, 20], "sample_size": 128}, 0.18215, {}, True),
    ],
)
def test_only_unusual_models_need_a_yaml_file(
    shared_dir: Path, name: str, unet: dict[str, Any], scale: float, change: dict[str, Any], *, unusual: bool
):
    import gzip

    with gzip.open(shared_dir / "manifests" / "checkpoints" / f"{name}.json.gz", "rt") as file:
        document = json.load(file)["tensors"]
    header = Header(Path(name), {key: TensorInfo(tuple(shape), dtype) for key, (shape, dtype) in document.items()}, {})
    schedule = {
        "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000, "prediction_type": "epsilon",
    } | change  # fmt: skip
    widths = [320, 640, 1280, 1280][: 3 if "xl" in name else 4]
    metadata = published(
        schedule, {"norm_num_groups": 32, "block_out_channels": widths, **unet},
        {"norm_num_groups": 32, "scaling_factor": scale},
    )  # fmt: skip
    match = matched(header, metadata)
    assert is_unusual(match, header) is unusual


def matched(header: Header, metadata: dict[str, str]) -> Match:
    from modules.families import identify
    from modules.families.folder_config import folder_config

    return identify(header, folder_config(metadata))[1]


def test_weights_can_be_made_smaller(tmp_path: Path):
    saved = save_folder(tmp_path / "first", "sd1")
    small = to_diffusers_folder(source_files(saved.folder), tmp_path / "second", FLOAT8)
    kinds = {part: {t.dtype for t in tensors_in(small, part).values()} for part in ("unet", "text_encoder", "vae")}
    assert kinds["unet"] == kinds["text_encoder"] == {torch.float8_e4m3fn, torch.float16}
    assert kinds["vae"] == {torch.float16}


def test_nothing_is_replaced_and_nothing_half_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    saved = save_folder(tmp_path / "first", "sd1")
    with pytest.raises(InvalidRequest, match="exists already"):
        to_diffusers_folder(source_files(saved.folder), saved.folder)
    (tmp_path / "one.yaml").write_text("mine")
    with pytest.raises(InvalidRequest, match="exists already"):
        to_original(source_files(saved.folder), tmp_path / "one.safetensors")

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr("modules.training.convert.configs.tokenizer_files", fail)
    with pytest.raises(RuntimeError):
        to_diffusers_folder(source_files(saved.folder), tmp_path / "second")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "one.yaml"]


def test_models_without_such_a_layout_are_refused(tmp_path: Path):
    toy = make_toy_checkpoint(tmp_path / "toy.safetensors")
    with pytest.raises(UnsupportedCheckpoint, match="toy base has no folder layout"):
        to_diffusers_folder(source_files(toy), tmp_path / "folder")


def test_the_command_converts_and_says_what_is_wrong(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    saved = save_folder(tmp_path / "first", "sd1")
    command = ["--to", "original", str(saved.folder), str(tmp_path / "new" / "one.safetensors")]
    caplog.set_level("INFO")
    assert main(command) == 0
    assert (tmp_path / "new" / "one.safetensors").is_file()
    assert main(command) == 1
    assert "exists already" in caplog.text
    assert main(["--to", "diffusers", str(tmp_path / "nowhere"), str(tmp_path / "x")]) == 1
