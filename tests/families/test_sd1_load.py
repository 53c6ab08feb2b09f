"""Checkpoints in every form they are found in load whole, or not at all and with the reason."""

import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from modules.domain.errors import BrokenFile, UnknownName, UnsupportedCheckpoint
from modules.domain.plan import TextOptions
from modules.families import identify
from modules.families.family import Build, Components, Files
from modules.families.loading import fill
from modules.families.sd1.keys import TextConfig
from modules.families.sd1.network import UNet, UNetConfig
from modules.families.sd1.text import TextEncoder
from modules.families.sd1.vae import VAE, VAEConfig
from modules.library.header import read_header
from modules.nn.attention.sdpa import SDPA
from modules.nn.ops import PLAIN_OPS
from modules.sampling.types import Conditioning

Tensors = dict[str, Tensor]

CONFIG: dict[str, Any] = {
    "model": {
        "params": {
            "unet_config": {"params": {"num_heads": 4, "norm_groups": 8}},
            "first_stage_config": {"params": {"ddconfig": {"norm_groups": 4}}},
            "cond_stage_config": {"params": {"num_heads": 3}},
        }
    }
}


def build(dtype: torch.dtype = torch.float32) -> Build:
    cpu = torch.device("cpu")
    return Build(ops=PLAIN_OPS, attend=SDPA, device=cpu, dtype=dtype, text_dtype=torch.float32, vae_dtype=dtype)


@pytest.fixture(scope="module")
def narrow() -> Tensors:
    """A checkpoint of Stable Diffusion 1 with narrow networks and random weights, but the full vocabulary."""
    unet = UNetConfig(
        model_channels=16,
        channel_mult=(1, 2),
        num_res_blocks=1,
        transformer_depth=(1, 0),
        context_dim=24,
        num_heads=4,
        norm_groups=8,
    )
    vae = VAEConfig(channels=8, channel_mult=(1, 2, 2, 2), num_res_blocks=1, norm_groups=4)
    text = TextConfig(width=24, layers=3, heads=3, mlp_width=48)
    parts: dict[str, nn.Module] = {
        "model.diffusion_model.": UNet(unet),
        "first_stage_model.": VAE(vae),
        "cond_stage_model.": TextEncoder(text),
    }
    generator = torch.Generator().manual_seed(0)
    tensors = {
        prefix + name: 0.2 * torch.randn(tensor.shape, generator=generator)
        for prefix, module in parts.items()
        for name, tensor in module.state_dict().items()
    }
    return {name: tensor.half().float() for name, tensor in tensors.items()}


def load(path: Path, *, config: Mapping[str, Any] = CONFIG, vae: Path | None = None) -> Components:
    family, match = identify(read_header(path), config)
    assert family.id == "sd1"
    return family.load(Files(checkpoint=path, vae=vae), match, build())


def weights(model: Components) -> Tensors:
    parts = {
        "model.diffusion_model.": model.unet,
        "first_stage_model.": model.vae,
        "cond_stage_model.": model.text,
    }
    return {prefix + name: t for prefix, module in parts.items() for name, t in module.state_dict().items()}


def written(path: Path, tensors: Tensors) -> Path:
    save_file({name: t.contiguous() for name, t in tensors.items()}, path, metadata={"format": "pt"})
    return path


POSITION_IDS = "cond_stage_model.transformer.text_model.embeddings.position_ids"

EDITS: dict[str, Callable[[Tensors], Tensors]] = {
    "plain": dict,
    "half": lambda t: {k: v.half() for k, v in t.items()},
    "bfloat": lambda t: {k: v.bfloat16().float().bfloat16() for k, v in t.items()},
    "position ids": lambda t: {**t, POSITION_IDS: torch.arange(77)[None]},
    "half position ids": lambda t: {**t, POSITION_IDS: torch.arange(77)[None].half()},
    "no text_model level": lambda t: {k.replace("transformer.text_model.", "transformer."): v for k, v in t.items()},
    "averaged copies": lambda t: {
        **t,
        "model_ema.decay": torch.tensor(0.9),
        "model_ema.num_updates": torch.tensor(3),
        "model_ema.diffusion_modelinput_blocks00weight": torch.zeros(16, 4, 3, 3),
    },
    "schedule buffers": lambda t: {**t, "betas": torch.zeros(1000), "alphas_cumprod": torch.zeros(1000).half()},
    "training leftovers": lambda t: {
        **t,
        "logvar": torch.zeros(1000),
        "first_stage_model.loss.logvar": torch.zeros(()),
        "cond_stage_model.logit_scale": torch.zeros(()),
        "cond_stage_model.transformer.text_projection.weight": torch.zeros(24, 24),
    },
}


