"""Merging checkpoints: the formulas, what the file says, and what is refused."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from modules.domain.errors import InvalidRequest, PathRefused, StorageFault, UnknownName
from modules.domain.events import Event, Progressed
from modules.domain.merge import (
    ADD_DIFFERENCE,
    BFLOAT16,
    FLOAT8,
    FLOAT16,
    NO_INTERPOLATION,
    WEIGHTED_SUM,
    Merged,
    MergeRequest,
    check_merge,
)
from modules.families import identify_files
from modules.hooks.cancel import CancelReason, CancelToken
from modules.hooks.context import JobContext
from modules.library.catalog import Catalog, Sources
from modules.library.hashes import HashCache
from modules.settings.snapshot import Snapshot
from modules.training.convert.original import source_files, to_original
from modules.training.merge import stream
from modules.training.merge.merger import Pantry, merge
from tests.families.diffusers_folders import save_folder
from tests.families.narrow_files import build

POSITIONS = "cond_stage_model.transformer.text_model.embeddings.position_ids"
CONV = "model.diffusion_model.input_blocks.0.0.weight"
LINEAR = "model.diffusion_model.middle_block.1.proj_in.weight"
BIAS = "model.diffusion_model.middle_block.1.proj_in.bias"
TEXT = "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight"
DECODER = "first_stage_model.decoder.conv_in.weight"


def weights(seed: int, channels: int = 4, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    return {
        CONV: draw(8, channels, 3, 3), LINEAR: draw(16, 12), BIAS: draw(16), TEXT: draw(6, 5), DECODER: draw(4, 4, 3, 3),
        POSITIONS: torch.arange(77)[None] + seed, "betas": draw(10),
    }  # fmt: skip


class House:
    """A folder of checkpoints and what merges them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "models"
        self.folder.mkdir()
        self.hashes = HashCache(folder / "hashes.sqlite3")
        self.catalog: Catalog[Any] = Catalog(Sources(folders=[self.folder]), self.hashes, lambda header: None)
        self.vaes: dict[str, Path] = {}
        self.events: list[Event] = []

    def add(self, name: str, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
        path = self.folder / f"{name}.safetensors"
        save_file(dict(tensors), path, metadata=metadata)
        self.catalog.refresh()
        return path

    def merge(
        self,
        *names: str,
        emit: Callable[[Event], None] | None = None,
        cancel: CancelToken | None = None,
        **asked: Any,
    ) -> Merged:
        fields = ("primary_model_name", "secondary_model_name", "tertiary_model_name")
        request = MergeRequest(**dict(zip(fields, names, strict=False)), **asked)
        check_merge(request)
        pantry = Pantry(catalog=self.catalog, hashes=self.hashes, vaes=self.vaes, folder=self.folder)
        ctx = JobContext(
            job_id="job", settings=Snapshot(), emit=emit or self.events.append, cancel=cancel or CancelToken()
        )
        return merge(pantry, request, ctx)

    def result(self, *names: str, **asked: Any) -> dict[str, Tensor]:
        made = self.merge(*names, **asked)
        assert made.path is not None
        return load_file(made.path)


@pytest.fixture
def house(tmp_path: Path):
    made = House(tmp_path)
    yield made
    made.hashes.close()


def metadata(path: Path | None) -> dict[str, str]:
    assert path is not None
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        tensor.dtype == other[name].dtype and torch.equal(tensor, other[name]) for name, tensor in one.items()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("multiplier", [0.3, 0.5, 1.25])
def test_a_weighted_sum_is_the_formula_in_float32(house: House, dtype: torch.dtype, multiplier: float):
    a, b = weights(0, dtype=dtype), weights(1, dtype=dtype)
    house.add("a", a)
    house.add("b", b)
    found = house.result("a", "b", multiplier=multiplier)
    expected = {name: (a[name].float() * (1 - multiplier) + b[name].float() * multiplier).to(dtype) for name in a}
    expected |= {POSITIONS: a[POSITIONS], "betas": a["betas"]}
    assert same(found, expected)


def test_a_difference_is_added(house: House):
    a, b, c = (weights(seed) for seed in range(3))
    del c[TEXT]
    for name, tensors in {"a": a, "b": b, "c": c}.items():
        house.add(name, tensors)
    found = house.result("a", "b", "c", interp_method=ADD_DIFFERENCE, multiplier=0.7)
    expected = {name: a[name] + (b[name] - c[name]) * 0.7 for name in (CONV, LINEAR, BIAS, DECODER)}
    assert same(found, a | expected)


@pytest.mark.parametrize(
    ("asked", "of"),
    [
        ({"multiplier": 0.0}, "a"),
        ({"multiplier": 1.0}, "b"),
        ({"interp_method": NO_INTERPOLATION}, "a"),
        ({"interp_method": ADD_DIFFERENCE, "multiplier": 0.0}, "a"),
    ],
)
def test_the_ends_are_exact(house: House, asked: dict[str, Any], of: str):
    models = {name: weights(seed, dtype=torch.float16) for seed, name in enumerate("abc")}
    for name, tensors in models.items():
        tensors[TEXT][0] = torch.tensor([65504.0, -65504.0, 6e-8, -0.0, 0.0])
        house.add(name, tensors)
    expected = models[of] | {POSITIONS: models["a"][POSITIONS], "betas": models["a"]["betas"]}
    assert same(house.result("a", "b", "c", **asked), expected)


def test_models_of_different_precision_give_the_wider_one(house: House):
    house.add("a", weights(0, dtype=torch.float16))
    house.add("b", weights(1, dtype=torch.bfloat16))
    house.add(
        "c",
        {
            name: t.to(torch.float8_e4m3fn) if t.ndim > 1 and t.is_floating_point() else t
            for name, t in weights(2).items()
        },
    )
    assert house.result("a", "b")[LINEAR].dtype == torch.float32
    found = house.result("a", "c", multiplier=0.5)[LINEAR]
    assert found.dtype == torch.float16
    expected = weights(0, dtype=torch.float16)[LINEAR].float() + weights(2)[LINEAR].to(torch.float8_e4m3fn).float()
    assert torch.equal(found, (expected / 2).half())


def test_the_precision_can_be_chosen(house: House):
    a = weights(0)
    a[BIAS][0], a[LINEAR][0, 0] = 1e6, 1e6
    house.add("a", a)
    half = house.result("a", interp_method=NO_INTERPOLATION, precision=FLOAT16)
    assert {t.dtype for t in half.values()} == {torch.float16, torch.int64}
    assert half[BIAS][0] == 65504
    brain = house.result("a", interp_method=NO_INTERPOLATION, precision=BFLOAT16)
    assert torch.equal(brain[LINEAR], a[LINEAR].bfloat16())
    small = house.result("a", interp_method=NO_INTERPOLATION, precision=FLOAT8)
    assert {name for name, t in small.items() if t.dtype == torch.float8_e4m3fn} == {CONV, LINEAR, TEXT}
    assert small[LINEAR][0, 0].float() == 448
    assert small[DECODER].dtype == torch.float16


@pytest.mark.parametrize(("channels", "variant"), [(9, "inpainting"), (8, "instruct-pix2pix")])
def test_a_variant_keeps_its_further_channels(house: House, channels: int, variant: str):
    a, b, c = weights(0, channels), weights(1), weights(2)
    for name, tensors in {"a": a, "b": b, "c": c}.items():
        house.add(name, tensors)
    made = house.merge("a", "b", "c", interp_method=ADD_DIFFERENCE, multiplier=1.0, custom_name="mine")
    assert made.path is not None
    assert made.path.name == f"mine.{variant}.safetensors"
    found = load_file(made.path)[CONV]
    assert torch.equal(found[:, :4], a[CONV][:, :4] + (b[CONV] - c[CONV]))
    assert torch.equal(found[:, 4:], a[CONV][:, 4:])
    recipe = json.loads(metadata(made.path)["sd_merge_recipe"])
    assert (recipe["is_inpainting"], recipe["is_instruct_pix2pix"]) == (channels == 9, channels == 8)
    with pytest.raises(InvalidRequest, match=f"B is an {variant} model and A is not"):
        house.merge("b", "a")


def test_models_of_different_kinds_are_refused_before_anything_is_written(house: House):
    house.add("a", weights(0))
    house.add("b", weights(1) | {LINEAR: torch.zeros(16, 13)})
    house.add("c", {"something.else.weight": torch.zeros(3)})
    with pytest.raises(InvalidRequest, match=r"proj_in.weight is \[16, 12\] in A and \[16, 13\] in B"):
        house.merge("a", "b")
    with pytest.raises(InvalidRequest, match="no weights of equal names"):
        house.merge("a", "c")
    assert sorted(path.name for path in house.folder.iterdir()) == ["a.safetensors", "b.safetensors", "c.safetensors"]


def test_early_names_of_the_text_encoder_are_the_later_ones(house: House):
    a, b = weights(0), weights(1)
    house.add("a", {name.replace("transformer.text_model.", "transformer."): tensor for name, tensor in a.items()})
    house.add("b", b)
    found = house.result("a", "b", multiplier=1.0)
    assert torch.equal(found[TEXT], b[TEXT])
    assert torch.equal(found[POSITIONS], a[POSITIONS])


def test_a_pickled_checkpoint_is_merged(house: House):
    a, b = weights(0), weights(1)
    torch.save({"state_dict": a, "global_step": 5}, house.folder / "a.ckpt")
    house.add("b", b)
    found = house.result("a", "b", multiplier=0.5)
    assert torch.equal(found[LINEAR], a[LINEAR] * 0.5 + b[LINEAR] * 0.5)


def test_layouts_meet_under_the_original_names(house: House):
    save_folder(house.folder / "folder", "sd1")
    to_original(source_files(house.folder / "folder"), house.folder / "one.safetensors")
    house.catalog.refresh()
    one = load_file(house.folder / "one.safetensors")
    other = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in one.items()}
    house.add("other", other)
    found = house.result("folder", "other", multiplier=0.5)
    assert same(found, {name: tensor * 0.5 + other[name] * 0.5 for name, tensor in one.items()})
    assert house.merge("one", "folder", multiplier=0.5).path is not None


