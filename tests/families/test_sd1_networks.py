"""The networks compute what the second implementation computes with the same weights."""

import warnings
from importlib import import_module
from typing import TypeVar

import pytest
import torch
from torch import nn

from modules.families.sd1.keys import TextConfig, text_config, unet_config, vae_config
from modules.families.sd1.network import UNet, UNetConfig
from modules.families.sd1.text import TextEncoder
from modules.families.sd1.vae import VAE, VAEConfig
from modules.nn.attention.plain import PLAIN
from modules.nn.blocks import timestep_embedding
from modules.nn.tiling import circular_padding, convolutions
from modules.nn.torchvision_guard import ensure_torchvision_importable
from tests.families.compvis import unet_name, vae_name

TOLERANCE = 1e-5

UNETS = {
    "sd1": UNetConfig(model_channels=32, context_dim=24, num_heads=4, norm_groups=8),
    "inpainting": UNetConfig(model_channels=32, context_dim=24, num_heads=8, norm_groups=32, in_channels=9),
    "linear": UNetConfig(
        model_channels=32,
        context_dim=24,
        num_heads=None,
        num_head_channels=16,
        norm_groups=16,
        linear_projection=True,
    ),
    "narrow": UNetConfig(
        model_channels=32,
        channel_mult=(1, 3, 5),
        num_res_blocks=1,
        transformer_depth=(1, 1, 0),
        context_dim=16,
        num_heads=None,
        num_head_channels=16,
        norm_groups=8,
    ),
    "deep": UNetConfig(
        model_channels=32,
        channel_mult=(1, 2),
        transformer_depth=(0, 2),
        middle_depth=2,
        context_dim=16,
        num_heads=4,
        norm_groups=8,
    ),
}


@pytest.fixture(autouse=True)
def _quiet_oracle():
    ensure_torchvision_importable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


Network = TypeVar("Network", bound=nn.Module)


