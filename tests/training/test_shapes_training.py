"""The stages learn, can be taken up again, and what is exported is what was trained."""

import random
from pathlib import Path

import pytest
import torch

from modules.domain.plan import TextOptions
from modules.families.sd1.defaults import PREVIEW
from modules.families.sd1.vae import VAE
from modules.training.shapes import text_stage, unet_stage, vae_stage
from modules.training.shapes.captions import write_caption
from modules.training.shapes.config import SCALE, SHIPPED, TOY, Networks, build, num_bytes
from modules.training.shapes.dataset import Dataset, clip_encode, make_dataset, tokens
from modules.training.shapes.drawing import draw
from modules.training.shapes.export import export
from modules.training.shapes.judge import Judge, JudgeStage, read
from modules.training.shapes.loop import Budget, Loop, Plan, Stage, learning_rate
from modules.training.shapes.render import Look, load, render
from modules.training.shapes.scenes import sample_scene
from modules.training.shapes.text_stage import TextStage, table, used_ids
from modules.training.shapes.train import NAME, Scale, Training
from modules.training.shapes.unet_stage import UnetStage, emphasise, encode_all, level_weight, timesteps
from modules.training.shapes.vae_stage import VaeStage, fold_whitening

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return make_dataset(0, 64, 2, workers=1)


def networks() -> Networks:
    torch.manual_seed(0)
    made = build(TOY)
    vae_stage.prepare(made.vae)
    text_stage.prepare(made.text)
    unet_stage.prepare(made.unet)
    return made


def stage_named(name: str, data: Dataset) -> Stage:
    made = networks()
    match name:
        case "vae":
            return VaeStage(made.vae, data, 4 * 48**2)
        case "text":
            return TextStage(made.text, data, 16)
        case "unet":
            encoded = encode_all(made.vae, data, ((64, 64), (96, 64)), 8)
            return UnetStage(made.unet, made.text, data, encoded, 8)
        case _:
            return JudgeStage(Judge(), data.numbers, data.labels[:, 0, :6] % 3, lambda pictures: pictures, 4)


def loop_of(stage: Stage, folder: Path) -> Loop:
    return Loop(stage, Plan(folder=folder, device=CPU, warmup_steps=2))


@pytest.mark.parametrize("name", ["vae", "text", "unet"])
def test_every_stage_learns(name: str, data: Dataset, tmp_path: Path) -> None:
    stage = stage_named(name, data)
    loop = loop_of(stage, tmp_path)

    def mean_loss() -> float:
        with torch.no_grad():
            losses = [stage.loss(i, 0.1, torch.Generator().manual_seed(i))[0] for i in range(4)]
        return float(torch.stack(losses).mean())

    before = mean_loss()
    assert loop.run(Budget(steps=14))
    assert mean_loss() < 0.97 * before