def test_a_result_in_8_bits_is_loaded_and_computes_nearly_the_same(house: House):
    saved = save_folder(house.folder / "folder", "sd1")
    to_original(source_files(house.folder / "folder"), house.folder / "one.safetensors")
    house.catalog.refresh()
    made = house.merge("one", interp_method=NO_INTERPOLATION, precision=FLOAT8)
    assert made.path is not None
    files = source_files(made.path)
    family, match = identify_files(files)
    model, x, context = family.load(files, match, build("cpu")), torch.randn(1, 4, 8, 8), torch.randn(1, 5, 16)
    with torch.no_grad():
        ours, theirs = model.unet(x, torch.tensor([500.0]), context), saved.parts["unet"](x, 500, context).sample
    assert 0 < (ours - theirs).std() < 0.2 * theirs.std()


def test_a_vae_is_baked_in(house: House, tmp_path: Path):
    a, vae = weights(0), torch.randn(4, 4, 3, 3)
    house.add("a", a)
    house.vaes["my.vae.pt"] = tmp_path / "my.vae.pt"
    torch.save({"state_dict": {"decoder.conv_in.weight": vae, "loss.logvar": torch.zeros(1)}}, tmp_path / "my.vae.pt")
    found = house.result("a", interp_method=NO_INTERPOLATION, bake_in_vae="my.vae.pt")
    assert same(found, a | {DECODER: vae})
    with pytest.raises(UnknownName, match="bake_in_vae"):
        house.merge("a", interp_method=NO_INTERPOLATION, bake_in_vae="other.pt")
    save_file({"decoder.conv_in.weight": torch.zeros(4, 16, 3, 3)}, tmp_path / "wide.safetensors")
    house.vaes["wide"] = tmp_path / "wide.safetensors"
    with pytest.raises(InvalidRequest, match="does not suit A"):
        house.merge("a", interp_method=NO_INTERPOLATION, bake_in_vae="wide")


