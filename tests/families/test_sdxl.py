"""Stable Diffusion XL: its networks against a second implementation, its files, and what it is told of a picture."""

import warnings
from importlib import import_module
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from modules.domain.errors import BrokenFile, UnsupportedCheckpoint
from modules.domain.plan import TextOptions
from modules.domain.request import Size
from modules.families import identify
from modules.families.facts import native_size
from modules.families.openclip import OpenClip, OpenClipConfig, openclip_config
from modules.families.sd1.keys import TextConfig, unet_config
from modules.families.sd1.network import UNet, UNetConfig
from modules.families.sdxl.text import TextEncoders, embedded_numbers, told_numbers
from modules.library.header import Header, TensorInfo
from modules.nn.torchvision_guard import ensure_torchvision_importable
from tests.families.compvis import openclip_to_transformers, unet_name
from tests.families.narrow_files import (
    load_without_weights,
    loaded,
    manifest_header,
    tensors_of,
    unet_sizes,
    variant_headers,
)

TOLERANCE = 1e-5
SMALL = TextConfig(width=16, layers=3, heads=4, mlp_width=32)
LARGE = OpenClipConfig(width=24, layers=3, heads=4, mlp_width=48, projection=20)
PREFIX = "conditioner."
OPTIONS = TextOptions(size=Size(width=96, height=64), emphasis="No norm")