def randomised(module: Network, seed: int = 0) -> Network:
    """Give every tensor values at which no term vanishes, norms included."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim == 1:
            tensor.copy_(0.1 * noise + (1 if "norm" in name and name.endswith("weight") else 0))
        else:
            tensor.copy_(noise / tensor[0].numel() ** 0.5)
    return module.eval().requires_grad_(False)


def oracle_unet(ours: UNet) -> nn.Module:
    oracle = import_module("diffusers.models.unets.unet_2d_condition").UNet2DConditionModel
    config = ours.config
    widths = [mult * config.model_channels for mult in config.channel_mult]
    down = ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in config.transformer_depth]
    theirs = oracle(
        in_channels=config.in_channels,
        block_out_channels=tuple(widths),
        layers_per_block=config.num_res_blocks,
        down_block_types=tuple(down),
        up_block_types=tuple(kind.replace("Down", "Up") for kind in reversed(down)),
        attention_head_dim=tuple(config.heads(width) for width in widths),  # the oracle's name for the number of heads
        cross_attention_dim=config.context_dim,
        transformer_layers_per_block=tuple(max(1, depth) for depth in config.transformer_depth),
        use_linear_projection=config.linear_projection,
        norm_num_groups=config.norm_groups,
    )
    state = {unet_name(name, config.num_res_blocks): t for name, t in ours.state_dict().items()}
    theirs.load_state_dict(state, strict=True)
    return theirs.eval()


@pytest.mark.parametrize("name", UNETS)
def test_unet_agrees_with_diffusers(name: str):
    config = UNETS[name]
    ours = randomised(UNet(config))
    theirs = oracle_unet(ours)
    x = torch.randn(2, config.in_channels, 16, 24, generator=torch.Generator().manual_seed(1))
    context = torch.randn(2, 9, config.context_dim, generator=torch.Generator().manual_seed(2))
    t = torch.tensor([3.0, 741.25])
    with torch.inference_mode():
        torch.testing.assert_close(ours(x, t, context), theirs(x, t, context).sample, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", UNETS)
def test_unet_sizes_are_read_off_the_shapes(name: str):
    config = UNETS[name]
    with torch.device("meta"):
        shapes = {key: tuple(t.shape) for key, t in UNet(config).state_dict().items()}
    facts = {"unet_heads": config.num_heads, "unet_norm_groups": config.norm_groups}
    if config.num_head_channels:
        facts["unet_head_channels"] = config.num_head_channels
    assert unet_config(shapes, facts) == config


def test_unet_answers_in_the_size_it_was_asked_for():
    ours = randomised(UNet(UNETS["sd1"]))
    with torch.inference_mode():
        out = ours(torch.randn(1, 4, 13, 17), torch.tensor([5.0]), torch.randn(1, 9, 24))
    assert out.shape == (1, 4, 13, 17)
    assert out.isfinite().all()


def test_unet_uses_the_attention_it_is_given():
    calls = []

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        calls.append((q.shape[1], q.shape[3], k.shape[2]))
        return PLAIN(q, k, v)

    config = UNETS["narrow"]
    ours = randomised(UNet(config))
    watched = UNet(config, attend=attend).eval()
    watched.load_state_dict(ours.state_dict())
    args = torch.randn(1, 4, 8, 8), torch.tensor([5.0]), torch.randn(1, 9, 16)
    with torch.inference_mode():
        torch.testing.assert_close(watched(*args), ours(*args), atol=TOLERANCE, rtol=0)
    assert calls[:4] == [(2, 16, 64), (2, 16, 9), (6, 16, 16), (6, 16, 9)]


def test_unet_can_be_trained():
    ours = UNet(UNETS["narrow"])
    out = ours(torch.randn(2, 4, 8, 8), torch.tensor([5.0, 900.0]), torch.randn(2, 9, 16))
    out.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in ours.parameters())


def test_pictures_wrap_around_only_inside_the_context():
    ours = randomised(UNet(UNETS["narrow"]))
    layers = convolutions(ours)
    x, t, context = torch.randn(1, 4, 8, 8), torch.tensor([5.0]), torch.randn(1, 9, 16)
    shift = (4, 4)  # what the two halvings allow
    with torch.inference_mode():
        plain = ours(x, t, context)
        with circular_padding(layers):
            wrapped = ours(x, t, context)
            moved = ours(x.roll(shift, dims=(2, 3)), t, context)
        torch.testing.assert_close(moved, wrapped.roll(shift, dims=(2, 3)), atol=TOLERANCE, rtol=0)
        assert not torch.allclose(plain, wrapped, atol=1e-3)
        assert torch.equal(ours(x, t, context), plain)


def test_padding_is_put_back_after_an_error():
    layers = convolutions(UNet(UNETS["narrow"]))
    with pytest.raises(RuntimeError, match="stop"), circular_padding(layers):
        raise RuntimeError("stop")
    assert {layer.padding_mode for layer in layers} == {"zeros"}


@pytest.mark.parametrize("width", [1, 8, 33])
def test_timesteps_are_embedded_as_cosines_then_sines(width: int):
    t = torch.tensor([0.0, 17.5, 999.0])
    half = width // 2
    angles = t.double()[:, None] * 10000.0 ** (-torch.arange(half, dtype=torch.float64) / max(1, half))
    expected = torch.cat([angles.cos(), angles.sin(), torch.zeros(3, width % 2)], dim=1)
    torch.testing.assert_close(timestep_embedding(t, width).double(), expected, atol=1e-4, rtol=0)


VAES = {
    "sd1": VAEConfig(channels=32),
    "narrow": VAEConfig(channels=16, channel_mult=(1, 2, 4, 6), num_res_blocks=1, norm_groups=2),
    "wide latent": VAEConfig(channels=16, channel_mult=(1, 2), z_channels=8, embed_dim=8, norm_groups=4),
}


@pytest.mark.parametrize("name", VAES)
def test_vae_agrees_with_diffusers(name: str):
    oracle = import_module("diffusers.models.autoencoders.autoencoder_kl").AutoencoderKL
    config = VAES[name]
    ours = randomised(VAE(config))
    levels = len(config.channel_mult)
    theirs = oracle(
        block_out_channels=tuple(config.channels * mult for mult in config.channel_mult),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=config.num_res_blocks,
        latent_channels=config.z_channels,
        norm_num_groups=config.norm_groups,
    )
    expected = {key: t.shape for key, t in theirs.state_dict().items()}
    state = {vae_name(key, levels): t for key, t in ours.state_dict().items()}
    theirs.load_state_dict({key: t.reshape(expected[key]) for key, t in state.items()}, strict=True)
    theirs = theirs.eval()
    with torch.inference_mode():
        picture = torch.randn(2, 3, 48, 32, generator=torch.Generator().manual_seed(1))
        mean, logvar = ours.encode(picture)
        posterior = theirs.encode(picture).latent_dist
        torch.testing.assert_close(mean, posterior.mean, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(logvar, posterior.logvar, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(ours.decode(mean), theirs.decode(mean).sample, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", VAES)
def test_vae_sizes_are_read_off_the_shapes(name: str):
    config = VAES[name]
    with torch.device("meta"):
        shapes = {key: tuple(t.shape) for key, t in VAE(config).state_dict().items()}
    assert vae_config(shapes, {"vae_norm_groups": config.norm_groups}) == config


TEXT = TextConfig(width=32, layers=3, heads=4, mlp_width=64, vocabulary=100)


def test_text_encoder_reads_like_a_causal_transformer_with_quick_gelu():
    ours = randomised(TextEncoder(TEXT))
    weights = {name.removeprefix("transformer.text_model."): t.double() for name, t in ours.state_dict().items()}
    tokens = torch.randint(0, 100, (2, 77), generator=torch.Generator().manual_seed(0))
    h = weights["embeddings.token_embedding.weight"][tokens] + weights["embeddings.position_embedding.weight"]
    layers = [h]
    for i in range(TEXT.layers):
        h = _layer(h, {k.removeprefix(f"encoder.layers.{i}."): w for k, w in weights.items()}, TEXT.heads)
        layers.append(h)
    with torch.inference_mode():
        for skip in (1, 2, 3, 4, 99):
            expected = _norm(layers[-min(skip, 4)], weights, "final_layer_norm")
            torch.testing.assert_close(ours(tokens, skip).double(), expected, atol=TOLERANCE, rtol=0)
            raw = ours.hidden(tokens, skip).double()
            torch.testing.assert_close(raw, layers[-min(skip, 4)], atol=TOLERANCE, rtol=0)


def _norm(h: torch.Tensor, w: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    return nn.functional.layer_norm(h, h.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])


def _linear(h: torch.Tensor, w: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    return h @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _layer(h: torch.Tensor, w: dict[str, torch.Tensor], heads: int) -> torch.Tensor:
    n = _norm(h, w, "layer_norm1")
    q, k, v = (_linear(n, w, f"self_attn.{p}_proj").unflatten(-1, (heads, -1)).transpose(1, 2) for p in ("q", "k", "v"))
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -torch.inf)
    h = h + _linear((scores.softmax(-1) @ v).transpose(1, 2).flatten(2), w, "self_attn.out_proj")
    m = _linear(_norm(h, w, "layer_norm2"), w, "mlp.fc1")
    return h + _linear(m * torch.sigmoid(1.702 * m), w, "mlp.fc2")


def test_vectors_stand_in_for_tokens_from_their_position_on():
    ours = randomised(TextEncoder(TEXT))
    tokens = torch.randint(0, 100, (2, 77), generator=torch.Generator().manual_seed(0))
    as_vectors = ours.get_submodule("transformer.text_model.embeddings.token_embedding")(tokens[1, 4:6])
    with torch.inference_mode():
        plain = ours(tokens)
        other = tokens.clone()
        other[0, 10:12] = tokens[1, 4:6]
        torch.testing.assert_close(ours(tokens, 1, [(0, 10, as_vectors)]), ours(other), atol=TOLERANCE, rtol=0)
        assert torch.equal(ours(tokens), plain)


def test_text_sizes_are_read_off_the_shapes():
    with torch.device("meta"):
        shapes = {key: tuple(t.shape) for key, t in TextEncoder(TEXT).state_dict().items()}
    assert text_config(shapes, {"text_heads": 4}) == TEXT
    assert text_config(shapes, {}).heads == 1