def test_a_vae_in_the_layout_of_diffusers_is_baked_in(house: House, tmp_path: Path):
    name = "first_stage_model.encoder.mid.attn_1.q.weight"
    a = weights(0) | {name: torch.zeros(4, 4, 1, 1)}
    q, decoder = torch.randn(4, 4), torch.randn(4, 4, 3, 3)
    house.add("a", a)
    house.vaes["vae"] = tmp_path / "vae.safetensors"
    save_file(
        {
            "encoder.mid_block.attentions.0.to_q.weight": q,
            "decoder.conv_in.weight": decoder,
            "decoder.mid_block.resnets.0.conv1.weight": torch.ones(4, 4, 3, 3),
        },
        house.vaes["vae"],
    )
    found = house.result("a", interp_method=NO_INTERPOLATION, bake_in_vae="vae")
    assert torch.equal(found[name], q[:, :, None, None])
    assert torch.equal(found[DECODER], decoder)


def test_weights_are_discarded_by_name(house: House):
    house.add("a", weights(0))
    found = house.result("a", interp_method=NO_INTERPOLATION, discard_weights=r"^first_stage|\.bias$")
    assert found.keys() == weights(0).keys() - {DECODER, BIAS}
    with pytest.raises(InvalidRequest, match="nothing would be left"):
        house.merge("a", interp_method=NO_INTERPOLATION, discard_weights=".")


