"""Folders of diffusers and files with its names: loaded here, they compute what diffusers and transformers compute."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from modules.domain.errors import BrokenFile, UnsupportedCheckpoint
from modules.families import identify_files
from modules.families.facts import native_size
from modules.families.family import Components, Files
from modules.families.openclip import OpenClip
from modules.families.sd1.network import UNet
from modules.families.sd1.vae import VAE
from modules.families.sdxl.text import TextEncoders
from modules.sampling.prediction import ZERO_SNR_LAST_ALPHA
from tests.families.diffusers_folders import Saved, save_folder
from tests.families.narrow_files import build

TOLERANCE = 1e-5
TOKENS = torch.tensor([[49406, 320, 1125, 49407, 49407, 49407, 49407], [49406, 7, 8, 9, 10, 11, 49407]])
EXPECTED = {
    "sd1": ("sd1", "base"),
    "inpainting": ("sd1", "inpainting"),
    "sd2": ("sd2", "base"),
    "sdxl": ("sdxl", "base"),
    "refiner": ("sdxl", "refiner"),
    "ssd": ("sdxl", "base"),
    "koala": ("sdxl", "base"),
}


def loaded(path: Path, *modules: Path, vae: Path | None = None) -> Components:
    files = Files(checkpoint=path, modules=modules, vae=vae)
    family, match = identify_files(files)
    return family.load(files, match, build("cpu"))


def agree(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@torch.inference_mode()
def compare(model: Components, saved: Saved) -> None:
    """Run every network of both implementations on the same input."""
    compare_unet(model, saved)
    compare_vae(model, saved)
    compare_text(model, saved)


def compare_unet(model: Components, saved: Saved) -> None:
    unet, theirs = cast(UNet, model.unet), saved.parts["unet"]
    x, t = noise(2, unet.config.in_channels, 8, 8), torch.tensor([7.0, 801.0])
    context = noise(2, 5, unet.config.context_dim)
    if unet.config.vector_dim is None:
        agree(unet(x, t, context), theirs(x, t, context).sample)
        return
    numbers = torch.tensor([[64.0, 96, 0, 8, 64, 96][: (unet.config.vector_dim - 24) // 256]] * 2)
    pooled = noise(2, 24)
    from modules.families.sdxl.text import embedded_numbers

    told = embedded_numbers(tuple(numbers[0].tolist()), torch.device("cpu")).expand(2, -1)
    expected = theirs(x, t, context, added_cond_kwargs={"text_embeds": pooled, "time_ids": numbers}).sample
    agree(unet(x, t, context, torch.cat([pooled, told], dim=1)), expected)


def compare_vae(model: Components, saved: Saved) -> None:
    vae, theirs = cast(VAE, model.vae), saved.parts["vae"]
    picture, latent = noise(1, 3, 32, 32), noise(1, 4, 8, 8)
    agree(vae.encode(picture)[0], theirs.encode(picture).latent_dist.mean)
    agree(vae.decode(latent), theirs.decode(latent).sample)


def compare_text(model: Components, saved: Saved) -> None:
    encoders = model.text
    small = (
        encoders.small if isinstance(encoders, TextEncoders) else None if isinstance(encoders, OpenClip) else encoders
    )
    large = (
        encoders.large if isinstance(encoders, TextEncoders) else encoders if isinstance(encoders, OpenClip) else None
    )
    if small is not None:
        agree(cast(Any, small)(TOKENS), saved.parts["text_encoder"](TOKENS).last_hidden_state)
    if isinstance(large, OpenClip) and "text_encoder_2" in saved.parts:
        hidden, pooled = large.with_pooled(TOKENS)
        expected = saved.parts["text_encoder_2"](TOKENS, output_hidden_states=True)
        agree(hidden, expected.hidden_states[-2])
        agree(pooled, expected.text_embeds)
    elif isinstance(large, OpenClip):
        agree(large.normalised(TOKENS), saved.parts["text_encoder"](TOKENS).last_hidden_state)


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_folder_computes_what_diffusers_computes(kind: str, tmp_path: Path):
    saved = save_folder(tmp_path / "own-v1.5", kind)
    model = loaded(saved.folder)
    assert (model.match.family, model.match.variant) == EXPECTED[kind]
    assert (model.match.prediction, model.latent.scale) == ("eps", 0.25)
    assert native_size(model.match.config) == 16 * 8
    compare(model, saved)


@pytest.mark.parametrize(
    "how",
    [{"max_shard_size": "40KB"}, {"variant": "fp16"}, {"safe_serialization": False}],
    ids=["shards", "variant", "pickled"],
)
def test_other_ways_of_saving(how: dict[str, Any], tmp_path: Path):
    if "safe_serialization" not in how:
        saved = save_folder(tmp_path / "model", "sd1", **how)
        assert (len(list((saved.folder / "unet").glob("*.safetensors"))) > 1) is ("max_shard_size" in how)
    else:
        saved = save_folder(tmp_path / "model", "sd1")
        for path in saved.folder.glob("*/*.safetensors"):
            torch.save(load_file(path), path.with_suffix(".bin"))
            path.unlink()
    compare(loaded(saved.folder), saved)


def test_the_schedule_of_a_folder_says_what_is_predicted(tmp_path: Path):
    schedule = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    model = loaded(save_folder(tmp_path / "v", "sd2", schedule).folder)
    assert model.prediction.target.value == "v"
    assert float(model.prediction.table.alphas_cumprod[-1]) == pytest.approx(ZERO_SNR_LAST_ALPHA, rel=1e-3)


def test_folders_trained_on_all_noise_levels(tmp_path: Path):
    schedule = {"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction", "sigma_data": 1.0}
    schedule |= {"sigma_min": 0.002, "sigma_max": 90.0}
    levels = loaded(save_folder(tmp_path / "cos", "sdxl", schedule).folder).prediction
    assert (levels.target.value, levels.log_time) == ("v", True)
    assert (levels.table.sigma_min, levels.table.sigma_max) == pytest.approx((0.002, 90.0))
    schedule |= {"prediction_type": "epsilon", "sigma_data": 0.5}  # as Playground v2.5
    with pytest.raises(BrokenFile, match="parameterization 'edm'"):
        loaded(save_folder(tmp_path / "other", "sdxl", schedule).folder)


def test_links_of_the_hub_cache_are_followed(tmp_path: Path):
    saved = save_folder(tmp_path / "real", "sd1")
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123456789abcdef"
    for number, path in enumerate(sorted(saved.folder.rglob("*"))):
        if path.is_file():
            blob = tmp_path / "blobs" / str(number)
            blob.parent.mkdir(exist_ok=True)
            path.rename(blob)
            link = snapshot / path.relative_to(saved.folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blob)
    compare(loaded(snapshot), saved)


def tensors_of(saved: Saved, **prefixes: str) -> dict[str, Tensor]:
    return {
        prefix + name: tensor
        for part, prefix in prefixes.items()
        for path in (saved.folder / part).glob("*.safetensors")
        for name, tensor in load_file(path).items()
    }


def test_one_file_with_the_names_of_diffusers(tmp_path: Path):
    saved = save_folder(tmp_path / "model", "sdxl")
    everything = tensors_of(
        saved, unet="unet.", vae="vae.", text_encoder="text_encoder.", text_encoder_2="text_encoder_2."
    )
    save_file(everything, tmp_path / "one.safetensors")
    compare_with_yaml(tmp_path / "one.safetensors", saved)


def yaml_of(saved: Saved) -> dict[str, Any]:
    from modules.families.folder_config import folder_config
    from modules.library.folders import read_model_header

    return dict(folder_config(read_model_header(saved.folder).metadata))


def compare_with_yaml(path: Path, saved: Saved, *modules: Path, vae: Path | None = None) -> Components:
    """Load a file whose narrow sizes a yaml tells, as real sizes need not be told."""
    config = path.with_suffix(".yaml")
    config.write_text(json.dumps(yaml_of(saved)))
    files = Files(checkpoint=path, modules=modules, vae=vae, config=config)
    family, match = identify_files(files)
    model = family.load(files, match, build("cpu"))
    with torch.inference_mode():
        compare(model, saved)
    return model


@pytest.mark.parametrize("kind", ["sd1", "sdxl", "refiner"])
def test_a_unet_alone_with_its_other_parts_from_files(kind: str, tmp_path: Path):
    saved = save_folder(tmp_path / "model", kind)
    save_file(tensors_of(saved, unet=""), tmp_path / "unet.safetensors")
    modules = list[Path]()
    for part in saved.parts.keys() - {"unet"}:
        modules.append(tmp_path / f"{part}.safetensors")
        save_file(tensors_of(saved, **{part: ""}), modules[-1])
    model = compare_with_yaml(tmp_path / "unet.safetensors", saved, *modules)
    assert model.match.family == EXPECTED[kind][0]
    with pytest.raises(UnsupportedCheckpoint, match=r"layout of diffusers.*models/text_encoder.*models/VAE"):
        loaded(tmp_path / "unet.safetensors")


def test_a_text_encoder_and_a_vae_take_the_place_of_the_checkpoints_own(tmp_path: Path):
    saved = save_folder(tmp_path / "model", "sd1")
    other = {name: tensor + 0.01 for name, tensor in tensors_of(saved, text_encoder="").items()}
    save_file(other, tmp_path / "other.safetensors")
    save_file(tensors_of(saved, vae=""), tmp_path / "same.vae.safetensors")
    own, replaced = (
        loaded(saved.folder),
        loaded(saved.folder, tmp_path / "other.safetensors", vae=tmp_path / "same.vae.safetensors"),
    )
    with torch.inference_mode():
        compare_unet(replaced, saved)
        compare_vae(replaced, saved)
        assert not torch.allclose(cast(Any, replaced.text)(TOKENS), cast(Any, own.text)(TOKENS))
        saved.parts["text_encoder"].load_state_dict(other, strict=False)
        if any(not name.startswith("text_model.") for name in saved.parts["text_encoder"].state_dict()):
            other = {name.removeprefix("text_model."): tensor for name, tensor in other.items()}
            saved.parts["text_encoder"].load_state_dict(other, strict=True)
        compare_text(replaced, saved)


def test_a_part_that_has_no_place_is_left_out(tmp_path: Path):
    saved = save_folder(tmp_path / "model", "sd1")
    large = save_folder(tmp_path / "xl", "refiner")
    save_file(tensors_of(large, text_encoder_2=""), tmp_path / "clip_g.safetensors")
    with torch.inference_mode():
        compare(loaded(saved.folder, tmp_path / "clip_g.safetensors"), saved)


def test_a_file_beside_the_checkpoint_that_is_no_part_of_one_is_named(tmp_path: Path):
    saved = save_folder(tmp_path / "model", "sd1")
    lora = {"lora_unet_x.lora_down.weight": torch.zeros(4, 4), "lora_unet_x.lora_up.weight": torch.zeros(4, 4)}
    save_file(lora, tmp_path / "style.safetensors")
    with pytest.raises(UnsupportedCheckpoint, match=r"style.*tried text encoder, VAE.*models/Lora"):
        loaded(saved.folder, tmp_path / "style.safetensors")


def test_a_folder_for_another_lineage_is_named(tmp_path: Path):
    folder = tmp_path / "other"
    (folder / "transformer").mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusion3Pipeline"}))
    save_file({"x": torch.zeros(1)}, folder / "transformer" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(UnsupportedCheckpoint, match=r"other.*StableDiffusion3Pipeline"):
        loaded(folder)