@pytest.mark.parametrize("name", EDITS)
def test_every_form_of_the_file_gives_the_same_model(name: str, narrow: Tensors, tmp_path: Path):
    model = load(written(tmp_path / "model.safetensors", EDITS[name](narrow)))
    exact = 0.0 if name != "bfloat" else 0.01
    loaded = weights(model)
    assert loaded.keys() == narrow.keys()
    for key, tensor in loaded.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, narrow[key], atol=exact, rtol=0)


@pytest.mark.parametrize("nested", [False, True])
def test_pickled_checkpoints(nested: bool, narrow: Tensors, tmp_path: Path):
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": narrow, "global_step": 7} if nested else narrow, path)
    loaded = weights(load(path))
    assert loaded.keys() == narrow.keys()
    assert all(torch.equal(loaded[key], narrow[key]) for key in narrow)


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: t for key, t in tensors.items() if not key.startswith(name)}


def with_value(name: str, tensor: Tensor) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, name: tensor}


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (
            without("model.diffusion_model.time_embed"),
            r"4 UNet tensors are missing: time_embed\.0\.bias, time_embed\.0\.weight",
        ),
        (without("model.diffusion_model.output_blocks"), r"and \d+ more"),
        (without("model.diffusion_model.out."), r"out\.2\.weight is missing"),
        (without("cond_stage_model.transformer.text_model.final"), r"2 text encoder tensors are missing"),
        (without("first_stage_model.decoder.mid"), r"VAE tensors are missing: decoder\.mid"),
        (without("first_stage_model."), r"holds no VAE; put one in models/VAE"),
        (
            with_value("model.diffusion_model.control.0.weight", torch.zeros(2)),
            r"1 UNet tensors are not part of this model: model\.diffusion_model\.control\.0\.weight",
        ),
        (
            with_value("model.diffusion_model.out.0.weight", torch.zeros(17)),
            r"model\.diffusion_model\.out\.0\.weight has shape \[17\], expected \[16\]",
        ),
        (
            with_value("model.diffusion_model.input_blocks.1.0.in_layers.2.weight", torch.zeros(20, 16, 3, 3)),
            r"not a multiple",
        ),
        (
            with_value(
                "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", torch.ones(16, 9)
            ),
            r"text encoder is 24 wide, but its UNet expects 9",
        ),
        (with_value("first_stage_model.encoder.conv_in.weight", torch.zeros(8)), r"shapes do not fit together"),
    ],
)
def test_files_that_do_not_hold_the_model_are_refused(
    edit: Callable[[Tensors], Tensors], complaint: str, narrow: Tensors, tmp_path: Path
):
    path = written(tmp_path / "broken.safetensors", edit(narrow))
    with pytest.raises(BrokenFile, match=rf"broken\.safetensors: .*{complaint}"):
        load(path)


def test_heads_that_do_not_divide_a_width_point_to_the_yaml(narrow: Tensors, tmp_path: Path):
    path = written(tmp_path / "model.safetensors", narrow)
    with pytest.raises(BrokenFile, match="check the yaml beside it"):
        load(path, config={})  # 32 norm groups do not divide 16 channels


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_a_vae_file_takes_the_place_of_the_checkpoints_own(prefix: str, narrow: Tensors, tmp_path: Path):
    own = "first_stage_model."
    other = {prefix + key.removeprefix(own): t + 1 for key, t in narrow.items() if key.startswith(own)}
    other[f"{prefix}loss.discriminator.main.0.weight"] = torch.zeros(3)
    vae = written(tmp_path / "other.vae.safetensors", other)
    path = written(tmp_path / "model.safetensors", without(own)(narrow))
    loaded = weights(load(path, vae=vae))
    assert all(torch.equal(t, narrow[key] + (1 if key.startswith(own) else 0)) for key, t in loaded.items())


