"""LoRA files of every kind: what their tensors mean, and what is wrong with those that mean nothing."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from modules.adapters.lora.bind import Strength, bind, uses
from modules.adapters.lora.file import LoraFile, read_lora
from modules.adapters.lora.names import LayerName
from modules.adapters.store import NetworkFiles
from modules.adapters.textual_inversion.folder import EmbeddingFolder
from modules.domain.errors import BrokenFile
from modules.nn.patches.key_map import KeyMap, Target
from modules.nn.patches.rotations import cayley

OUT, IN, RANK = 12, 8, 3
LAYER = LayerName("unet", "layer")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def written(path: Path, tensors: dict[str, Tensor], prefix: str = "lora_unet_layer.") -> LoraFile:
    save_file({prefix + name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return read_lora(path)


def change(tmp_path: Path, tensors: dict[str, Tensor], weight: Tensor) -> Tensor:
    """Return what a file of one layer adds to a weight at a strength of 1."""
    patch = written(tmp_path / "x.safetensors", tensors).layers[LAYER].weight
    assert patch is not None
    assert patch.fits(tuple(weight.shape))
    return patch.apply(weight, 1.0) - weight


def near(ours: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)


def pair() -> dict[str, Tensor]:
    return {"lora_up.weight": torch.randn(OUT, RANK), "lora_down.weight": torch.randn(RANK, IN)}


def test_alpha_is_divided_by_the_rank(tmp_path: Path) -> None:
    tensors, weight = pair(), torch.randn(OUT, IN)
    product = tensors["lora_up.weight"] @ tensors["lora_down.weight"]
    near(change(tmp_path, tensors, weight), product)
    near(change(tmp_path, {**tensors, "alpha": torch.tensor(6.0)}, weight), 2 * product)
    near(change(tmp_path, {**tensors, "alpha": torch.tensor(6.0), "scale": torch.tensor(0.5)}, weight), 0.5 * product)
    near(change(tmp_path, {**tensors, "alpha": torch.tensor(6.0), "scalar": torch.tensor(0.5)}, weight), product)


def test_dora_scales_its_direction_by_alpha(tmp_path: Path) -> None:
    tensors, weight = pair(), torch.randn(OUT, IN)
    magnitude = torch.rand(1, IN)
    turned = weight + 2 * tensors["lora_up.weight"] @ tensors["lora_down.weight"]
    found = change(tmp_path, {**tensors, "alpha": torch.tensor(6.0), "dora_scale": magnitude}, weight)
    near(weight + found, turned * magnitude / turned.norm(dim=0, keepdim=True))


def test_whole_kronecker_factors_have_no_rank_to_divide_by(tmp_path: Path) -> None:
    first, second, weight = torch.randn(4, 2), torch.randn(3, 4), torch.randn(OUT, IN)
    tensors = {"lokr_w1": first, "lokr_w2": second, "alpha": torch.tensor(16.0)}
    near(change(tmp_path, tensors, weight), torch.kron(first, second))
    a, b = torch.randn(3, RANK), torch.randn(RANK, 4)
    tensors = {"lokr_w1": first, "lokr_w2_a": a, "lokr_w2_b": b, "alpha": torch.tensor(6.0)}
    near(change(tmp_path, tensors, weight), 2 * torch.kron(first, a @ b))


def test_hadamard_divides_by_its_rank(tmp_path: Path) -> None:
    a, b = (torch.randn(OUT, RANK), torch.randn(OUT, RANK)), (torch.randn(RANK, IN), torch.randn(RANK, IN))
    tensors = {"hada_w1_a": a[0], "hada_w1_b": b[0], "hada_w2_a": a[1], "hada_w2_b": b[1], "alpha": torch.tensor(6.0)}
    near(change(tmp_path, tensors, torch.randn(OUT, IN)), 2 * (a[0] @ b[0]) * (a[1] @ b[1]))


def test_both_orders_of_glora(tmp_path: Path) -> None:
    weight = torch.randn(OUT, IN)
    a1, a2, b1, b2 = torch.randn(IN, RANK), torch.randn(RANK, IN), torch.randn(OUT, RANK), torch.randn(RANK, IN)
    new = {"a1.weight": a1, "a2.weight": a2, "b1.weight": b1, "b2.weight": b2}
    old = {"a1.weight": a2, "a2.weight": a1, "b1.weight": b2, "b2.weight": b1}
    wanted = weight @ a1 @ a2 + b1 @ b2
    near(change(tmp_path, new, weight), wanted)
    near(change(tmp_path, old, weight), wanted)


def test_alpha_of_rotations_limits_them(tmp_path: Path) -> None:
    blocks, weight = torch.randn(3, 4, 4), torch.randn(OUT, IN)
    for alpha, limit in ((0.0, None), (0.01, 0.01 * OUT)):
        turn = torch.block_diag(*cayley(blocks, limit))
        found = change(tmp_path, {"oft_blocks": blocks, "alpha": torch.tensor(alpha)}, weight)
        near(weight + found, turn.T @ weight)
    near(
        weight + change(tmp_path, {"oft_diag": cayley(blocks, None)}, weight),
        torch.block_diag(*cayley(blocks, None)).T @ weight,
    )


def test_factors_of_inputs_and_outputs(tmp_path: Path) -> None:
    weight, factors = torch.randn(OUT, IN), torch.randn(IN)
    near(change(tmp_path, {"weight": factors, "on_input": torch.tensor(True)}, weight), weight * factors)
    rows = torch.randn(OUT, 1)
    near(change(tmp_path, {"weight": rows, "on_input": torch.tensor(0.0)}, weight), weight * rows)


def test_differences_replacements_and_single_values(tmp_path: Path) -> None:
    weight, diff, tensors = torch.randn(OUT, IN), torch.randn(OUT, IN), pair()
    near(change(tmp_path, {"diff": diff}, weight), diff)
    near(weight + change(tmp_path, {"set_weight": diff}, weight), diff)
    indices, values = torch.tensor([[1, 2], [0, 7]]), torch.tensor([5.0, -3.0])
    sparse = {"bias_indices": indices, "bias_values": values, "bias_size": torch.tensor([OUT, IN])}
    wanted = tensors["lora_up.weight"] @ tensors["lora_down.weight"]
    wanted[1, 0] += 5
    wanted[2, 7] -= 3
    near(change(tmp_path, {**tensors, **sparse}, weight), wanted)


def test_biases(tmp_path: Path) -> None:
    tensors = {
        "lora_A.weight": torch.ones(RANK, IN),
        "lora_B.weight": torch.ones(OUT, RANK),
        "lora_B.bias": torch.ones(OUT),
    }
    bias = written(tmp_path / "x.safetensors", tensors, "unet.layer.").layers[LAYER].bias
    assert bias is not None
    near(bias.apply(torch.zeros(OUT), 0.5), torch.full((OUT,), 0.5))
    norm = written(tmp_path / "x.safetensors", {"w_norm": torch.ones(OUT), "b_norm": 2 * torch.ones(OUT)}).layers[LAYER]
    assert norm.bias is not None
    near(norm.bias.apply(torch.zeros(OUT), 1.0), torch.full((OUT,), 2.0))


@pytest.mark.parametrize(("by_root", "scale"), [(False, 6 / RANK), (True, 6 / RANK**0.5)])
def test_the_scale_of_a_folder_of_peft_lies_beside_it(tmp_path: Path, by_root: bool, scale: float) -> None:
    tensors = {"lora_A.weight": torch.randn(RANK, IN), "lora_B.weight": torch.randn(OUT, RANK)}
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 6, "r": RANK, "use_rslora": by_root}))
    file = written(tmp_path / "adapter_model.safetensors", tensors, "base_model.model.layer.")
    patch = file.layers[LAYER].weight
    assert patch is not None
    near(patch.delta(torch.zeros(OUT, IN), 1.0), scale * tensors["lora_B.weight"] @ tensors["lora_A.weight"])
    other = written(tmp_path / "other.safetensors", tensors, "base_model.model.layer.").layers[LAYER].weight
    assert other is not None
    near(other.delta(torch.zeros(OUT, IN), 1.0), tensors["lora_B.weight"] @ tensors["lora_A.weight"])


@pytest.mark.parametrize(
    "tensors",
    [
        {"lora_up.weight": torch.ones(OUT, RANK)},
        {"hada_w1_a": torch.ones(OUT, RANK)},
        {"lokr_w1": torch.ones(4, 2)},
        {"alpha": torch.tensor(1.0)},
        {"weight": torch.ones(OUT)},
        {"dora_scale": torch.ones(1, IN)},
    ],
)
def test_incomplete_layers_are_told(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    file = written(tmp_path / "x.safetensors", tensors)
    assert set(file.faults) == {LAYER}
    assert not file.layers


@pytest.mark.parametrize(
    "tensors",
    [
        {**pair(), "alpha": torch.ones(3)},
        {
            **pair(),
            "bias_indices": torch.tensor([[99], [0]]),
            "bias_values": torch.ones(1),
            "bias_size": torch.tensor([OUT, IN]),
        },
        {"oft_blocks": torch.ones(())},
        {"a1.weight": torch.ones(()), **{f"{name}.weight": torch.ones(2, 2) for name in ("a2", "b1", "b2")}},
    ],
)
def test_layers_with_impossible_tensors_are_told(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    assert set(written(tmp_path / "x.safetensors", tensors).faults) == {LAYER}


HOLES: list[dict[str, Tensor]] = [
    {"lora_up.weight": torch.ones(OUT, 2), "lora_down.weight": torch.ones(3, IN)},
    {"lora_up.weight": torch.ones(OUT, 2, 2), "lora_down.weight": torch.ones(2, IN)},
    {"lora_up.weight": torch.ones(OUT), "lora_down.weight": torch.ones(RANK, IN)},
    {"lora_up.weight": torch.ones(OUT, 0), "lora_down.weight": torch.ones(0, IN)},
    {**pair(), "lora_mid.weight": torch.ones(RANK, 2, 1, 1)},
    {**pair(), "lora_mid.weight": torch.ones(RANK, RANK)},
    {
        "hada_w1_a": torch.ones(OUT, 2),
        "hada_w1_b": torch.ones(3, IN),
        "hada_w2_a": torch.ones(OUT, 2),
        "hada_w2_b": torch.ones(2, IN),
    },
    {"lokr_w1_a": torch.ones(4, 2), "lokr_w1_b": torch.ones(3, 2), "lokr_w2": torch.ones(3, 4)},
    {"lokr_w1": torch.ones(8), "lokr_w2": torch.ones(3, 4)},
    {
        "lokr_w1": torch.ones(4, 2),
        "lokr_w2_a": torch.ones(2, 3),
        "lokr_w2_b": torch.ones(2, 4),
        "lokr_t2": torch.ones(3, 2, 1, 1),
    },
    {"oft_blocks": torch.ones(3, 4, 5)},
    {"oft_blocks": torch.ones(1, 3, 4, 5)},
    {"oft_blocks": torch.ones(OUT, 1)},
    {"diff": torch.ones(OUT)},
    {**pair(), "dora_scale": torch.ones(OUT + 1, 1)},
]


@pytest.mark.parametrize("tensors", HOLES)
def test_tensors_that_do_not_go_together_never_reach_a_weight(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    file = written(tmp_path / "x.safetensors", tensors)
    keys = KeyMap(family="any", networks={"unet": {"layer": Target("unet", "layer.weight", "layer.bias")}})
    found = bind(file, keys, lambda _part, _name: (OUT, IN))
    assert not found.placed
    assert file.faults or found.misfits == (LAYER,)


def test_broken_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(BrokenFile, match=r"x\.safetensors"):
        read_lora(tmp_path / "x.safetensors")


def test_pickled_files(tmp_path: Path) -> None:
    tensors = {f"lora_unet_layer.{name}": value for name, value in pair().items()}
    torch.save(tensors, tmp_path / "x.pt")
    torch.save({"state_dict": tensors}, tmp_path / "y.ckpt")
    assert set(read_lora(tmp_path / "x.pt").layers) == set(read_lora(tmp_path / "y.ckpt").layers) == {LAYER}


def test_what_does_not_fit_is_left_out(tmp_path: Path) -> None:
    tensors = {
        f"lora_unet_{layer}.{name}": value for layer in ("layer", "other", "absent") for name, value in pair().items()
    }
    file = written(tmp_path / "x.safetensors", tensors, "")
    keys = KeyMap(
        family="any", networks={"unet": {n: Target("unet", f"{n}.weight", f"{n}.bias") for n in ("layer", "other")}}
    )
    shapes = {"layer.weight": (OUT, IN), "other.weight": (OUT, IN + 1)}
    found = bind(file, keys, lambda _part, name: shapes.get(name))
    assert [one.name for one in found.placed] == ["layer.weight"]
    assert found.missing == (LayerName("unet", "absent"),)
    assert found.misfits == (LayerName("unet", "other"),)
    used = list(uses(found, Strength(unet=0.5, rank=2), "file"))
    assert [(part, name, use.strength) for part, name, use in used] == [("unet", "layer.weight", 0.5)]
    assert list(uses(found, Strength(unet=0.0), "file")) == []
    single = list(uses(found, Strength(unet=0.5, layers={"unet.layer.weight": 0.5}), "file"))
    assert [use.strength for _, _, use in single] == [0.25]
    assert list(uses(found, Strength(layers={"unet.layer.weight": 0.0}), "file")) == []
    assert used[0][2] != next(iter(uses(found, Strength(unet=0.5), "file")))[2]
    assert used[0][2] == next(iter(uses(found, Strength(unet=0.5, rank=2), "file")))[2]


def test_files_in_memory_are_limited(tmp_path: Path) -> None:
    files = NetworkFiles(EmbeddingFolder([]))
    paths = [tmp_path / f"{name}.safetensors" for name in "abc"]
    first = {}
    for path in paths:
        written(path, pair())
        first[path] = files.lora(path)[1]
    files.trim([paths[0]], loras=1)
    assert files.lora(paths[0])[1] is first[paths[0]]
    assert files.lora(paths[2])[1] is first[paths[2]]
    assert files.lora(paths[1])[1] is not first[paths[1]]
