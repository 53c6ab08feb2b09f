"""Hypernetworks: the layouts of public files, the layers they mean, and attention that looks through them."""

import gzip
import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from modules.adapters.hypernetwork.hypernetwork import Hypernetwork, attached
from modules.adapters.hypernetwork.read import read_hypernetwork
from modules.domain.errors import BrokenFile
from modules.nn.attention.plain import PLAIN
from modules.nn.blocks import BasicTransformerBlock
from modules.nn.ops import PLAIN_OPS

NARROWER = 32


def narrow_file(shared_dir: Path, name: str, path: Path) -> dict[Any, Any]:
    """Write a public layout at a fraction of its width; return its contents."""
    with gzip.open(shared_dir / "manifests" / "hypernetworks" / f"{name}.json.gz", "rt") as file:
        document = json.load(file)
    generator = torch.Generator().manual_seed(0)

    def filled(node: Any) -> Any:
        if isinstance(node, dict) and "$tensor" in node:
            shape, _ = document["tensors"][node["$tensor"]]
            return torch.randn([side // NARROWER for side in shape], generator=generator)
        if isinstance(node, dict) and "$tuple" in node:
            return tuple(filled(part) for part in node["$tuple"])
        if isinstance(node, dict) and "$dict" in node:
            return {k // NARROWER if isinstance(k, int) else k: filled(v) for k, v in node["$dict"]}
        return {k: filled(v) for k, v in node.items()} if isinstance(node, dict) else node

    contents = filled(document["container"])
    torch.save(contents, path)
    return contents


def sequence(state: dict[str, Tensor], *, activation: nn.Module | None, norm: bool) -> nn.Sequential:
    """Build the layers that a file's settings describe and fill them by their names."""
    layers: list[nn.Module] = []
    weights = [value for name, value in state.items() if name.endswith("weight") and value.ndim == 2]
    for i, weight in enumerate(weights):
        layers.append(nn.Linear(weight.shape[1], weight.shape[0]))
        if activation and i < len(weights) - 1:
            layers.append(activation)
        if norm:
            layers.append(nn.LayerNorm(weight.shape[0]))
    made = nn.Sequential(*layers)
    renamed = {
        name.replace("linear1.", "0.").replace("linear2.", "1.").removeprefix("linear."): v for name, v in state.items()
    }
    made.load_state_dict(renamed)
    return made


@pytest.mark.parametrize(
    ("name", "activation", "norm"),
    [
        ("hypernetwork-sd15-1-2-1", None, False),
        ("hypernetwork-sd15-1-2-2-1-relu-ln", nn.ReLU(), True),
        ("hypernetwork-sd15-old-1-2-1", None, False),
        ("hypernetwork-sd2-1-2-1", None, False),
    ],
)
def test_public_files(shared_dir: Path, tmp_path: Path, name: str, activation: nn.Module | None, norm: bool) -> None:
    contents = narrow_file(shared_dir, name, tmp_path / "net.pt")
    found = read_hypernetwork(tmp_path / "net.pt")
    assert found.name == "net"
    assert set(found.nets) == {key for key in contents if isinstance(key, int)}
    for width, nets in found.nets.items():
        x = torch.randn(2, 5, width)
        for net, state in zip(nets, contents[width], strict=True):
            wanted = x + 0.6 * sequence(state, activation=activation, norm=norm)(x).detach()
            torch.testing.assert_close(net(x, 0.6), wanted)


def pair(
    width: int, *, names: tuple[str, str] = ("linear.0", "linear.2"), inner: int = 4
) -> tuple[dict[str, Tensor], ...]:
    def state() -> dict[str, Tensor]:
        first, second = nn.Linear(width, inner), nn.Linear(inner, width)
        return {
            f"{name}.{kind}": value.detach()
            for name, layer in zip(names, (first, second), strict=True)
            for kind, value in layer.named_parameters()
        }

    return state(), state()


def test_activations_by_name_and_after_the_last_layer(tmp_path: Path) -> None:
    states = pair(6)
    torch.save({6: states, "activation_func": "swish", "activate_output": True, "use_dropout": True}, tmp_path / "a.pt")
    net = read_hypernetwork(tmp_path / "a.pt").nets[6][0]
    made = nn.Sequential(nn.Linear(6, 4), nn.Hardswish(), nn.Linear(4, 6), nn.Hardswish())
    made.load_state_dict({name.removeprefix("linear."): value for name, value in states[0].items()})
    x = torch.randn(3, 6)
    torch.testing.assert_close(net(x, 1.0), x + made(x).detach())


@pytest.mark.parametrize(
    "contents",
    [
        [1, 2],
        {"step": 1},
        {6: ({}, {})[:1]},
        {6: ({"linear.0.weight": torch.ones(6, 6)},) * 2},
        {6: ({"other.0.weight": torch.ones(6, 6)},) * 2},
        {7: pair(6)},
        {6: pair(6), "activation_func": "os.system"},
    ],
)
def test_what_is_no_hypernetwork_is_refused(tmp_path: Path, contents: Any) -> None:
    torch.save(contents, tmp_path / "x.pt")
    with pytest.raises(BrokenFile, match=r"x\.pt"):
        read_hypernetwork(tmp_path / "x.pt")


def hypernetwork(tmp_path: Path, name: str, *widths: int) -> Hypernetwork:
    torch.save({width: pair(width) for width in widths}, tmp_path / f"{name}.pt")
    return read_hypernetwork(tmp_path / f"{name}.pt")


def test_attention_looks_at_the_changed_context(tmp_path: Path) -> None:
    torch.manual_seed(0)
    block = BasicTransformerBlock(8, 6, 2, ops=PLAIN_OPS, attend=PLAIN).requires_grad_(False)
    x, context = torch.randn(1, 4, 8), torch.randn(1, 5, 6)
    one, two = hypernetwork(tmp_path, "one", 6), hypernetwork(tmp_path, "two", 6, 8)
    plain = block(x, context)
    seen: dict[str, Tensor] = {}
    layers = {
        f"{kind}.{to}": getattr(getattr(block, kind), to)
        for kind in ("attn1", "attn2")
        for to in ("to_q", "to_k", "to_v")
    }
    with attached(block, [(one, 0.5), (two, 2.0)]):
        for name, layer in layers.items():

            def note(_layer: nn.Module, given: Any, _out: Any, name: str = name) -> None:
                seen[name] = given[0]

            cast(nn.Module, layer).register_forward_hook(note)
        changed = block(x, context)
    inner = block.norm1(x)
    (ok, ov), (tk, tv), (sk, sv) = one.nets[6], two.nets[6], two.nets[8]
    torch.testing.assert_close(seen["attn2.to_k"], tk(ok(context, 0.5), 2.0))
    torch.testing.assert_close(seen["attn2.to_v"], tv(ov(context, 0.5), 2.0))
    torch.testing.assert_close(seen["attn1.to_k"], sk(inner, 2.0))
    torch.testing.assert_close(seen["attn1.to_v"], sv(inner, 2.0))
    assert seen["attn1.to_q"].equal(inner)
    assert not changed.equal(plain)
    assert block(x, context).equal(plain)
    with attached(block, [(one, 0.0)]):
        assert block(x, context).equal(plain)
