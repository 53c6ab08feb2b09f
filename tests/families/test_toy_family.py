"""The toy family goes through the same doors as the real ones, in milliseconds."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from modules.domain.errors import BrokenFile
from modules.domain.plan import TextOptions
from modules.families import identify
from modules.families.family import Build, Components, Files
from modules.families.toy.checkpoint import make_toy_checkpoint
from modules.library.header import read_header
from modules.nn.attention.backend import Attend
from modules.nn.attention.plain import PLAIN
from modules.nn.attention.sdpa import SDPA
from modules.nn.ops import PLAIN_OPS
from modules.sampling.prediction import predict
from modules.sampling.types import Conditioning

OPTIONS = TextOptions()


def load(
    path: Path, *, attend: Attend = SDPA, vae: Path | None = None, dtype: torch.dtype = torch.float32
) -> Components:
    family, match = identify(read_header(path), {})
    assert (family.id, match.variant, match.prediction) == ("toy", "base", "eps")
    cpu = torch.device("cpu")
    made = Build(ops=PLAIN_OPS, attend=attend, device=cpu, dtype=dtype, text_dtype=dtype, vae_dtype=dtype)
    return family.load(Files(checkpoint=path, vae=vae), match, made)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Components:
    return load(make_toy_checkpoint(tmp_path_factory.mktemp("toy") / "toy.safetensors"))


def picture(model: Components, prompt: str, *, seed: int = 0, tiling: bool = False, batch: int = 1) -> Tensor:
    """Run ten Euler steps with guidance 7 against the empty prompt."""
    family = model.family
    with torch.inference_mode():
        wanted = family.condition(model, [prompt] * batch, OPTIONS)
        empty = family.empty_chunk(model, OPTIONS).expand(batch, -1, -1)
        denoise = predict(family.network(model, tiling), model.prediction)
        sigmas = torch.cat([model.prediction.table.sigma_of(torch.linspace(999, 0, 10)), torch.zeros(1)])
        noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
        x = noise.expand(batch, -1, -1, -1) * sigmas[0]
        for i in range(10):
            sigma = sigmas[i].expand(batch)
            uncond = denoise(x, sigma, Conditioning(tokens=empty))
            x0 = uncond + 7 * (denoise(x, sigma, wanted) - uncond)
            x = x + (x - x0) / sigmas[i] * (sigmas[i + 1] - sigmas[i])
        return family.decode(model, x, tiling)


def test_a_picture_comes_out_with_contrast_and_the_right_size(toy: Components):
    out = picture(toy, "a cat")
    assert out.shape == (1, 3, 64, 64)
    assert out.abs().max() <= 1
    assert out.std() > 0.1


def test_the_same_request_gives_the_same_picture_alone_and_in_a_batch(toy: Components):
    one = picture(toy, "a cat")
    assert torch.equal(one, picture(toy, "a cat"))
    torch.testing.assert_close(picture(toy, "a cat", batch=3), one.expand(3, -1, -1, -1), atol=1e-3, rtol=0)


@pytest.mark.parametrize("prompt", ["a dog", "a (cat:1.5)", "a cat, very big", "", "word " * 100])
def test_prompts_change_the_picture(toy: Components, prompt: str):
    assert (picture(toy, "a cat") - picture(toy, prompt)).abs().max() > 0.02


def test_seeds_change_the_picture(toy: Components):
    assert (picture(toy, "a cat") - picture(toy, "a cat", seed=1)).abs().max() > 0.1


def test_checkpoints_of_different_seeds_are_different_models(toy: Components, tmp_path: Path):
    a, b = (make_toy_checkpoint(tmp_path / f"{i}.safetensors", seed) for i, seed in enumerate((0, 0)))
    other = load(make_toy_checkpoint(tmp_path / "other.safetensors", 1))
    assert a.read_bytes() == b.read_bytes()
    assert (picture(toy, "a cat") - picture(other, "a cat")).abs().max() > 0.1


def test_tiling_makes_a_shifted_latent_a_shifted_picture(toy: Components):
    family = toy.family
    x, t = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([500.0])
    cond = family.condition(toy, ["a"], OPTIONS)
    for tiling in (True, False):
        network = family.network(toy, tiling)
        same = torch.allclose(network(x.roll(3, 3), t, cond), network(x, t, cond).roll(3, 3), atol=1e-4)
        decoded = family.decode(toy, x.roll(3, 3), tiling), family.decode(toy, x, tiling).roll(24, 3)
        assert same is torch.allclose(*decoded, atol=1e-4) is tiling


def test_text_options_are_obeyed(toy: Components):
    def tokens(**options: object) -> Tensor:
        return toy.family.condition(toy, ["a (cat:1.4)"], TextOptions(**options)).tokens  # pyright: ignore[reportArgumentType]

    variants = [tokens(), tokens(clip_skip=2), tokens(emphasis="No norm"), tokens(emphasis="Ignore")]
    for i, a in enumerate(variants):
        assert all(not torch.allclose(a, b) for b in variants[i + 1 :])


def test_rows_of_a_timeline_have_the_same_number_of_chunks(toy: Components):
    rows = toy.family.condition(toy, ["short", "word " * 80, "a BREAK b BREAK c"], OPTIONS).tokens
    assert rows.shape == (3, 3 * 77, 8)
    assert toy.family.count_tokens(toy.tokenizer, "word, " * 40, OPTIONS) == 80
    assert toy.family.count_tokens(toy.tokenizer, "", OPTIONS) == 0


def test_attention_is_injected_and_half_precision_is_possible(toy: Components, tmp_path: Path):
    path = make_toy_checkpoint(tmp_path / "toy.safetensors")
    torch.testing.assert_close(picture(load(path, attend=PLAIN), "a cat"), picture(toy, "a cat"), atol=1e-4, rtol=0)
    half = load(path, dtype=torch.bfloat16)
    assert half.unet.get_parameter("conv_in.weight").dtype == torch.bfloat16
    assert picture(half, "a cat").isfinite().all()


def test_another_vae_can_be_chosen(toy: Components, tmp_path: Path):
    other = make_toy_checkpoint(tmp_path / "other.safetensors", 5)
    mixed = load(make_toy_checkpoint(tmp_path / "toy.safetensors"), vae=other)
    assert torch.equal(mixed.unet.get_parameter("conv_in.weight"), toy.unet.get_parameter("conv_in.weight"))
    assert not torch.equal(mixed.vae.get_parameter("conv_in.weight"), toy.vae.get_parameter("conv_in.weight"))


def test_a_cut_off_file_is_broken(tmp_path: Path):
    path = make_toy_checkpoint(tmp_path / "toy.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BrokenFile, match="cut off"):
        load(path)
