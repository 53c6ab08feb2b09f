"""LoRAs and embeddings are trained beside a model that stays as it is, and our own readers take what is written."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load as unpack
from safetensors.torch import save_file
from torch import Tensor

from modules.adapters.lora.bind import Strength, bind, uses
from modules.adapters.lora.file import read_lora
from modules.adapters.textual_inversion.embedding import ONLY
from modules.adapters.textual_inversion.read import read_embedding
from modules.domain.errors import InvalidRequest, NumericalFault
from modules.domain.events import Event, Progressed
from modules.domain.plan import TextOptions
from modules.families.family import Components
from modules.families.openclip import OpenClipConfig
from modules.families.sd1.keys import TextConfig
from modules.families.sdxl.text import TextEncoders
from modules.hooks.cancel import CancelReason, CancelToken
from modules.hooks.context import JobContext
from modules.library.hashes import file_sha256, header_bytes
from modules.library.header import read_header
from modules.nn.patches.merge import Use
from modules.nn.patches.worn import Worn
from modules.sampling.prediction import Prediction, SigmaTable, scaled_linear_alphas
from modules.settings.snapshot import Snapshot
from modules.training.networks.__main__ import load, main
from modules.training.networks.branches import Branch, attached, branches_for
from modules.training.networks.concept import zorp_examples
from modules.training.networks.embedding import EmbeddingWish, WordLearner, first_vectors, train_embedding
from modules.training.networks.examples import Examples, read_folder
from modules.training.networks.layers import LoraSizes, layers_of
from modules.training.networks.learner import Learner
from modules.training.networks.lora import LoraLearner, LoraWish, lora_tensors, train_lora
from modules.training.networks.objective import check_trainable, noise_loss
from modules.training.networks.train import Course, batch_loss, train
from tests.adapters.manifests import lora_header, model_of, shapes_of
from tests.families.narrow_files import loaded, tensors_of, unet_sizes
from tests.pipeline.narrow import make_narrow_checkpoint

CPU = torch.device("cpu")
SHORT = Course(steps=3, batch=4, warmup_steps=1, dropped=0.25, mixed=False)
WISH = LoraWish(
    name="my zorp", sizes=LoraSizes(rank=2, alpha=1.0), course=SHORT, trigger="zorp", base_name="narrow", base_hash="ab"
)
WORD = EmbeddingWish(name="zorp", course=SHORT, vectors=3, base_name="narrow", base_hash="0123456789abcdef")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_narrow_checkpoint(tmp_path_factory.mktemp("model") / "narrow.safetensors")


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Components:
    return load(checkpoint, CPU)


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Components:
    """A narrow SDXL: two text encoders, of which one has its matrices joined."""
    large = OpenClipConfig(width=24, layers=2, heads=4, mlp_width=48, projection=20)
    encoders = TextEncoders(TextConfig(width=16, layers=2, heads=4, mlp_width=32), large)
    tensors = tensors_of("conditioner.", encoders, unet_sizes(context_dim=40, vector_dim=20 + 6 * 256))
    return loaded(tmp_path_factory.mktemp("larger") / "xl.safetensors", tensors)


@pytest.fixture(scope="module")
def examples(model: Components) -> Examples:
    return zorp_examples(model, 6, "zorp", seed=0, ordinary=0.3)


def job(cancel: CancelToken | None = None, told: list[Event] | None = None) -> JobContext:
    events = list[Event]() if told is None else told
    return JobContext(job_id="job", settings=Snapshot(), emit=events.append, cancel=cancel or CancelToken())


def weights(model: Components) -> dict[str, Tensor]:
    parts = {"unet": model.unet, "text": model.text, "vae": model.vae}
    return {f"{part}.{name}": value.clone() for part, net in parts.items() for name, value in net.state_dict().items()}


def mean_loss(model: Components, examples: Examples) -> float:
    with torch.no_grad():
        losses = [batch_loss(model, examples, SHORT, torch.Generator().manual_seed(i)) for i in range(8)]
    return float(torch.stack(losses).mean())


def answer(model: Components, text: str = "a zorp") -> Tensor:
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        conditioning = model.family.condition(model, [text] * 2, TextOptions())
        return model.family.network(model, False)(x, torch.tensor([10.0, 800.0]), conditioning)


def stirred(branches: list[Branch]) -> list[Branch]:
    """Give both matrices values that a file keeps."""
    with torch.no_grad():
        for i, branch in enumerate(branches):
            branch.up.normal_(std=0.3, generator=torch.Generator().manual_seed(i))
            for matrix in (branch.up, branch.down):
                matrix.copy_(matrix.half().float())
    return branches


@contextmanager
def worn(model: Components, path: Path) -> Iterator[None]:
    """Let a model wear a LoRA file, as a run does."""
    file = read_lora(path)
    bound = bind(file, model.family.key_map(model), shapes_of(model))
    assert (dict(file.faults), bound.missing, bound.misfits) == ({}, (), ())
    layers: dict[str, dict[str, list[Use]]] = {"unet": {}, "text": {}}
    for part, name, use in uses(bound, Strength(), "file"):
        layers[part].setdefault(name, []).append(use)
    dresses = {"unet": Worn(model.unet), "text": Worn(model.text)}
    for part, dress in dresses.items():
        dress.wear(layers[part])
    try:
        yield
    finally:
        for dress in dresses.values():
            dress.wear({})


def learner_named(kind: str, model: Components) -> Learner:
    if kind == "lora":
        return LoraLearner(branches_for(model, layers_of(model, LoraSizes(rank=4, conv_rank=4)), 0), 3e-2, 1e-2)
    return WordLearner("zorp", first_vectors(model, WORD), 0.3)


@pytest.mark.parametrize("kind", ["lora", "embedding"])
def test_it_learns_and_the_model_stays_as_it_was(kind: str, model: Components, examples: Examples) -> None:
    model.unet.requires_grad_(True)
    before, plain = weights(model), mean_loss(model, examples)
    learner = learner_named(kind, model)
    learned = train(model, learner, examples, replace(SHORT, steps=16), job())
    assert learned.steps == len(learned.losses) == 16
    with learner.within(model):
        assert mean_loss(model, examples) < (0.95 if kind == "lora" else 1.0) * plain
    assert mean_loss(model, examples) == plain
    after = weights(model)
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.requires_grad for p in model.unet.parameters())
    assert all(p.grad is None for net in (model.unet, model.text, model.vae) for p in net.parameters())


@pytest.mark.parametrize("name", ["model", "larger"])
def test_a_fresh_branch_changes_nothing(name: str, request: pytest.FixtureRequest) -> None:
    model: Components = request.getfixturevalue(name)
    before = answer(model)
    with attached(model, branches_for(model, layers_of(model, LoraSizes(conv_rank=2)), 0)):
        assert torch.equal(answer(model), before)


@pytest.mark.parametrize("name", ["model", "larger"])
def test_the_written_file_does_what_the_branches_did(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model: Components = request.getfixturevalue(name)
    sizes = LoraSizes(rank=2, alpha=1.0, conv_rank=3, conv_alpha=2.0)
    branches, plain, names = stirred(branches_for(model, layers_of(model, sizes), 0)), answer(model), weights(model)
    with attached(model, branches):
        trained = answer(model)
    assert not torch.allclose(trained, plain, atol=1e-2)
    assert weights(model).keys() == names.keys()
    save_file(lora_tensors(branches), tmp_path / "zorp.safetensors")
    with worn(model, tmp_path / "zorp.safetensors"):
        torch.testing.assert_close(answer(model), trained, rtol=1e-3, atol=1e-3)
    assert torch.equal(answer(model), plain)


def test_all_branches_of_two_text_encoders_get_gradients(larger: Components) -> None:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    examples = Examples(latents=latents, captions=[("a zorp",)] * 2, size=(64, 64))
    branches = stirred(branches_for(larger, layers_of(larger, LoraSizes(rank=2)), 0))
    with attached(larger, branches):
        batch_loss(larger, examples, replace(SHORT, dropped=0.0), torch.Generator().manual_seed(0)).backward()
    larger.unet.zero_grad()
    larger.text.zero_grad()
    last = ("_layers_1_", "te2_text_model_encoder_layers_1")
    silent = [one.layer.name for one in branches if one.down.grad is None or not one.down.grad.any()]
    # Both encoders are read before their last layer; the larger one's end token is told apart from it.
    assert [name for name in silent if not (name.startswith("lora_te1") and last[0] in name)] == []


@pytest.mark.parametrize(
    ("lora", "checkpoint", "sizes"),
    [
        ("kohya-sd15-unet-te-r8", "sd15", LoraSizes(rank=8)),
        ("kohya-sd15-locon-r8-c4", "sd15", LoraSizes(rank=8, conv_rank=4)),
        ("kohya-sd21-unet-te-r8", "sd21-768-v", LoraSizes(rank=8)),
        ("kohya-sdxl-unet-te-r8", "sdxl-base", LoraSizes(rank=8)),
        ("kohya-sdxl-locon-r8-c4", "sdxl-base", LoraSizes(rank=8, conv_rank=4, text=False)),
    ],
)
def test_names_and_shapes_are_those_of_kohya(shared_dir: Path, lora: str, checkpoint: str, sizes: LoraSizes) -> None:
    model, theirs = model_of(shared_dir, checkpoint), lora_header(shared_dir, lora)
    ours: dict[str, tuple[int, ...]] = {}
    for branch in branches_for(model, layers_of(model, sizes), 0):
        name = branch.layer.name
        ours |= {f"{name}.alpha": (), f"{name}.lora_down.weight": tuple(branch.down.shape)}
        ours[f"{name}.lora_up.weight"] = tuple(branch.up.shape)
    assert ours == {name: info.shape for name, info in theirs.tensors.items()}


def test_a_lora_file_tells_what_it_is(model: Components, examples: Examples, tmp_path: Path) -> None:
    made = train_lora(model, examples, WISH, job())
    path = tmp_path / "file.safetensors"
    path.write_bytes(made.packed())
    told = read_header(path).metadata
    assert told["ss_network_module"] == "networks.lora"
    assert (told["ss_network_dim"], told["ss_network_alpha"]) == ("2", "1.0")
    assert told["ss_base_model_version"] == "sd_v1"
    assert (told["ss_output_name"], told["ss_steps"]) == ("my zorp", "3")
    assert told["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert told["sshs_model_hash"] == file_sha256(path, skip_bytes=header_bytes(path))
    assert read_lora(path).contents.lineage == "sd1"
    with worn(model, path):
        assert mean_loss(model, examples) != pytest.approx(0.0)


def test_the_same_seed_makes_the_same_file(model: Components, examples: Examples) -> None:
    first, again = (train_lora(model, examples, WISH, job()).packed() for _ in range(2))
    assert first == again
    other = replace(WISH, course=replace(SHORT, seed=1))
    assert train_lora(model, examples, other, job()).packed() != first


def test_an_embedding_file_is_read_back(model: Components, examples: Examples, tmp_path: Path) -> None:
    made = train_embedding(model, examples, WORD, job())
    assert not torch.equal(made.vectors[ONLY], first_vectors(model, WORD)["clip_l"])
    (tmp_path / "zorp.safetensors").write_bytes(made.packed())
    (tmp_path / "zorp.pt").write_bytes(made.pickled())
    for name in ("zorp.safetensors", "zorp.pt"):
        found = read_embedding(tmp_path / name)
        assert torch.equal(found.vectors[ONLY], made.vectors[ONLY])
        assert (found.name, found.step) == ("zorp", 3)
        assert (found.sd_checkpoint, found.sd_checkpoint_name) == ("0123456789", "narrow")


def test_an_embedding_begins_as_the_tokens_of_a_text(model: Components) -> None:
    table = model.text.get_submodule("transformer.text_model.embeddings.token_embedding").get_parameter("weight")
    red, circle = model.tokenizer.encode("red circle")
    found = first_vectors(model, replace(WORD, start="red circle"))
    assert torch.equal(found["clip_l"], table[torch.tensor([red, circle, red])])


def test_an_embedding_for_two_encoders(larger: Components) -> None:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    examples = Examples(latents=latents, captions=[("a zorp",)] * 2, size=(64, 64))
    made = train_embedding(larger, examples, replace(WORD, course=replace(SHORT, dropped=0.0)), job())
    assert {name: value.shape for name, value in unpack(made.packed()).items()} == {
        "clip_l": (3, 16),
        "clip_g": (3, 24),
    }
    start = first_vectors(larger, WORD)
    assert not any(torch.equal(made.vectors[name], start[name]) for name in start)
    with pytest.raises(InvalidRequest, match="safetensors"):
        made.pickled()


def test_it_tells_its_progress_and_ends_when_asked(model: Components, examples: Examples) -> None:
    told, cancel = list[Event](), CancelToken()

    class Asked(list[Event]):
        def append(self, event: Event) -> None:
            told.append(event)
            if isinstance(event, Progressed) and event.step == 2:
                cancel.set(CancelReason.INTERRUPT)

    made = train_lora(model, examples, replace(WISH, course=replace(SHORT, steps=9)), job(cancel, Asked()))
    steps = [(event.step, event.num_steps) for event in told if isinstance(event, Progressed)]
    assert steps == [(1, 9), (2, 9)]
    assert (made.learned.steps, made.metadata["ss_steps"], made.metadata["ss_max_train_steps"]) == (2, "2", "9")
    assert any(tensor.any() for name, tensor in made.tensors.items() if "lora_up" in name)


def test_a_loss_that_is_no_number_ends_it(model: Components, examples: Examples) -> None:
    broken = replace(examples, latents=examples.latents * float("nan"))
    with pytest.raises(NumericalFault, match="step 1"):
        train_lora(model, broken, WISH, job())


def table() -> SigmaTable:
    return SigmaTable.from_alphas(scaled_linear_alphas())


@pytest.mark.parametrize("target", ["eps", "v", "x0"])
def test_the_right_answer_has_no_loss(target: str) -> None:
    x0, levels = torch.randn(3, 4, 2, 2), table()
    prediction = Prediction.named(target, levels)

    def network(x: Tensor, t: Tensor, _conditioning: object) -> Tensor:
        """Answer what is consistent with the clean latent, by the product's own reading of answers."""
        sigma = levels.sigmas[t.long()]
        unscaled = x * (sigma.square() + 1).sqrt()[:, None, None, None]
        zero = prediction.to_x0(unscaled, torch.zeros_like(x), sigma)
        slope = prediction.to_x0(unscaled, torch.ones_like(x), sigma) - zero
        return (x0 - zero) / slope

    chance = torch.Generator().manual_seed(0)
    assert float(noise_loss(network, prediction, x0, None, chance)) < 1e-4  # pyright: ignore[reportArgumentType]


