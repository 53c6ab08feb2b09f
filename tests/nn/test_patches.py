"""Patches against what they mean: layers beside the layer, explicit matrices, and the `peft` library."""

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modules.nn.eight_bit import FORMAT, StoredLinear, full_weight, rounded
from modules.nn.patches.decomposed import Decomposed
from modules.nn.patches.low_rank import Generalised, Hadamard, Kronecker, LowRank
from modules.nn.patches.merge import Use, merged
from modules.nn.patches.patch import Patch
from modules.nn.patches.rotations import Butterfly, Rotation, cayley
from modules.nn.patches.whole import Corrected, Difference, Replacement, Rescaling
from modules.nn.patches.worn import Worn
from modules.nn.torchvision_guard import ensure_torchvision_importable

OUT, IN, R, K = 12, 8, 3, 3
LINEAR, CONV = (OUT, IN), (OUT, IN, K, K)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def near(ours: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)


def agrees(patch: Patch, weight: Tensor, strength: float = 0.7) -> Tensor:
    """Check that the two ways of using a patch agree and leave the weight alone; return the difference."""
    before = weight.clone()
    delta = patch.delta(weight, strength)
    near(patch.apply(weight, strength), weight + delta)
    assert patch.fits(tuple(weight.shape))
    assert not patch.fits((weight.shape[0] + 12, weight.shape[1] + 12, *weight.shape[2:]))
    assert weight.equal(before)
    assert delta.shape == weight.shape
    return delta


def test_low_rank_is_two_layers_beside_a_linear_one() -> None:
    weight, up, down, x = torch.randn(OUT, IN), torch.randn(OUT, R), torch.randn(R, IN), torch.randn(5, IN)
    delta = agrees(LowRank(up=up, down=down, scale=0.5), weight)
    near(x @ (weight + delta).T, x @ weight.T + 0.7 * 0.5 * (x @ down.T) @ up.T)


@pytest.mark.parametrize("tucker", [False, True])
def test_low_rank_is_convolutions_beside_a_convolution(tucker: bool) -> None:
    weight, x = torch.randn(CONV), torch.randn(2, IN, 7, 6)
    up, down = torch.randn(OUT, R, 1, 1), torch.randn(R, IN, 1, 1) if tucker else torch.randn(R, IN, K, K)
    mid = torch.randn(R, R, K, K) if tucker else None
    delta = agrees(LowRank(up=up, down=down, mid=mid, scale=0.5), weight)
    if mid is None:
        beside = F.conv2d(F.conv2d(x, down, padding=1), up)
    else:
        beside = F.conv2d(F.conv2d(F.conv2d(x, down), mid, padding=1), up)
    near(F.conv2d(x, weight + delta, padding=1), F.conv2d(x, weight, padding=1) + 0.35 * beside)


def test_a_cut_keeps_the_first_ranks_and_the_scale() -> None:
    up, down = torch.randn(OUT, R), torch.randn(R, IN)
    cut = LowRank(up=up, down=down, scale=0.5).cut(2)
    near(cut.delta(torch.zeros(OUT, IN), 1.0), 0.5 * up[:, :2] @ down[:2])


def test_a_matrix_serves_a_convolution_of_one_pixel() -> None:
    up, down = torch.randn(OUT, R), torch.randn(R, IN)
    near(agrees(LowRank(up=up, down=down), torch.randn(OUT, IN, 1, 1), 1.0)[:, :, 0, 0], up @ down)


@pytest.mark.parametrize("shape", [LINEAR, CONV])
def test_hadamard(shape: tuple[int, ...]) -> None:
    columns = torch.Size(shape[1:]).numel()
    a, b = (torch.randn(OUT, R), torch.randn(OUT, R)), (torch.randn(R, columns), torch.randn(R, columns))
    delta = agrees(Hadamard(a=a, b=b, scale=2.0), torch.randn(shape))
    near(delta.flatten(1), 1.4 * (a[0] @ b[0]) * (a[1] @ b[1]))


