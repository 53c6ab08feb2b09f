"""`ldm` and `sgm`: names of CompVis's packages stand for the layers that models are built of."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.compat.idle import idle_view
from modules.families.sd1 import network, vae
from modules.families.sd1.network import UNet, UNetConfig
from modules.files.layout import Layout
from modules.nn import blocks
from modules.nn.attention import sdpa
from modules.nn.ops import PLAIN_OPS
from modules.sampling.prediction import SigmaTable, scaled_linear_alphas
from tests.compat.zoo_house import ZooHouse, zoo_house
from tests.pipeline.narrow import make_narrow_checkpoint

SIZES = UNetConfig(
    model_channels=32, channel_mult=(1, 2), num_res_blocks=1, transformer_depth=(1, 0), context_dim=24, num_heads=4,
    middle_depth=1,
)  # fmt: skip
"""Groups of 32 channels, as CompVis's constructors have them."""


@pytest.fixture
def names(tmp_path: Path) -> Iterator[Any]:
    with idle_view(Layout.of(tmp_path, tmp_path, tmp_path / "models")):
        yield importlib.import_module


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooHouse]:
    with zoo_house(tmp_path_factory.mktemp("layers")) as found:
        make_narrow_checkpoint(found.studio.models / "narrow.safetensors")
        found.host.catalog.refresh()
        found.settings.set({"sd_model_checkpoint": "narrow"})
        yield found


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def fill(layer: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(7)
    for weight in layer.parameters():
        weight.data = 0.2 * torch.randn(weight.shape, generator=generator)
    return layer.eval()


def run(unet: nn.Module) -> Tensor:
    with torch.no_grad():
        return unet(drawn(2, 4, 8, 8), torch.tensor([10.0, 500.0]), drawn(2, 77, 24, seed=1))


def test_layers_of_a_model_are_found_by_their_classes(names: Any):
    ldm, sgm = names("ldm.modules.attention"), names("sgm.modules.attention")
    openai = names("ldm.modules.diffusionmodules.openaimodel")
    unet = UNet(SIZES)
    layers = list(unet.modules())
    attentions: list[Any] = [one for one in layers if isinstance(one, ldm.CrossAttention)]
    assert len(attentions) == 2 * len([one for one in layers if isinstance(one, sgm.BasicTransformerBlock)]) > 0
    assert {type(one).__name__ for one in attentions} == {"CrossAttention"}
    assert attentions[0].dim_head * attentions[0].heads == attentions[0].to_q.out_features
    assert isinstance(unet, openai.UNetModel)
    assert all(isinstance(one, openai.TimestepEmbedSequential) for one in unet.input_blocks)
    assert not any(isinstance(one, ldm.MemoryEfficientCrossAttention | openai.AttentionBlock) for one in layers)
    assert not isinstance(unet.out[0], ldm.CrossAttention)
    assert (unet.model_channels, unet.num_classes, unet.dtype) == (32, None, torch.float32)


def test_a_replaced_forward_of_a_layer_is_called(names: Any):
    attention = names("ldm.modules.attention")
    unet = fill(UNet(SIZES))
    before = run(unet)
    hooked = [one for name, one in unet.named_modules() if name.endswith("attn2") and isinstance(one, attention.CrossAttention)]  # fmt: skip
    for layer in hooked:
        own = layer.forward
        layer.forward = lambda x, context=None, mask=None, own=own, **_: -own(x, context=context, mask=mask, additional_tokens=None)  # fmt: skip
    assert not torch.allclose(run(unet), before)
    for layer in hooked:
        del layer.forward
    assert torch.equal(run(unet), before)


def test_what_replaces_cat_joins_the_levels_of_a_network(tmp_path: Path):
    unet, widths = fill(UNet(SIZES)), list[tuple[int, int]]()
    before = run(unet)
    with idle_view(Layout.of(tmp_path, tmp_path, tmp_path / "models")):
        th = importlib.import_module("modules.sd_hijack_unet").th
        plain = th.cat

        def cat(tensors: list[Tensor], dim: int) -> Tensor:
            widths.append((tensors[0].shape[1], tensors[1].shape[1]))
            return plain([0.5 * tensors[0], tensors[1]], dim=dim)

        th.cat = cat
        assert not torch.allclose(run(unet), before)
        assert widths == [(64, 64), (64, 32), (64, 32), (32, 32)]
        th.cat = plain
        assert torch.equal(run(unet), before)
        th.cat = cat
    assert torch.equal(run(unet), before)


def test_the_inside_of_a_block_may_be_replaced(names: Any):
    block_class = names("ldm.modules.attention").BasicTransformerBlock
    unet = fill(UNet(SIZES))
    before = run(unet)
    blocks_found: list[Any] = [one for one in unet.modules() if isinstance(one, block_class)]

    def same(self: Any, x: Tensor, context: Any = None) -> Tensor:
        assert not self.disable_self_attn
        x = self.attn1(self.norm1(x), context=self.norm1(x)) + x
        x = self.attn2(self.norm2(x), context=context) + x
        return self.ff(self.norm3(x)) + x

    for one in blocks_found:
        one.kept, one._forward = one._forward, same.__get__(one, block_class)
    torch.testing.assert_close(run(unet), before, rtol=1e-4, atol=1e-4)
    for one in blocks_found:
        one._forward = lambda x, context=None: x
    assert not torch.allclose(run(unet), before)
    for one in blocks_found:
        one._forward = one.kept
    assert torch.equal(run(unet), before)


def test_a_network_takes_the_arguments_of_compvis(names: Any):
    names("ldm.modules.attention")
    unet = fill(UNet(SIZES))
    with torch.no_grad():
        named = unet(x=drawn(2, 4, 8, 8), timesteps=torch.tensor([10.0, 500.0]), context=drawn(2, 77, 24, seed=1), y=None, transformer_options={})  # fmt: skip
    assert torch.equal(named, run(unet))


def test_what_is_assigned_to_a_class_reaches_the_layers_until_the_view_is_gone(tmp_path: Path):
    unet = fill(UNet(SIZES))
    before, own = run(unet), vars(blocks.CrossAttention)["forward"]
    with idle_view(Layout.of(tmp_path, tmp_path, tmp_path / "models")):
        attention = importlib.import_module("ldm.modules.attention")
        kept = attention.CrossAttention.forward
        attention.CrossAttention.forward = lambda self, x, context=None, mask=None: x
        changed = run(unet)
        attention.CrossAttention.forward = kept
        assert torch.equal(run(unet), before)
        attention.CrossAttention.forward = lambda self, x, context=None, mask=None: x
        assert torch.equal(run(unet), changed)
        assert not torch.allclose(changed, before)
    assert vars(blocks.CrossAttention)["forward"] is own
    assert not any(hasattr(one, "_forward") for one in (blocks.BasicTransformerBlock, blocks.ResBlock))
    assert not hasattr(network.UNet, "dtype")
    assert torch.equal(run(unet), before)


@pytest.mark.parametrize("linear", [False, True])
def test_layers_made_by_extensions_are_the_same_layers(names: Any, linear: bool):
    openai = names("sgm.modules.diffusionmodules.openaimodel")
    pairs = (
        (openai.ResBlock(32, 128, 0.0, out_channels=64, dims=2, use_checkpoint=False),
         blocks.ResBlock(32, 64, 128, norm_groups=32, ops=PLAIN_OPS), (drawn(2, 32, 8, 8), drawn(2, 128))),
        (openai.SpatialTransformer(64, 4, 16, depth=2, context_dim=24, use_linear=linear),
         blocks.SpatialTransformer(64, 24, 4, 2, linear=linear, norm_groups=32, ops=PLAIN_OPS, attend=sdpa.attend),
         (drawn(2, 64, 8, 8), drawn(2, 77, 24))),
        (openai.Downsample(32, True, dims=2, out_channels=32), blocks.Downsample(32, ops=PLAIN_OPS), (drawn(1, 32, 8, 8),)),
    )  # fmt: skip
    for made, own, inputs in pairs:
        assert all(not weight.any() for name, weight in made.named_parameters() if name.startswith(("proj_out", "out_layers.3")))  # fmt: skip
        fill(own)
        made.load_state_dict(own.state_dict())
        made.eval()
        with torch.no_grad():
            assert torch.equal(made(*inputs), own(*inputs))
        assert isinstance(own, type(made))


def test_whole_networks_made_by_extensions_have_the_names_of_checkpoints(names: Any):
    model = names("ldm.modules.diffusionmodules.openaimodel").UNetModel(
        32, 4, 32, 4, 1, attention_resolutions=[1], channel_mult=[1, 2], num_heads=4, transformer_depth=1,
        context_dim=24, use_spatial_transformer=True,
    )  # fmt: skip
    assert model.state_dict().keys() == UNet(SIZES).state_dict().keys()
    parts = names("ldm.modules.diffusionmodules.model")
    given = {"ch": 32, "out_ch": 3, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": [], "in_channels": 3,
             "resolution": 64, "z_channels": 4}  # fmt: skip
    sizes = vae.VAEConfig(channels=32, channel_mult=(1, 2), num_res_blocks=1)
    own = vae.VAE(sizes)
    for made, theirs in ((parts.Encoder(**given), own.encoder), (parts.Decoder(**given), own.decoder)):
        assert made.state_dict().keys() == theirs.state_dict().keys()
        assert (theirs.num_resolutions, theirs.num_res_blocks) == (2, 1)
        assert isinstance(theirs.mid.attn_1, parts.AttnBlock)


def test_small_functions_agree_with_what_is_known(names: Any):
    util = names("ldm.modules.diffusionmodules.util")
    betas = util.make_beta_schedule("linear", 1000, linear_start=0.00085, linear_end=0.012)
    torch.testing.assert_close(torch.from_numpy(betas).neg().add(1).cumprod(0).float(), scaled_linear_alphas())
    table = torch.arange(10.0)
    assert util.extract_into_tensor(table, torch.tensor([3, 7]), (2, 4, 8, 8)).shape == (2, 1, 1, 1)
    norm = util.normalization(64)
    torch.testing.assert_close(norm(drawn(2, 64, 4, 4)), F.group_norm(drawn(2, 64, 4, 4), 32))
    levels = names("sgm.modules.diffusionmodules.discretizer").LegacyDDPMDiscretization()
    expected = SigmaTable.from_alphas(scaled_linear_alphas()).sigmas.flip(0)
    torch.testing.assert_close(levels(1000, do_append_zero=False), expected, rtol=1e-3, atol=1e-4)
    few = levels(4)
    assert few[0] == levels(1000)[0]
    assert few[-1] == 0
    assert names("sgm.util").instantiate_from_config({"target": "collections.Counter", "params": {"a": 2}})["a"] == 2


def test_attention_without_a_text_follows_its_formula(names: Any):
    block: Any = fill(names("ldm.modules.diffusionmodules.openaimodel").AttentionBlock(32, num_head_channels=16))
    x = drawn(2, 32, 4, 4)
    with torch.no_grad():
        mixed = block.qkv(block.norm(x).flatten(2)).reshape(2 * 2, 48, 16)
        q, k, v = mixed.split(16, dim=1)
        weight = torch.einsum("bct,bcs->bts", q, k).mul(16**-0.5).softmax(-1)
        expected = x + block.proj_out(torch.einsum("bts,bcs->bct", weight, v).reshape(2, 32, 16)).reshape(x.shape)
        torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-4)