def test_a_vae_file_that_is_something_else_is_named(narrow: Tensors, tmp_path: Path):
    path = written(tmp_path / "model.safetensors", narrow)
    lora = {"lora_unet_x.lora_down.weight": torch.zeros(4, 4), "lora_unet_x.lora_up.weight": torch.zeros(4, 4)}
    with pytest.raises(UnsupportedCheckpoint, match=r"wrong\.safetensors.*models/Lora"):
        load(path, vae=written(tmp_path / "wrong.safetensors", lora))


def test_conversion_holds_one_tensor_beside_the_module():
    """When a tensor is read, the ones before it are no longer held in their stored form."""
    module = nn.Sequential(*(nn.Linear(4, 4, device="meta") for _ in range(5)))
    held: list[weakref.ref[Tensor]] = []

    def get(name: str) -> Tensor:
        assert all(one() is None for one in held)
        tensor = torch.ones(module.get_parameter(name).shape, dtype=torch.float16)
        held.append(weakref.ref(tensor))
        return tensor

    names = {name: name for name in module.state_dict()}
    fill(module, "test", names, get, path=Path("x"), device=torch.device("cpu"), dtype=torch.float32)
    assert len(held) == 10
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in module.parameters())


def test_a_tensor_that_needs_no_conversion_is_used_as_it_lies():
    module = nn.Linear(4, 4, bias=False, device="meta")
    stored = torch.ones(4, 4)
    fill(
        module,
        "test",
        {"weight": "w"},
        lambda _: stored,
        path=Path("x"),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    assert module.weight.data_ptr() == stored.data_ptr()


def test_sidecar_numbers_reach_the_model(narrow: Tensors, tmp_path: Path):
    path = written(tmp_path / "model.safetensors", narrow)
    params = {**CONFIG["model"]["params"], "scale_factor": 0.5, "linear_end": 0.02, "timesteps": 500}
    plain, other = load(path), load(path, config={"model": {"params": {**params, "parameterization": "v"}}})
    assert plain.latent.scale == 0.18215
    assert plain.prediction.table.sigma_max == pytest.approx(14.6146, abs=1e-3)
    assert plain.prediction.target.value == "eps"
    assert other.latent.scale == 0.5
    assert len(other.prediction.table) == 500
    assert other.prediction.target.value == "v"


def test_the_model_runs_and_listens(narrow: Tensors, tmp_path: Path):
    model = load(written(tmp_path / "model.safetensors", narrow))
    family, options = model.family, TextOptions()
    with torch.inference_mode():
        rows = family.condition(model, ["a cat", "a (dog:1.3) BREAK on a mat"], options)
        assert rows.tokens.shape == (2, 154, 24)
        empty = family.empty_chunk(model, options)
        assert empty.shape == (1, 77, 24)
        network = family.network(model, False)
        x, t = torch.randn(2, 4, 6, 10), torch.tensor([10.0, 500.0])
        out = network(x, t, rows)
        assert out.shape == x.shape
        assert not torch.equal(out[:1], network(x[:1], t[:1], Conditioning(tokens=empty)))
        tiled = family.network(model, True)(x, t, rows)
        assert not torch.allclose(out, tiled)
        picture = family.decode(model, x[:1], False)
        assert picture.shape == (1, 3, 48, 80)
        torch.testing.assert_close(
            family.decode(model, x[:1].roll(2, 3), True),
            family.decode(model, x[:1], True).roll(16, 3),
            atol=1e-4,
            rtol=0,
        )
    assert family.count_tokens(model.tokenizer, "a cat, " * 30, options) == 75 + 15
    with pytest.raises(UnknownName, match="emphasis mode 'Loud'"):
        family.condition(model, ["a"], TextOptions(emphasis="Loud"))


def test_clip_skip_and_emphasis_change_what_is_said(narrow: Tensors, tmp_path: Path):
    model = load(written(tmp_path / "model.safetensors", narrow))

    def tokens(text: str, **options: Any) -> Tensor:
        with torch.inference_mode():
            return model.family.condition(model, [text], TextOptions(**options)).tokens

    plain = tokens("a big house")
    assert not torch.allclose(plain, tokens("a big house", clip_skip=2))
    raw = tokens("a (big:1.5) house", emphasis="Ignore")
    torch.testing.assert_close(raw, plain)
    weighted = tokens("a (big:1.5) house", emphasis="No norm")
    factor = torch.ones(1, 77, 1)
    factor[0, 2] = 1.5
    torch.testing.assert_close(weighted, plain * factor)
    original = tokens("a (big:1.5) house")
    torch.testing.assert_close(original, weighted * (plain.mean() / weighted.mean()))
    assert not torch.allclose(plain, tokens("a (big:1.5) house", emphasis="None"), atol=1e-3)


@pytest.mark.parametrize(("channels", "variant"), [(9, "inpainting"), (8, "pix2pix")])
def test_variants_get_the_input_they_lack(channels: int, variant: str, narrow: Tensors, tmp_path: Path):
    first = "model.diffusion_model.input_blocks.0.0.weight"
    wide = torch.cat([narrow[first], 0.1 * torch.randn(16, channels - 4, 3, 3)], dim=1)
    model = load(written(tmp_path / "model.safetensors", {**narrow, first: wide}))
    assert model.match.variant == variant
    network = model.family.network(model, False)
    x, t = torch.randn(2, 4, 4, 4), torch.tensor([10.0, 500.0])
    with torch.inference_mode():
        rows = model.family.condition(model, ["a", "b"], TextOptions())
        if variant == "inpainting":
            mean, _ = model.vae.get_submodule("quant_conv")(
                model.vae.get_submodule("encoder")(torch.zeros(1, 3, 32, 32))
            ).chunk(2, dim=1)
            concat = torch.cat([torch.ones(1, 1, 4, 4), mean * model.latent.scale], dim=1).expand(2, -1, -1, -1)
        else:
            concat = torch.zeros(2, 4, 4, 4)
        given = Conditioning(tokens=rows.tokens, extras={"concat": concat})
        torch.testing.assert_close(network(x, t, rows), network(x, t, given))
        other = Conditioning(tokens=rows.tokens, extras={"concat": torch.zeros_like(concat) + 0.5})
        assert not torch.allclose(network(x, t, rows), network(x, t, other))


MEASURE = """
import resource, sys
from pathlib import Path
import torch
from modules.families import identify
from modules.families.family import Build, Files
from modules.families.sd1.keys import TextConfig
from modules.families.sd1.text import TextEncoder
from modules.library.header import read_header
from modules.nn.attention.sdpa import SDPA
from modules.nn.ops import PLAIN_OPS

path = Path(sys.argv[1])
TextEncoder(TextConfig(width=8, layers=1, heads=1, mlp_width=8, vocabulary=10))  # its imports are not the file's weight
half, cpu = torch.float16, torch.device("cpu")
made = Build(ops=PLAIN_OPS, attend=SDPA, device=cpu, dtype=half, text_dtype=half, vae_dtype=half)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
family, match = identify(read_header(path), {})
model = family.load(Files(checkpoint=path), match, made)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
for part in (model.unet, model.vae, model.text):
    assert {p.dtype for p in part.parameters()} == {half}
    print(sum(p.numel() for p in part.parameters()))
"""


@pytest.mark.slow
def test_full_size_half_precision_file_is_mapped_not_copied(shared_dir: Path, tmp_path: Path):
    path = tmp_path / "sd15.safetensors"
    tool = shared_dir / "manifests" / "synthesise.py"
    command = [sys.executable, str(tool), "checkpoints/sd15", str(path), "--variant", "fp16-pruned", "--fill", "zero"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    script = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(
        script, check=True, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2]
    )
    grown_kb, unet, vae, text = map(int, done.stdout.split())
    assert grown_kb * 1024 < 0.2 * path.stat().st_size
    assert (unet, vae, text) == (859_520_964, 83_653_863, 123_060_480)