def test_models_without_timesteps_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="timesteps"):
        check_trainable(Prediction.named("flow", table()))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"rank": 0}, "rank"),
        ({"conv_rank": -1}, "rank"),
        ({"unet": False, "text": False}, "unet"),
        ({"only": "("}, "only"),
        ({"only": "nothing"}, "only"),
    ],
)
def test_bad_sizes_are_refused(model: Components, given: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        layers_of(model, LoraSizes(**given))  # pyright: ignore[reportArgumentType]
    assert caught.value.field == field


def test_a_word_that_no_caption_says_is_refused(model: Components, examples: Examples) -> None:
    with pytest.raises(InvalidRequest, match="no caption says 'blorp'"):
        train_embedding(model, examples, replace(WORD, name="blorp"), job())


def test_pictures_of_a_folder(model: Components, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "001-a red thing.png")
    Image.new("RGB", (30, 60), "blue").save(tmp_path / "b.jpg")
    (tmp_path / "b.txt").write_text("a blue thing\n")
    found = read_folder(model, tmp_path, (32, 24), "[name], [filewords]", "zorp")
    assert found.captions == [("zorp, a red thing",), ("zorp, a blue thing",)]
    assert found.latents.shape == (2, 4, 3, 4)
    red = torch.tensor([1.0, -1.0, -1.0])[:, None, None].expand(3, 24, 32)[None]
    with torch.no_grad():
        torch.testing.assert_close(found.latents[:1], model.family.encode(model, red, False))


@pytest.mark.parametrize(
    ("name", "content", "size", "reason"),
    [
        ("a.png", b"no", (32, 32), "cannot be read"),
        ("a.txt", b"", (32, 32), "no pictures"),
        ("a.png", b"", (30, 32), "8"),
    ],
)
def test_bad_folders_are_refused(
    model: Components, tmp_path: Path, name: str, content: bytes, size: tuple[int, int], reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidRequest, match=reason):
        read_folder(model, tmp_path, size, "[filewords]", "zorp")


def command(checkpoint: Path, *words: str) -> Sequence[str]:
    return [*words, "--checkpoint", str(checkpoint), "--steps", "2", "--batch", "2", "--drawn", "4", "--device", "cpu"]


def test_the_command_writes_both(checkpoint: Path, tmp_path: Path) -> None:
    lora, word = tmp_path / "zorp.safetensors", tmp_path / "blorp.pt"
    assert main(command(checkpoint, "lora", str(lora), "--rank", "2", "--no-text")) == 0
    assert {layer.network for layer in read_lora(lora).layers} == {"unet"}
    told = read_header(lora).metadata
    assert told["ss_new_sd_model_hash"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert main(command(checkpoint, "embedding", str(word), "--vectors", "2")) == 0
    assert read_embedding(word).num_vectors == 2


def test_the_command_refuses_other_endings(checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(command(checkpoint, "lora", str(tmp_path / "zorp.ckpt"))) == 1
    assert "does not end in .safetensors" in caplog.text
    assert list(tmp_path.iterdir()) == []