def test_hadamard_with_cores() -> None:
    a, b = (torch.randn(R, OUT), torch.randn(R, OUT)), (torch.randn(R, IN), torch.randn(R, IN))
    cores = (torch.randn(R, R, K, K), torch.randn(R, R, K, K))
    delta = agrees(Hadamard(a=a, b=b, cores=cores), torch.randn(CONV), 1.0)
    product = torch.ones(CONV)
    for left, right, core in zip(a, b, cores, strict=True):
        product *= sum(
            (
                core[m, n] * left[m][:, None, None, None] * right[n][None, :, None, None]
                for m in range(R)
                for n in range(R)
            ),
            torch.zeros(CONV),
        )
    near(delta, product)


@pytest.mark.parametrize("shape", [LINEAR, CONV])
def test_kronecker(shape: tuple[int, ...]) -> None:
    first, second = torch.randn(4, 2), torch.randn(3, 4, *shape[2:])
    wanted = torch.zeros(shape)
    for i in range(4):
        for j in range(2):
            wanted[3 * i : 3 * i + 3, 4 * j : 4 * j + 4] = first[i, j] * second
    near(agrees(Kronecker(first=(first,), second=(second,)), torch.randn(shape), 1.0), wanted)


def test_kronecker_in_factors() -> None:
    w1, w2 = (torch.randn(4, R), torch.randn(R, 2)), (torch.randn(3, R), torch.randn(R, 4 * K * K))
    whole = Kronecker(first=(w1[0] @ w1[1],), second=((w2[0] @ w2[1]).reshape(3, 4, K, K),))
    weight = torch.randn(CONV)
    near(agrees(Kronecker(first=w1, second=w2), weight), whole.delta(weight, 0.7))


def test_kronecker_with_a_core() -> None:
    core, w2 = torch.randn(R, R, K, K), (torch.randn(R, 3), torch.randn(R, 4))
    second = torch.einsum("mnkl,mo,ni->oikl", core, *w2)
    first, weight = torch.randn(4, 2), torch.randn(CONV)
    whole = Kronecker(first=(first,), second=(second,))
    near(agrees(Kronecker(first=(first,), second=w2, core=core), weight), whole.delta(weight, 0.7))


@pytest.mark.parametrize("shape", [LINEAR, CONV])
def test_generalised_changes_the_inputs_of_the_weight(shape: tuple[int, ...]) -> None:
    weight, x = torch.randn(shape), torch.randn(2, IN, 5, 5)
    inner, outer = (torch.randn(IN, R), torch.randn(R, IN)), (torch.randn(OUT, R), torch.randn(R, *shape[1:]))
    delta = agrees(Generalised(inner=inner, outer=outer), weight, 1.0)
    mixed = F.conv2d(x, (inner[0] @ inner[1])[:, :, None, None])
    as_convolution = weight if weight.ndim == 4 else weight[:, :, None, None]
    low = (outer[0] @ outer[1].flatten(1)).reshape(as_convolution.shape)
    pad = as_convolution.shape[2] // 2
    wanted = F.conv2d(mixed, as_convolution, padding=pad) + F.conv2d(x, low, padding=pad)
    near(F.conv2d(x, delta.reshape(as_convolution.shape), padding=pad), wanted)


@pytest.mark.parametrize("on_input", [False, True])
def test_rescaling(on_input: bool) -> None:
    factors, weight = torch.randn(IN if on_input else OUT), torch.randn(LINEAR)
    delta = agrees(Rescaling(factors=factors, on_input=on_input), weight)
    near(delta, 0.7 * weight * (factors[None] if on_input else factors[:, None]))


def test_differences_and_replacements() -> None:
    weight, other = torch.randn(LINEAR), torch.randn(LINEAR)
    near(agrees(Difference(diff=other), weight), 0.7 * other)
    near(Replacement(value=other).apply(weight, 1.0), other)
    sparse = torch.zeros(LINEAR)
    sparse[2, 3] = 5
    near(agrees(Corrected(inner=Difference(diff=other), values=sparse.to_sparse()), weight), 0.7 * (other + sparse))