@pytest.mark.parametrize("pattern", ["(", "[a", "a{9999999999999999999}", "(" * 1001])
def test_a_bad_pattern_is_refused(house: House, pattern: str):
    house.add("a", weights(0))
    with pytest.raises(InvalidRequest, match="discard_weights"):
        house.merge("a", interp_method=NO_INTERPOLATION, discard_weights=pattern)


def test_a_pattern_that_would_never_end_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("modules.training.merge.plan.PATTERN_TIMEOUT_S", 0.2)
    house.add("a", {"model." + "a" * 200: torch.zeros(1)})
    with pytest.raises(InvalidRequest, match="takes too long"):
        house.merge("a", interp_method=NO_INTERPOLATION, discard_weights=r"(a|aa|a.)+(b|c)(?<!a)$")


def test_the_recipe_is_written_as_a1111_writes_it(house: House):
    old = {"sd_merge_recipe": '{"type":"webui","multiplier":0.1}', "sd_merge_models": '{"f00d":{"name":"x.ckpt"}}'}
    paths = [
        house.add("a", weights(0), old | {"modelspec.title": "A", "modelspec.thumbnail": "data:", "format": "np"}),
        house.add("b", weights(1), {"modelspec.title": "B", "note": "b", "modelspec.prediction_type": "v"}),
    ]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    made = house.merge(
        "a",
        "b",
        "None",
        multiplier=0.25,
        precision=FLOAT16,
        discard_weights="xyz",
        metadata_json='{"mine": {"x": 1}, "sd_merge_recipe": "x"}',
    )
    found = metadata(made.path)
    assert json.loads(found["sd_merge_recipe"]) == {
        "type": "webui", "primary_model_hash": hashes[0], "secondary_model_hash": hashes[1],
        "tertiary_model_hash": None, "interp_method": WEIGHTED_SUM, "multiplier": 0.25, "save_as_half": True,
        "custom_name": "", "config_source": 0, "bake_in_vae": "None", "discard_weights": "xyz",
        "is_inpainting": False, "is_instruct_pix2pix": False,
    }  # fmt: skip
    models = json.loads(found["sd_merge_models"])
    assert models["f00d"] == {"name": "x.ckpt"}
    assert models[hashes[0]]["name"] == "a.safetensors"
    assert models[hashes[0]]["sd_merge_recipe"] == {"type": "webui", "multiplier": 0.1}
    assert models[hashes[1]]["sd_merge_recipe"] is None
    assert len(models[hashes[1]]["legacy_hash"]) == 8
    assert {key: found[key] for key in found if not key.startswith("sd_merge")} == {
        "format": "pt", "modelspec.title": "A", "note": "b", "mine": '{"x": 1}',
    }  # fmt: skip


def test_metadata_can_be_left_out(house: House):
    house.add("a", weights(0), {"note": "a"})
    plain: dict[str, Any] = {"interp_method": NO_INTERPOLATION}
    assert metadata(house.merge("a", **plain, save_metadata=False).path) == {"format": "pt"}
    assert metadata(house.merge("a", **plain, add_merge_recipe=False).path) == {"format": "pt", "note": "a"}
    only_recipe = metadata(house.merge("a", **plain, copy_metadata_fields=False).path)
    assert only_recipe.keys() == {"format", "sd_merge_recipe", "sd_merge_models"}


def test_names_are_those_of_a1111_and_no_file_is_replaced(house: House):
    for seed, name in enumerate("abc"):
        house.add(name, weights(seed))

    def name_of(*names: str, **asked: Any) -> str:
        path = house.merge(*names, **asked).path
        assert path is not None
        return path.name

    assert name_of("a", "b", multiplier=0.3) == "0.7(a) + 0.3(b).safetensors"
    assert name_of("a", "b", multiplier=0.3) == "0.7(a) + 0.3(b) (2).safetensors"
    assert name_of("a", "b", "c", interp_method=ADD_DIFFERENCE, multiplier=0.5) == "a + 0.5(b - c).safetensors"
    assert name_of("a", interp_method=NO_INTERPOLATION) == "a (2).safetensors"
    assert name_of("a", "b", custom_name="mine.safetensors") == "mine.safetensors"
    with pytest.raises(InvalidRequest, match=r"mine.safetensors exists already"):
        house.merge("a", "b", custom_name="mine")
    for refused in ("../out", "sub/out", "CON", "a:b"):
        with pytest.raises(PathRefused):
            house.merge("a", "b", custom_name=refused)
    assert {entry.name for entry in house.catalog.entries} >= {"mine.safetensors", "0.7(a) + 0.3(b) (2).safetensors"}


