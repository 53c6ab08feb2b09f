"""unCLIP models of Stable Diffusion 2.1: their files, the embedder in them, and the noise as diffusers adds it."""

import warnings
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from modules.domain.errors import BrokenFile, InvalidRequest
from modules.domain.plan import TextOptions
from modules.families import identify
from modules.families.facts import native_size
from modules.families.family import Components, Files
from modules.families.openclip import OpenClip, OpenClipConfig
from modules.families.openclip_vision import MEAN, STD, VisionConfig, VisionTransformer, prepared
from modules.families.sd1.network import UNet
from modules.families.sd2.unclip import EMBEDDING, ImageEye, kept_share, read_statistics
from modules.library.header import read_header
from modules.nn.torchvision_guard import ensure_torchvision_importable
from modules.sampling.types import Conditioning
from tests.families.compvis import unet_name
from tests.families.narrow_files import (
    CONFIG,
    build,
    load_without_weights,
    loaded,
    manifest_header,
    tensors_of,
    unet_sizes,
)

TEXT = OpenClipConfig(width=24, layers=2, heads=4, mlp_width=48, projection=24)
VISION = VisionConfig(width=128, layers=2, mlp_width=96, patch=4, positions=10, projection=20)
SCHEDULE = ("*alphas_cumprod*", "*betas", "posterior_*", "model_ema.*", "*.logit_scale", "*.attn_mask", "sqrt_*",
            "*log_*", "noise_augmentor.*")  # fmt: skip
TEXT_TOWER = ("embedder.model.positional_embedding", "embedder.model.text_projection", "embedder.model.token_embedding.*",
              "embedder.model.ln_final.*", "embedder.model.transformer.*")  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet_oracle() -> Iterator[None]:
    ensure_torchvision_importable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def unclip_file(*, openai: bool = False) -> dict[str, Tensor]:
    """A narrow checkpoint; embedders of OpenAI bring their text tower."""
    generator = torch.Generator().manual_seed(8)
    found = tensors_of("cond_stage_model.", OpenClip(TEXT), unet_sizes(context_dim=24, vector_dim=40))
    found |= {
        f"embedder.model.visual.{name}": 0.3 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in VisionTransformer(VISION).state_dict().items()
    }
    found |= {"embedder.model.ln_final.weight": torch.ones(20), "noise_augmentor.betas": torch.ones(1000)}
    return found | ({"embedder.model.transformer.resblocks.0.ln_1.weight": torch.ones(20)} if openai else {})


def eye_of(model: Components) -> ImageEye:
    assert isinstance(model.eye, ImageEye)
    return model.eye