@pytest.mark.parametrize("name", ["vae", "unet", "judge"])
def test_a_run_taken_up_again_equals_the_straight_run(name: str, data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    straight = loop_of(stage_named(name, data), tmp_path / "a")
    assert straight.run(Budget(steps=6))

    first = loop_of(stage_named(name, data), tmp_path / "b")
    for _ in range(3):
        first._advance(first.step / 6)
    first.save()
    second = loop_of(stage_named(name, data), tmp_path / "b")
    assert second.resume()
    assert second.step == 3
    assert second.run(Budget(steps=6))

    weights, again = straight.stage.module.state_dict(), second.stage.module.state_dict()
    for key in weights:
        torch.testing.assert_close(weights[key], again[key], rtol=0, atol=0)
        torch.testing.assert_close(straight.ema[key], second.ema[key], rtol=0, atol=0)


def test_a_deadline_stops_and_saves(data: Dataset, tmp_path: Path) -> None:
    loop = Loop(stage_named("text", data), Plan(folder=tmp_path, device=CPU, deadline=0.0))
    assert not loop.run(Budget(minutes=5))
    assert loop.path.exists()
    assert loop.step == 0


def test_the_averaged_weights_are_lent_and_returned(data: Dataset, tmp_path: Path) -> None:
    loop = loop_of(stage_named("text", data), tmp_path)
    loop.run(Budget(steps=4))
    key = next(name for name in loop.ema if "fc1.weight" in name)
    live = loop.stage.module.state_dict()[key].clone()
    with loop.averaged():
        assert torch.equal(loop.stage.module.state_dict()[key], loop.ema[key])
        assert not torch.equal(loop.ema[key], live)
    assert torch.equal(loop.stage.module.state_dict()[key], live)


def test_the_learning_rate_rises_stays_and_falls(tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path, device=CPU, warmup_steps=10, flat=0.4)
    assert learning_rate(0.0, 0, plan) == pytest.approx(0.1)
    assert learning_rate(0.3, 100, plan) == 1.0
    assert learning_rate(1.0, 100, plan) == pytest.approx(0.02)


def test_unused_token_rows_stay_as_they_were(data: Dataset, tmp_path: Path) -> None:
    stage = stage_named("text", data)
    assert isinstance(stage, TextStage)
    rows, used = table(stage.text).weight, used_ids(data.ids)
    before = rows.detach().clone()
    loop_of(stage, tmp_path).run(Budget(steps=3))
    moved = (rows != before).any(dim=1)
    assert moved.any()
    assert not moved[~used].any()


def test_whitening_changes_latents_but_not_pictures(data: Dataset) -> None:
    vae = networks().vae
    with torch.no_grad():  # make the channels differ in scale and place
        vae.quant_conv.weight[0] *= 3.0
        vae_stage.bias_of(vae.quant_conv)[1] += 2.0
    numbers = data.numbers[:32]
    pictures = draw(numbers, 128, 128)
    with torch.no_grad():
        before = vae.decode(vae.encode(pictures)[0])
        fold_whitening(vae, numbers)
        mean, logvar = vae.encode(pictures)
        after = vae.decode(mean)
    assert (after - before).abs().max() < 2e-3
    rows = (mean * SCALE).movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(rows.mean(0), torch.zeros(4), atol=1e-2, rtol=0)
    torch.testing.assert_close(torch.cov(rows.T), torch.eye(4), atol=2e-2, rtol=0)
    assert logvar.std((0, 2, 3)).max() < 1e-5  # constant


def test_the_preview_matrix_shows_about_the_right_colours(data: Dataset) -> None:
    vae = networks().vae
    with torch.no_grad():
        fold_whitening(vae, data.numbers)
        pictures = draw(data.numbers, 128, 128)
        latent = vae.encode(pictures)[0] * SCALE
    preview = torch.einsum("bchw,cr->brhw", latent, torch.tensor(PREVIEW))
    colours = torch.nn.functional.avg_pool2d(pictures, 8)
    agreement = torch.corrcoef(torch.stack([preview.flatten(), colours.flatten()]))[0, 1]
    assert agreement > 0.6


def test_emphasis_is_that_of_the_product() -> None:
    z, weights = torch.randn(2, 77, 8) + 1, torch.ones(2, 77)
    torch.testing.assert_close(emphasise(z, weights), z)
    weights[0, 3] = 1.5
    out = emphasise(z, weights)
    torch.testing.assert_close(out.mean((1, 2)), z.mean((1, 2)))
    torch.testing.assert_close(out[1], z[1])
    torch.testing.assert_close(out[0, 3] / out[0, 4], 1.5 * z[0, 3] / z[0, 4])


def test_timesteps_cover_everything_and_weights_are_bounded() -> None:
    t = timesteps(20_000, torch.Generator().manual_seed(0))
    assert int(t.min()) < 20
    assert int(t.max()) > 990
    assert 0.4 < (t >= 550).float().mean() < 0.8
    weight = level_weight(torch.linspace(0.004, 0.9995, 100))
    assert weight.max() <= 30
    assert weight.min() > 0


def test_the_export_loads_strictly_and_gives_the_same_output(data: Dataset, tmp_path: Path) -> None:
    made = networks()
    with torch.no_grad():
        for parameter in made.unet.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        for module in (made.vae, made.text, made.unet):
            for parameter in module.parameters():  # what float16 keeps
                parameter.copy_(parameter.half().float())
            module.eval()
    path = tmp_path / "toy-shapes.safetensors"
    export(made, TOY, path)
    model = load(path, CPU)
    assert model.family.id == "sd1"
    assert isinstance(model.vae, VAE)
    x, t = torch.randn(2, 4, 8, 8), torch.tensor([10.0, 900.0])
    ids = data.ids[:2, 0].long()
    with torch.no_grad():
        context, loaded = made.text(ids), model.text(ids)
        torch.testing.assert_close(loaded, context)
        torch.testing.assert_close(model.unet(x, t, context), made.unet(x, t, context))
        torch.testing.assert_close(model.vae.decode(x), made.vae.decode(x))
    assert not list(tmp_path.glob("*.part"))


def test_captions_are_encoded_as_the_product_encodes_prompts(tmp_path: Path) -> None:
    made = networks()
    export(made, TOY, tmp_path / "m.safetensors")
    model = load(tmp_path / "m.safetensors", CPU)
    rng = random.Random(5)
    scenes = [sample_scene(rng, emphasis=0.7) for _ in range(40)]
    for caption in (write_caption(scene, rng) for scene in scenes):
        ids, weights = tokens(caption, clip_encode())
        with torch.no_grad():
            trained = emphasise(model.text(torch.tensor([ids])), torch.tensor([weights]))
            asked = model.family.condition(model, [str(caption)], TextOptions()).tokens
        torch.testing.assert_close(trained, asked, atol=1e-5, rtol=1e-4, msg=str(caption))


def test_rendering_follows_seed_and_prompt(tmp_path: Path) -> None:
    made = networks()
    with torch.no_grad():
        for parameter in made.unet.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    export(made, TOY, tmp_path / "m.safetensors")
    model = load(tmp_path / "m.safetensors", CPU)
    look = Look(steps=3, width=64, height=64)
    a, b, c = render(model, ["a red circle", "a red circle", "a [red:blue:0.5] (large:1.5) circle"], look)
    assert a.shape == (3, 64, 64)
    assert not torch.equal(a, b)  # the next seed
    again = render(model, ["a red circle"], look)[0]
    torch.testing.assert_close(again, a, atol=1e-4, rtol=1e-3)
    switched = render(model, ["a red circle"], look, first_seed=2)[0]
    assert not torch.allclose(switched, c, atol=1e-4)


def test_the_judge_names_every_slot(data: Dataset) -> None:
    answers = read(Judge(), draw(data.numbers[:3], 128, 128))
    assert set(answers) == {"shape0", "colour0", "style0", "position0", "pattern", "ground"}
    assert all(len(values) == 3 for values in answers.values())


def test_the_shipped_sizes_stay_below_forty_megabytes() -> None:
    assert 30e6 < num_bytes(SHIPPED) < 39.5e6


def test_a_finished_checkpoint_can_be_trained_further(tmp_path: Path) -> None:
    scale = Scale(scenes=32, captions=1, others=0, text_batch=4, unet_batch=4, text_learns=False)
    made, path = networks(), tmp_path / "toy-shapes.safetensors"
    export(made, TOY, path)
    training = Training(TOY, Plan(folder=tmp_path / "further", device=CPU, warmup_steps=1), scale)
    training.start_from(path)
    before = load(path, CPU)
    assert training.run({"unet": Budget(steps=3)}, resume=False)
    after = load(tmp_path / "further" / NAME, CPU)
    same = before.vae.state_dict(), before.text.state_dict()
    for kept, now in zip(same, (after.vae.state_dict(), after.text.state_dict()), strict=True):
        assert all(torch.equal(kept[name], now[name]) for name in kept)
    moved = [not torch.equal(a, b) for a, b in zip(before.unet.parameters(), after.unet.parameters(), strict=True)]
    assert any(moved)