@pytest.fixture(autouse=True)
def _quiet_oracle():
    ensure_torchvision_importable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def randomised(module: nn.Module) -> None:
    """Give every tensor values at which no term vanishes, norms included."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        is_scale = tensor.ndim == 1 and name.endswith("weight")
        tensor.copy_(0.1 * noise + is_scale if tensor.ndim == 1 else noise / tensor[0].numel() ** 0.5)
    module.eval().requires_grad_(False)


UNETS = {
    "base": UNetConfig(
        model_channels=32,
        channel_mult=(1, 2, 4),
        transformer_depth=(0, 2, 3),
        middle_depth=3,
        context_dim=40,
        num_heads=None,
        num_head_channels=16,
        linear_projection=True,
        vector_dim=20 + 6 * 256,
        norm_groups=8,
    ),
    "refiner": UNetConfig(
        model_channels=32,
        channel_mult=(1, 2, 4, 4),
        transformer_depth=(0, 2, 2, 0),
        middle_depth=2,
        context_dim=24,
        num_heads=None,
        num_head_channels=16,
        linear_projection=True,
        vector_dim=20 + 5 * 256,
        norm_groups=8,
    ),
}


def oracle_unet(ours: UNet) -> nn.Module:
    oracle = import_module("diffusers.models.unets.unet_2d_condition").UNet2DConditionModel
    config = ours.config
    widths = [mult * config.model_channels for mult in config.channel_mult]
    down = ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in config.transformer_depth]
    theirs = oracle(
        block_out_channels=tuple(widths),
        down_block_types=tuple(down),
        up_block_types=tuple(kind.replace("Down", "Up") for kind in reversed(down)),
        attention_head_dim=tuple(config.heads(width) for width in widths),  # the oracle's name for the number of heads
        cross_attention_dim=config.context_dim,
        transformer_layers_per_block=tuple(depth or config.middle_depth for depth in config.transformer_depth),
        use_linear_projection=True,
        norm_num_groups=config.norm_groups,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=config.vector_dim,
    )
    state = {unet_name(name, config.num_res_blocks): t for name, t in ours.state_dict().items()}
    theirs.load_state_dict(state, strict=True)
    return theirs.eval()


@pytest.mark.parametrize("name", UNETS)
def test_unet_and_the_numbers_it_is_told_agree_with_diffusers(name: str):
    config = UNETS[name]
    ours = UNet(config)
    randomised(ours)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 4, 16, 24, generator=generator)
    context = torch.randn(2, 9, config.context_dim, generator=generator)
    pooled = torch.randn(2, 20, generator=generator)
    t = torch.tensor([3.0, 741.25])
    options = TextOptions(size=Size(width=1216, height=832), crop=(16, 300))
    wanted = {"base": (832, 1216, 16, 300, 832, 1216), "refiner": (832, 1216, 16, 300, 6.0)}[name]
    told = told_numbers(options, refiner=name == "refiner")
    y = torch.cat([pooled, embedded_numbers(told, torch.device("cpu")).expand(2, -1)], dim=1)
    added = {"text_embeds": pooled, "time_ids": torch.tensor([wanted, wanted])}
    with torch.inference_mode():
        expected = oracle_unet(ours)(x, t, context, added_cond_kwargs=added).sample
        torch.testing.assert_close(ours(x, t, context, y), expected, atol=TOLERANCE, rtol=0)
        assert not torch.allclose(ours(x, t, context, y.roll(1, dims=1)), expected, atol=1e-3)


@pytest.mark.parametrize("name", UNETS)
def test_unet_sizes_are_read_off_the_shapes(name: str):
    with torch.device("meta"):
        shapes = {key: tuple(t.shape) for key, t in UNet(UNETS[name]).state_dict().items()}
    assert unet_config(shapes, {"unet_head_channels": 16, "unet_norm_groups": 8}) == UNETS[name]


def test_large_encoder_agrees_with_transformers():
    sizes = OpenClipConfig(width=32, layers=4, heads=4, mlp_width=64, vocabulary=100, projection=24)
    ours = OpenClip(sizes)
    randomised(ours)
    theirs = openclip_to_transformers(ours)
    tokens = torch.randint(1, 98, (2, 77), generator=torch.Generator().manual_seed(0))
    tokens[0, 20], tokens[1, 50] = 99, 99
    tokens[0, 21:], tokens[1, 51:] = 0, 0
    with torch.inference_mode():
        read, pooled = ours.with_pooled(tokens)
        expected = theirs(tokens, output_hidden_states=True)
        torch.testing.assert_close(read, expected.hidden_states[-2], atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(pooled, expected.text_embeds, atol=TOLERANCE, rtol=0)
        last = theirs.text_model.final_layer_norm(expected.hidden_states[-2])
        torch.testing.assert_close(ours.normalised(tokens), last, atol=TOLERANCE, rtol=0)
    shapes = {key: tuple(t.shape) for key, t in ours.state_dict().items()}
    assert openclip_config(shapes, {"text_heads": 4}) == sizes


def test_vectors_stand_in_for_tokens_of_the_large_encoder():
    ours = OpenClip(OpenClipConfig(width=32, layers=2, heads=4, mlp_width=64, vocabulary=100, projection=24))
    randomised(ours)
    tokens = torch.randint(0, 99, (2, 77), generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    other[0, 10:12] = tokens[1, 4:6]
    with torch.inference_mode():
        vectors = ours.model.token_embedding(tokens[1, 4:6])
        torch.testing.assert_close(ours.normalised(tokens, [(0, 10, vectors)]), ours.normalised(other))


def xl(*, refiner: bool = False, in_channels: int = 4) -> dict[str, Tensor]:
    """A narrow checkpoint with the full vocabulary."""
    small, width = (None, 24) if refiner else (SMALL, 40)
    unet = unet_sizes(context_dim=width, vector_dim=20 + (5 if refiner else 6) * 256, in_channels=in_channels)
    return tensors_of(PREFIX, TextEncoders(small, LARGE), unet)


def test_text_of_both_encoders_lies_side_by_side(tmp_path: Path):
    model = loaded(tmp_path / "xl.safetensors", xl())
    family = model.family
    with torch.inference_mode():
        rows = family.condition(model, ["a cat", "a (dog:1.3) BREAK on a mat"], OPTIONS)
        assert rows.tokens.shape == (2, 154, 40)
        assert rows.extras["y"].shape == (2, 20 + 6 * 256)
        assert family.empty_chunk(model, OPTIONS).abs().sum() > 0
        encoders = model.text
        assert isinstance(encoders, TextEncoders)
        assert encoders.small is not None
        ids = torch.tensor([[49406, *model.tokenizer.encode("a cat"), 49407]])
        padded = [torch.nn.functional.pad(ids, (0, 77 - ids.shape[1]), value=pad) for pad in (49407, 0)]
        read, pooled = encoders.large.with_pooled(padded[1])
        torch.testing.assert_close(rows.tokens[:1, :77, 16:], read)
        torch.testing.assert_close(rows.tokens[:1, :77, :16], encoders.small.hidden(padded[0], 2))
        torch.testing.assert_close(rows.extras["y"][:1, :20], pooled)
        x, t = torch.randn(2, 4, 6, 10), torch.tensor([10.0, 500.0])
        out = family.network(model, False)(x, t, rows)
        assert out.shape == x.shape
        assert out.isfinite().all()
    assert model.latent.scale == 0.13025


def test_layer_of_the_small_encoder_is_chosen_only_when_asked(tmp_path: Path):
    model = loaded(tmp_path / "xl.safetensors", xl())

    def tokens(**changed: object) -> Tensor:
        with torch.inference_mode():
            return model.family.condition(model, ["a cat"], TextOptions(**changed)).tokens  # pyright: ignore[reportArgumentType]

    plain = tokens()
    assert torch.equal(tokens(clip_skip=3), plain)
    assert torch.equal(tokens(clip_skip=2, clip_l_skip=True), plain)
    other = tokens(clip_skip=3, clip_l_skip=True)
    assert not torch.allclose(other[..., :16], plain[..., :16])
    assert torch.equal(other[..., 16:], plain[..., 16:])


def test_an_empty_negative_prompt_is_no_text_at_all(tmp_path: Path):
    model = loaded(tmp_path / "xl.safetensors", xl())

    def read(text: str, *, negative: bool) -> tuple[Tensor, Tensor]:
        options = TextOptions(size=OPTIONS.size, negative=negative)
        with torch.inference_mode():
            encoded = model.family.condition(model, [text], options)
        return encoded.tokens, encoded.extras["y"]

    tokens, y = read("", negative=True)
    assert not tokens.any()
    assert not y[:, :20].any()
    assert torch.equal(y[:, 20:], read("", negative=False)[1][:, 20:])
    assert read("", negative=False)[0].any()
    assert torch.equal(read("a", negative=True)[0], read("a", negative=False)[0])


def test_a_refiner_is_told_beauty_instead_of_the_target(tmp_path: Path):
    model = loaded(tmp_path / "refiner.safetensors", xl(refiner=True))
    assert model.match.variant == "refiner"
    options = TextOptions(size=Size(width=96, height=64), crop=(3, 4), aesthetic_scores=(7.0, 1.5))
    assert told_numbers(options, refiner=True) == (64, 96, 3, 4, 7.0)
    with torch.inference_mode():
        rows = model.family.condition(model, ["a cat"], options)
        assert rows.tokens.shape == (1, 77, 24)
        assert rows.extras["y"].shape == (1, 20 + 5 * 256)
        out = model.family.network(model, False)(torch.randn(1, 4, 6, 10), torch.tensor([10.0]), rows)
    assert out.isfinite().all()


def test_an_inpainting_model_takes_nine_channels(tmp_path: Path):
    model = loaded(tmp_path / "xl.safetensors", xl(in_channels=9))
    assert model.match.variant == "inpainting"
    with torch.inference_mode():
        rows = model.family.condition(model, ["a cat"], OPTIONS)
        assert model.family.network(model, False)(torch.randn(1, 4, 4, 4), torch.tensor([9.0]), rows).isfinite().all()


@pytest.mark.parametrize(
    ("config", "prediction"),
    [
        ({}, "eps"),
        ({"model": {"params": {"parameterization": "v"}}}, "v"),
        (
            {
                "model": {
                    "params": {"denoiser_config": {"params": {"scaling_config": {"target": "sgm.scaling.VScaling"}}}}
                }
            },
            "v",
        ),
    ],
)
def test_prediction_and_zero_snr(config: dict[str, object], prediction: str, shared_dir: Path):
    plain = manifest_header(shared_dir, "sdxl-base")
    assert identify(plain, config)[1].prediction == prediction
    tensors = {**plain.tensors, "v_pred": TensorInfo((0,), "F32"), "ztsnr": TensorInfo((0,), "F32")}
    marked = identify(Header(plain.path, tensors, {}), {})[1]
    assert marked.prediction == "v"
    assert marked.config["zero_terminal_snr"] is True
    assert native_size(marked.config) == 1024


def test_noise_levels_of_networks_of_all_levels_are_in_their_files(tmp_path: Path):
    marked = xl() | {"edm_vpred.sigma_max": torch.tensor(80.0), "edm_vpred.sigma_min": torch.tensor(0.01)}
    levels = loaded(tmp_path / "cos.safetensors", marked).prediction
    assert (levels.target.value, levels.log_time) == ("v", True)
    assert (levels.table.sigma_min, levels.table.sigma_max) == pytest.approx((0.01, 80.0))
    half = loaded(tmp_path / "half.safetensors", xl() | {"edm_vpred.sigma_max": torch.tensor(100.0)}).prediction
    assert (half.table.sigma_min, half.table.sigma_max) == pytest.approx((0.002, 100.0))
    with pytest.raises(BrokenFile, match="noise levels"):
        loaded(tmp_path / "wrong.safetensors", xl() | {"edm_vpred.sigma_max": torch.tensor(-1.0)})


def test_variants_of_the_layout(shared_dir: Path, monkeypatch: pytest.MonkeyPatch):
    found = variant_headers(shared_dir, "sdxl-base")
    for name in ("no-position-ids", "with-denoiser-sigmas", "with-schedule-buffers"):
        assert identify(found[name], {})[1].prediction == "eps", name
    lists = ("denoiser.sigmas", "alphas_cumprod")
    more = {name: TensorInfo((1000,), "F32") for name in lists} | {
        m: TensorInfo((0,), "F32") for m in ("v_pred", "ztsnr")
    }
    everything = Header(found["no-vae"].path, {**found["no-position-ids"].tensors, **more}, {})
    model, unread = load_without_weights(everything, monkeypatch)
    assert unread == {*more, f"{PREFIX}embedders.1.model.logit_scale"}
    assert model.prediction.target.value == "v"
    assert model.prediction.table.sigma_max > 4000  # the last of zero terminal SNR, instead of 14.6
    refused = {"no-clip": "without text encoder", "edm-playground-v2.5": "Playground"}
    for name, words in refused.items():
        with pytest.raises(UnsupportedCheckpoint, match=words):
            identify(found[name], {})


def test_models_without_a_whole_middle_are_recognised(shared_dir: Path, monkeypatch: pytest.MonkeyPatch):
    plain = manifest_header(shared_dir, "sdxl-base")
    for blocks, gone in ((1, ("1", "2")), (0, ("0", "1", "2"))):
        middle = tuple(f"model.diffusion_model.middle_block.{number}." for number in gone)
        tensors = {key: info for key, info in plain.tensors.items() if not key.startswith(middle)}
        model, _ = load_without_weights(Header(plain.path, tensors, {}), monkeypatch)
        assert model.match.variant == "base"
        assert cast(UNet, model.unet).config.middle_blocks == blocks


def test_a_network_is_told_what_it_was_trained_to_be_told():
    args = torch.randn(1, 4, 8, 8), torch.tensor([5.0]), torch.randn(1, 9, 40)
    with pytest.raises(ValueError, match="told 1556 numbers"):
        UNet(UNETS["base"])(*args)
    with pytest.raises(ValueError, match="told no numbers"):
        UNet(unet_sizes(context_dim=40))(*args, torch.randn(1, 1556))


@pytest.mark.parametrize(
    ("name", "unet", "ignored"),
    [
        ("sdxl-base", 2_567_463_684, {"0.transformer.text_model.embeddings.position_ids", "1.model.logit_scale"}),
        ("sdxl-inpainting", 2_567_478_084, {"0.transformer.text_model.embeddings.position_ids", "1.model.logit_scale"}),
        ("sdxl-refiner", 2_259_526_660, {"0.model.logit_scale"}),
    ],
)
def test_public_files_hold_these_networks_and_nothing_else(
    name: str, unet: int, ignored: set[str], shared_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    model, unread = load_without_weights(manifest_header(shared_dir, name), monkeypatch)
    assert unread == {f"{PREFIX}embedders.{key}" for key in ignored}
    assert sum(p.numel() for p in model.unet.parameters()) == unet
    assert isinstance(model.text, TextEncoders)
    large = model.text.large
    assert sum(p.numel() for p in large.parameters()) == 694_659_840
    assert (large.config.heads, large.read_layers) == (20, 31)
    assert isinstance(model.unet, UNet)
    assert model.unet.config.num_head_channels == 64


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"conditioner.embedders.1.model.text_projection": None}, "text_projection"),
        ({"model.diffusion_model.label_emb.0.0.weight": torch.zeros(64, 99)}, "expects 99 numbers besides the text"),
        ({"conditioner.embedders.1.model.ln_final.bias": None}, "1 text encoder tensors are missing"),
    ],
)
def test_files_that_contradict_themselves(changed: dict[str, Tensor | None], complaint: str, tmp_path: Path):
    tensors = {key: t for key, t in {**xl(), **changed}.items() if t is not None}
    with pytest.raises(BrokenFile, match=complaint):
        loaded(tmp_path / "xl.safetensors", tensors)