def test_rotations_turn_blocks_of_outputs() -> None:
    blocks, weight = 0.3 * torch.randn(3, 4, 4), torch.randn(CONV)
    patch = Rotation(blocks=blocks)
    skew = torch.block_diag(*blocks) - torch.block_diag(*blocks).T
    turn = (torch.eye(OUT) + skew) @ torch.linalg.inv(torch.eye(OUT) - skew)
    near(turn @ turn.T, torch.eye(OUT))
    near((weight + agrees(patch, weight, 1.0)).flatten(1), turn.T @ weight.flatten(1))
    near(agrees(patch, weight, 0.3), 0.3 * patch.delta(weight, 1.0))
    near(Rotation(blocks=cayley(blocks, None), rotations=True).delta(weight, 1.0), patch.delta(weight, 1.0))
    rescale = torch.rand(OUT, 1, 1, 1)
    near(Rotation(blocks=blocks, rescale=rescale).apply(weight, 1.0), rescale * patch.apply(weight, 1.0))


def test_a_limit_keeps_rotations_small() -> None:
    blocks = torch.randn(3, 4, 4)
    skew = blocks - blocks.transpose(1, 2)
    near(cayley(blocks, 0.01), cayley(blocks * 0.01 / skew.norm(), None))
    near(cayley(blocks, 1e6), cayley(blocks, None))


def test_butterflies_join_outputs_ever_further_apart() -> None:
    """The last level of a butterfly of pairs joins the first half of the outputs with the second."""
    blocks, weight = torch.zeros(3, 4, 2, 2), torch.randn(8, 5)
    blocks[2, 1, 0, 1] = 0.4  # the second pair of the widest level: outputs 1 and 5
    delta = Butterfly(blocks=blocks).delta(weight, 1.0)
    assert [i for i in range(8) if delta[i].abs().sum() > 1e-6] == [1, 5]
    turn = cayley(torch.tensor([[[0.0, 0.4], [0.0, 0.0]]]), None)[0]
    near((weight + delta)[[1, 5]], turn @ weight[[1, 5]])


def test_butterflies_are_rotations() -> None:
    blocks, weight = 0.3 * torch.randn(2, 6, 2, 2), torch.randn(CONV)
    turned = Butterfly(blocks=blocks).apply(weight, 1.0)
    near(turned.flatten(1).T @ turned.flatten(1), weight.flatten(1).T @ weight.flatten(1))
    near(Butterfly(blocks=blocks).delta(weight, 0.0), torch.zeros(CONV))
    agrees(Butterfly(blocks=blocks, rescale=torch.rand(OUT, 1, 1, 1)), weight)


@pytest.mark.parametrize("axis", [0, 1])
def test_decomposed_weights_have_the_magnitudes_of_the_file(axis: int) -> None:
    shape = [1, 1, 1, 1]
    shape[axis] = CONV[axis]
    magnitude, weight = torch.rand(shape) + 0.5, torch.randn(CONV)
    inner = LowRank(up=torch.randn(OUT, R, 1, 1), down=torch.randn(R, IN, K, K))
    changed = Decomposed(inner=inner, magnitude=magnitude).apply(weight, 1.0)
    others = [i for i in range(4) if i != axis]
    near(changed.square().sum(others, keepdim=True).sqrt(), magnitude)
    near(
        F.normalize(changed.transpose(0, axis).flatten(1)),
        F.normalize(inner.apply(weight, 1.0).transpose(0, axis).flatten(1)),
    )
    near(agrees(Decomposed(inner=inner, magnitude=magnitude), weight), 0.7 * (changed - weight))