def theirs_of(ours: VisionTransformer) -> Any:
    """Build transformers' image encoder with the same weights."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = ours.config
    theirs = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=config.width, intermediate_size=config.mlp_width, projection_dim=config.projection,
            num_hidden_layers=config.layers, num_attention_heads=config.heads, image_size=config.side,
            patch_size=config.patch, hidden_act="quick_gelu" if config.quick else "gelu",
        )
    ).eval()  # fmt: skip
    whole = {
        "class_embedding": "embeddings.class_embedding",
        "positional_embedding": "embeddings.position_embedding.weight",
        "conv1.weight": "embeddings.patch_embedding.weight",
    }
    parts = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj", "mlp.c_fc": "mlp.fc1",
             "mlp.c_proj": "mlp.fc2", "ln_pre": "pre_layrnorm", "ln_post": "post_layernorm"}  # fmt: skip
    state: dict[str, Tensor] = {}
    for name, tensor in ours.state_dict().items():
        if name == "proj":
            state["visual_projection.weight"] = tensor.T
            continue
        name = whole.get(name, name.replace("transformer.resblocks", "encoder.layers"))
        for ours_part, theirs_part in parts.items():
            name = name.replace(ours_part, theirs_part)
        if "attn.in_proj_" in name:
            start, kind = name.split("attn.in_proj_")
            thirds = zip("qkv", tensor.chunk(3), strict=True)
            state |= {f"vision_model.{start}self_attn.{letter}_proj.{kind}": third for letter, third in thirds}
        else:
            state[f"vision_model.{name}"] = tensor
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("position_ids") for name in missing)
    return theirs


@pytest.mark.parametrize("openai", [False, True])
def test_the_embedding_equals_that_of_transformers(openai: bool, tmp_path: Path):
    eye = eye_of(loaded(tmp_path / "unclip.safetensors", unclip_file(openai=openai)))
    assert (eye.config.quick, eye.config.heads, eye.config.side) == (openai, 2, 12)
    theirs = theirs_of(cast(VisionTransformer, eye.model["visual"]))
    picture = torch.rand(2, 3, 30, 50, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        expected = theirs(prepared(picture, 12)).image_embeds
        seen = eye.look(picture, (1, 1))[EMBEDDING]
        torch.testing.assert_close(seen, expected, atol=1e-4, rtol=1e-4)


def test_pictures_are_stretched_to_a_square_on_clips_scale():
    grey = prepared(torch.zeros(1, 3, 40, 24), 12)
    assert grey.shape == (1, 3, 12, 12)
    expected = [(0.5 - mean) / std for mean, std in zip(MEAN, STD, strict=True)]
    torch.testing.assert_close(grey.mean((0, 2, 3)), torch.tensor(expected))


@pytest.mark.parametrize("level", [0, 120, 999])
@pytest.mark.parametrize("known", [False, True])
def test_noise_is_added_as_in_diffusers(level: int, known: bool, tmp_path: Path):
    tensors, generator = unclip_file(), torch.Generator().manual_seed(3)
    mean, std = torch.randn(20, generator=generator), torch.rand(20, generator=generator) + 0.5
    if known:
        tensors |= {"noise_augmentor.data_mean": mean[None], "noise_augmentor.data_std": std[None]}
    eye = eye_of(loaded(tmp_path / "unclip.safetensors", tensors))
    module = import_module("diffusers.pipelines.stable_diffusion.pipeline_stable_unclip_img2img")
    schedulers = import_module("diffusers.schedulers")
    normaliser = import_module("diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer")
    statistics = normaliser.StableUnCLIPImageNormalizer(20)
    if known:
        statistics.load_state_dict({"mean": mean[None], "std": std[None]})
    clean, noise = torch.randn(2, 20, generator=generator), torch.randn(2, 20, generator=generator)
    with torch.inference_mode():
        expected = module.StableUnCLIPImg2ImgPipeline.noise_image_embeddings(
            SimpleNamespace(
                image_normalizer=statistics,
                image_noising_scheduler=schedulers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
            ),
            clean, level, noise=noise,
        )  # fmt: skip
        told = eye.told({EMBEDDING: clean}, level, lambda count: noise[:, :count])[EMBEDDING]
    torch.testing.assert_close(told, expected, atol=1e-4, rtol=1e-4)


def test_the_network_is_told_what_diffusers_is_told(tmp_path: Path):
    model = loaded(tmp_path / "unclip.safetensors", unclip_file())
    ours = cast(UNet, model.unet)
    oracle = import_module("diffusers.models.unets.unet_2d_condition").UNet2DConditionModel
    theirs = oracle(
        block_out_channels=(16, 32), layers_per_block=1, down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2, attention_head_dim=4, cross_attention_dim=24,
        transformer_layers_per_block=(1, 2), use_linear_projection=True, norm_num_groups=8,
        class_embed_type="projection", projection_class_embeddings_input_dim=40,
    ).eval()  # fmt: skip
    names = {name: unet_name(name, 1).replace("add_embedding", "class_embedding") for name in ours.state_dict()}
    theirs.load_state_dict({names[name]: tensor for name, tensor in ours.state_dict().items()})
    generator = torch.Generator().manual_seed(4)
    x, t, seen = torch.randn(2, 4, 8, 8, generator=generator), torch.tensor([3.0, 741.0]), torch.randn(2, 40)
    with torch.inference_mode():
        rows = model.family.condition(model, ["a cat", "a dog"], TextOptions())
        network = model.family.network(model, False)
        for extras, labels in (({EMBEDDING: seen}, seen), ({}, torch.zeros(2, 40))):
            expected = theirs(x, t, rows.tokens, class_labels=labels).sample
            told = network(x, t, Conditioning(tokens=rows.tokens, extras=extras))
            torch.testing.assert_close(told, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("sd21-unclip-h", VisionConfig()),
        ("sd21-unclip-l", VisionConfig(width=1024, layers=24, mlp_width=4096, projection=768, quick=True)),
    ],
)
def test_public_files_hold_these_networks(
    name: str, config: VisionConfig, shared_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    header = manifest_header(shared_dir, name)
    model, unread = load_without_weights(header, monkeypatch)
    assert (model.match.variant, model.match.prediction, native_size(model.match.config)) == ("unclip", "v", 768)
    assert not {key for key in unread if not any(fnmatch(key, one) for one in (*SCHEDULE, *TEXT_TOWER))}
    assert eye_of(model).config == config
    assert (config.heads, config.side) == (16, 224)
    assert cast(UNet, model.unet).config.vector_dim == 2 * config.projection


def test_a_file_without_its_embedder_is_still_one_of_unclip(shared_dir: Path, monkeypatch: pytest.MonkeyPatch):
    whole = manifest_header(shared_dir, "sd21-unclip-h")
    pruned = {key: info for key, info in whole.tensors.items() if not key.startswith("embedder.")}
    model, _ = load_without_weights(type(whole)(whole.path, pruned, {}), monkeypatch)
    assert (model.match.variant, model.eye) == ("unclip", None)


def test_noise_needs_the_statistics_of_openais_embedder(tmp_path: Path):
    path = tmp_path / "unclip.safetensors"
    eye = eye_of(loaded(path, unclip_file(openai=True)))
    clean = torch.randn(1, 20)
    told = eye.told({EMBEDDING: clean}, 0, lambda count: torch.zeros(1, count))[EMBEDDING]
    torch.testing.assert_close(told[:, :20], clean, atol=1e-4, rtol=1e-3)
    assert torch.equal(told[:, 20:], F.pad(torch.ones(1, 10), (0, 10)))
    with pytest.raises(InvalidRequest, match=r"ViT-L-14_stats\.th into models/karlo"):
        eye.told({EMBEDDING: clean}, 1, lambda count: torch.zeros(1, count))


def test_statistics_come_from_karlos_file(tmp_path: Path):
    (tmp_path / "karlo").mkdir()
    path = tmp_path / "karlo" / "ViT-L-14_stats.th"
    mean, std = torch.randn(768), torch.rand(768)
    assert read_statistics(tmp_path, 768) is None
    torch.save((mean, std), path)
    found = read_statistics(tmp_path, 768)
    assert found is not None
    assert torch.equal(found[0], mean)
    assert torch.equal(found[1], std)
    assert read_statistics(tmp_path, 1024) is None
    assert read_statistics(None, 768) is None
    torch.save((mean[:5], std), path)
    with pytest.raises(BrokenFile, match="768 wide"):
        read_statistics(tmp_path, 768)


def test_levels_reach_from_nearly_nothing_to_nearly_all():
    shares = [kept_share(level) for level in (0, 250, 500, 999)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.9999
    assert shares[-1] < 1e-6


def test_an_embedder_that_lacks_a_part_is_refused(tmp_path: Path):
    tensors = unclip_file()
    del tensors["embedder.model.visual.ln_pre.bias"]
    with pytest.raises(BrokenFile, match="1 image embedder tensors are missing"):
        loaded(tmp_path / "a.safetensors", tensors)
    path = tmp_path / "b.safetensors"
    save_file({key: t for key, t in unclip_file().items() if "label_emb" not in key}, path)
    family, match = identify(read_header(path), CONFIG)
    with pytest.raises(BrokenFile, match="expects None numbers besides the text, not 40"):
        family.load(Files(checkpoint=path), match, build("cpu"))