def test_the_model_shows_its_parts(house: ZooHouse):
    model = importlib.import_module("modules.shared").sd_model
    attention = importlib.import_module("ldm.modules.attention")
    unet = model.model.diffusion_model
    found = {name: one for name, one in model.named_modules() if isinstance(one, attention.CrossAttention)}
    assert all(name.startswith("model.diffusion_model.") for name in found)
    first = next(iter(found.values()))
    assert model.network_layer_mapping[first.network_layer_name] is first
    assert first.network_layer_name.startswith("diffusion_model_input_blocks_1_1_transformer_blocks_0_attn1")
    assert isinstance(unet, importlib.import_module("ldm.modules.diffusionmodules.openaimodel").UNetModel)
    assert not hasattr(model, "conditioner")
    alphas = model.sqrt_alphas_cumprod**2 + model.sqrt_one_minus_alphas_cumprod**2
    torch.testing.assert_close(alphas, torch.ones(1000))


def test_the_text_encoder_cuts_and_encodes_as_a_run_does(house: ZooHouse):
    model = importlib.import_module("modules.shared").sd_model
    encoder = model.cond_stage_model
    assert isinstance(encoder, importlib.import_module("modules.sd_hijack_clip").FrozenCLIPEmbedderWithCustomWordsBase)
    assert not hasattr(encoder, "model")
    chunks, count = encoder.tokenize_line("a (red:1.5) circle")
    assert (len(chunks), count) == (1, 3)
    assert chunks[0].tokens[:5] == [encoder.id_start, *encoder.tokenize(["a red circle"])[0], encoder.id_end]
    assert chunks[0].multipliers[2] == 1.5
    assert encoder.get_target_prompt_token_count(76) == 150
    texts = ["a (red:1.5) circle", "a " * 80]
    wanted = [model.get_learned_conditioning([text]) for text in texts]
    with torch.no_grad():
        for text, expected in zip(texts, wanted, strict=True):
            torch.testing.assert_close(encoder([text]), expected)
        chunk = chunks[0]
        torch.testing.assert_close(encoder.process_tokens([chunk.tokens], [chunk.multipliers]), wanted[0])


def test_pictures_hear_of_replaced_layers(house: ZooHouse):
    plain = house.txt2img()["images"]
    unet = importlib.import_module("modules.shared").sd_model.model.diffusion_model
    attention = importlib.import_module("ldm.modules.attention")
    layers = [one for one in unet.modules() if isinstance(one, attention.CrossAttention)]
    for layer in layers:
        layer.forward = lambda x, context=None, mask=None, **_: torch.zeros_like(x)
    try:
        assert house.txt2img()["images"] != plain
    finally:
        for layer in layers:
            del layer.forward
    assert house.txt2img()["images"] == plain