def with_peft(config: Any, weight: Tensor) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a model whose layer `one` carries an adapter with random values, and the values by name."""
    from peft import get_peft_model

    base = nn.Sequential()
    base.add_module("one", nn.Linear(IN, OUT, bias=False))
    cast(nn.Linear, base.one).weight.data = weight.clone()
    model = cast(nn.Module, get_peft_model(cast(Any, base), config))
    values = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data = torch.rand_like(parameter) + 0.1
            values[name.removeprefix("base_model.model.one.").replace(".default", "").removesuffix(".weight")] = (
                parameter.data
            )
    return model, values


@pytest.mark.parametrize("kind", ["lora", "dora", "loha", "lokr", "ia3"])
def test_against_peft(kind: str) -> None:
    ensure_torchvision_importable()
    import peft

    weight, x = torch.randn(LINEAR), torch.randn(4, IN)
    common: dict[str, Any] = {"target_modules": ["one"]}
    patch: Patch
    if kind in ("lora", "dora"):
        config = peft.LoraConfig(r=R, lora_alpha=6, use_dora=kind == "dora", **common)
        model, found = with_peft(config, weight)
        patch = LowRank(up=found["lora_B"], down=found["lora_A"], scale=6 / R)
        if kind == "dora":
            patch = Decomposed(inner=patch, magnitude=found["lora_magnitude_vector"])
    elif kind == "loha":
        model, found = with_peft(peft.LoHaConfig(r=R, alpha=6, **common), weight)
        left, right = (found["hada_w1_a"], found["hada_w2_a"]), (found["hada_w1_b"], found["hada_w2_b"])
        patch = Hadamard(a=left, b=right, scale=6 / R)
    elif kind == "lokr":
        model, found = with_peft(peft.LoKrConfig(r=R, alpha=R, decompose_factor=4, **common), weight)
        first, second = (
            (found[name],) if name in found else (found[f"{name}_a"], found[f"{name}_b"])
            for name in ("lokr_w1", "lokr_w2")
        )
        patch = Kronecker(first=first, second=second)
    else:
        model, found = with_peft(peft.IA3Config(feedforward_modules=[], **common), weight)
        patch = Rescaling(factors=found["ia3_l"] - 1)
    near(x @ patch.apply(weight, 1.0).T, model(x).detach())


def use(patch: Patch, source: str = "a", strength: float = 1.0, share: tuple[int, int] = (0, 1)) -> Use:
    return Use(patch=patch, source=source, strength=strength, share=share)


def test_a_sum_is_rounded_once() -> None:
    weight = torch.randn(LINEAR).half()
    diffs = [1e-4 * torch.randn(LINEAR) for _ in range(5)]
    exact = (weight.float() + sum(diffs)).half()
    assert merged(weight, [use(Difference(diff=diff)) for diff in diffs]).equal(exact)


def test_a_share_changes_its_rows_only() -> None:
    weight = torch.randn(3 * OUT, IN)
    patch = LowRank(up=torch.randn(OUT, R), down=torch.randn(R, IN))
    changed = merged(weight, [use(patch, share=(1, 3))])
    near(changed[OUT : 2 * OUT], patch.apply(weight[OUT : 2 * OUT], 1.0))
    assert changed[:OUT].equal(weight[:OUT])
    assert changed[2 * OUT :].equal(weight[2 * OUT :])


def test_layout_and_type_stay() -> None:
    weight = torch.randn(CONV).bfloat16().to(memory_format=torch.channels_last)
    changed = merged(weight, [use(Difference(diff=torch.ones(CONV)))])
    assert (changed.dtype, changed.stride()) == (weight.dtype, weight.stride())


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(IN, OUT), nn.Linear(OUT, IN, bias=False)).half()


def test_originals_come_back_bit_for_bit() -> None:
    model = network()
    before = {name: (value, value.clone()) for name, value in model.named_parameters()}
    worn = Worn(model)
    patch = Difference(diff=0.37 * torch.randn(LINEAR))
    bias = Difference(diff=torch.ones(IN))
    assert worn.wear({"0.weight": [use(patch)], "1.bias": [use(bias)]}) == 2
    changed = dict(model.named_parameters())
    assert not changed["0.weight"].equal(before["0.weight"][1])
    assert changed["1.bias"].equal(torch.ones(IN).half())
    assert worn.wear({}) == 0
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is kept and after[name].equal(copy) for name, (kept, copy) in before.items())


def test_only_what_differs_is_computed_and_always_from_the_original() -> None:
    model, torchs = network(), torch.randn(2, OUT, IN)
    original = cast(nn.Linear, model[0]).weight.data.clone()
    worn = Worn(model)
    first, second = Difference(diff=torchs[0]), Difference(diff=torchs[1])
    worn.wear({"0.weight": [use(first)], "0.bias": [use(Difference(diff=torch.ones(OUT)))]})
    same = {"0.weight": [use(first)], "0.bias": [use(Difference(diff=torch.ones(OUT)))]}
    assert worn.wear(same) == 0
    assert worn.wear({**same, "0.weight": [use(first, strength=0.5)]}) == 1
    assert worn.wear({"0.weight": [use(second, "b")]}) == 1
    near(cast(nn.Linear, model[0]).weight.data, (original.float() + torchs[1]).half())
    assert set(worn.carried) == {"0.weight"}


def test_a_failure_leaves_every_weight_known() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.named_parameters()}
    worn = Worn(model)
    misfit = Difference(diff=torch.ones(5))
    with pytest.raises(RuntimeError):
        worn.wear({"0.weight": [use(Difference(diff=torch.ones(LINEAR)))], "0.bias": [use(misfit)]})
    worn.wear({})
    assert all(value.equal(before[name]) for name, value in model.named_parameters())


def test_originals_of_another_device_may_be_kept_elsewhere() -> None:
    """The meta device stands for one with memory of its own."""
    model, kept = network().to("meta"), list[Tensor]()

    def keep(original: Tensor) -> Tensor:
        kept.append(torch.zeros(original.shape))
        return kept[-1]

    worn, layer = Worn(model), cast(nn.Linear, model[0])
    for strength in (1.0, 2.0):
        worn.wear({"0.weight": [use(Difference(diff=torch.ones(LINEAR)), strength=strength)]}, keep=keep)
    assert len(kept) == 1
    assert layer.weight.is_meta
    worn.wear({})
    assert layer.weight.is_meta


def test_originals_follow_a_network_that_moved() -> None:
    model = network()
    worn, layer = Worn(model), cast(nn.Linear, model[0])
    worn.wear({"0.weight": [use(Difference(diff=torch.ones(LINEAR)))]})
    layer.weight = nn.Parameter(layer.weight.data.to("meta"), requires_grad=False)
    worn.wear({"0.weight": [use(Difference(diff=torch.ones(LINEAR)), strength=2.0)]})
    assert layer.weight.is_meta
    worn.wear({})
    assert layer.weight.is_meta


@pytest.mark.parametrize("scaled", [False, True])
def test_weights_of_eight_bits_stay_so(scaled: bool) -> None:
    layer = StoredLinear(IN, OUT, bias=False)
    exact = torch.randn(LINEAR)
    layer.weight_scale = torch.rand(OUT) + 0.5 if scaled else None
    layer.weight = nn.Parameter(rounded(layer, exact), requires_grad=False)
    stored, diff = layer.weight.data.clone(), torch.randn(LINEAR)
    worn = Worn(nn.Sequential(layer))
    worn.wear({"0.weight": [use(Difference(diff=diff))]})
    near(layer.weight.float(), rounded(layer, full_weight(layer, stored).float() + diff).float())
    assert layer.weight.dtype is FORMAT
    worn.wear({})
    assert layer.weight.float().equal(stored.float())


def test_what_was_rounded_is_patched_where_it_is_remembered() -> None:
    layer = StoredLinear(IN, OUT, bias=False)
    layer.half_weight = torch.randn(LINEAR).half()
    layer.weight = nn.Parameter(rounded(layer, layer.half_weight), requires_grad=False)
    diff = torch.randn(LINEAR)
    Worn(nn.Sequential(layer)).wear({"0.weight": [use(Difference(diff=diff))]})
    assert layer.weight.float().equal(rounded(layer, layer.half_weight.float() + diff).float())