@pytest.mark.parametrize(("source", "expected"), [(0, "of b"), (1, "of b"), (2, None), (3, None)])
def test_the_config_is_copied(house: House, source: int, expected: str | None):
    house.add("a", weights(0))
    house.add("b", weights(1)).with_suffix(".yaml").write_text("of b")
    made = house.merge("a", "b", config_source=source)
    assert made.path is not None
    copy = made.path.with_suffix(".yaml")
    assert (copy.read_text() if copy.exists() else None) == expected
    assert made.notes == ()


def test_an_interrupted_merge_leaves_nothing(house: House):
    house.add("a", weights(0))
    house.add("b", weights(1))
    before, token = set(house.folder.iterdir()), CancelToken()

    def stop_at_first_step(event: Event) -> None:
        if isinstance(event, Progressed):
            assert len(set(house.folder.iterdir()) - before) == 1
            token.set(CancelReason.INTERRUPT)

    made = house.merge("a", "b", emit=stop_at_first_step, cancel=token)
    assert made.interrupted
    assert set(house.folder.iterdir()) == before


def test_progress_reaches_the_end(house: House):
    house.add("a", weights(0))
    house.merge("a", interp_method=NO_INTERPOLATION)
    steps = [event.step for event in house.events if isinstance(event, Progressed)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 100


def test_a_full_disk_is_noticed_before_anything_is_written(house: House, monkeypatch: pytest.MonkeyPatch):
    house.add("a", weights(0))
    monkeypatch.setattr(stream, "SPARE_BYTES", 1 << 62)
    with pytest.raises(StorageFault, match="free some space"):
        house.merge("a", interp_method=NO_INTERPOLATION)
    assert [path.name for path in house.folder.iterdir()] == ["a.safetensors"]


def test_weights_with_a_known_factor_are_multiplied_first(house: House):
    a, b = weights(0, dtype=torch.float16), weights(1, dtype=torch.float16)
    small = a[LINEAR].float().div(0.01).to(torch.float8_e4m3fn)
    house.add("a", a | {LINEAR: small, LINEAR.replace(".weight", ".scale_weight"): torch.tensor([0.01])})
    house.add("b", b)
    found = house.result("a", "b", multiplier=0.5)
    assert found.keys() == a.keys()
    assert torch.equal(found[LINEAR], (small.float() * 0.01 * 0.5 + b[LINEAR].float() * 0.5).half())
    assert torch.equal(house.result("a", interp_method=NO_INTERPOLATION)[LINEAR], (small.float() * 0.01).half())


def test_weights_with_unknown_factors_are_not_summed(house: House):
    house.add("a", weights(0) | {LINEAR.replace(".weight", ".weight_scale"): torch.ones(1)})
    house.add("b", weights(1))
    with pytest.raises(InvalidRequest, match="quantised"):
        house.merge("a", "b")
    assert len(house.result("a", interp_method=NO_INTERPOLATION)) == 8


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "primary_model_name: Weighted sum needs a model A"),
        ({"primary_model_name": "a"}, "secondary_model_name: Weighted sum needs a model B"),
        ({"primary_model_name": "a", "secondary_model_name": "b", "interp_method": ADD_DIFFERENCE}, "needs a model C"),
        ({"interp_method": "Sigmoid"}, "interp_method: 'Sigmoid' is none of"),
        ({"precision": "int4"}, "precision: 'int4' is none of"),
        ({"checkpoint_format": "ckpt"}, "choose safetensors"),
        ({"multiplier": float("nan")}, "multiplier"),
        ({"config_source": 4}, "config_source"),
        ({"primary_model_name": "a" * 2000}, "2000 characters is over the limit"),
        ({"primary_model_name": "a", "secondary_model_name": "b", "metadata_json": "[1]"}, "expected a JSON object"),
        ({"primary_model_name": "a", "secondary_model_name": "b", "metadata_json": "{"}, "not JSON"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(asked: dict[str, Any], message: str):
    with pytest.raises(InvalidRequest, match=message):
        check_merge(MergeRequest(**asked))


def test_a_missing_model_is_named(house: House):
    house.add("a", weights(0))
    with pytest.raises(UnknownName, match=r"secondary_model_name.*known: a.safetensors"):
        house.merge("a", "nowhere")
