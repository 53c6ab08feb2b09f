"""Every attention gives what the formula gives."""

import logging
import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from modules.domain.errors import UnknownName
from modules.nn.attention import plain, sdpa, xformers
from modules.nn.attention.backend import AttentionSpec, Backend
from modules.nn.attention.select import LABELS, choose, in_float32
from modules.nn.attention.split import split
from modules.nn.attention.subquadratic import subquadratic

CPU = AttentionSpec(device=torch.device("cpu"), dtype=torch.float32)


def inputs(shape_q: tuple[int, ...], keys: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    shape_k = (*shape_q[:2], keys, shape_q[3])
    q, k, v = (torch.randn(s, generator=g, dtype=torch.float64) for s in (shape_q, shape_k, shape_k))
    return q.to(dtype), k.to(dtype), v.to(dtype)


def exact(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = torch.einsum("bhld,bhsd->bhls", q.double(), k.double()) / q.shape[-1] ** 0.5
    weights = (weights - weights.amax(-1, keepdim=True)).exp()
    return torch.einsum("bhls,bhsd->bhld", weights / weights.sum(-1, keepdim=True), v.double())


@pytest.mark.parametrize(
    "backend",
    [
        plain.PLAIN,
        sdpa.SDPA,
        sdpa.SDPA_NO_MEM,
        split(),
        split(budget=1),
        split(budget=4 * 2 * 3 * 77 * 5),
        subquadratic(),
        subquadratic(query_chunk=1, kv_chunk=1),
        subquadratic(query_chunk=7, kv_chunk=10),
        subquadratic(query_chunk=7, kv_chunk=10, whole_bytes=1 << 30),
        in_float32(sdpa.SDPA),
    ],
    ids=lambda b: b.name,
)
@pytest.mark.parametrize(("length", "keys"), [(64, 64), (33, 77), (1, 1), (5, 154)])
def test_backends_agree_with_the_formula(backend: Backend, length: int, keys: int):
    q, k, v = inputs((2, 3, length, 8), keys)
    assert backend.reasons_against(CPU) == []
    torch.testing.assert_close(backend(q, k, v).double(), exact(q, k, v), atol=2e-6, rtol=1e-5)


def test_upcast_keeps_the_type_and_survives_scores_beyond_half_precision():
    q, k, v = (t * 200 for t in inputs((1, 1, 4, 64), 8, torch.float16))
    out = in_float32(plain.PLAIN)(q, k, v)
    assert out.dtype == torch.float16
    assert out.isfinite().all()
    assert not plain.PLAIN(q, k, v).isfinite().all()


def test_subquadratic_never_holds_the_whole_matrix():
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                largest = max(largest, out.numel())
            return out

    q, k, v = inputs((1, 1, 256, 4), 256)
    with Watch():
        subquadratic(query_chunk=32, kv_chunk=16)(q, k, v)
    assert largest <= 256 * 4


@pytest.mark.parametrize("label", LABELS)
def test_every_label_gives_a_backend_that_runs(label: str, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        backend = choose(label, CPU)
    q, k, v = inputs((1, 2, 9, 4), 9)
    torch.testing.assert_close(backend(q, k, v).double(), exact(q, k, v), atol=2e-6, rtol=1e-5)
    assert caplog.records[-1].getMessage() == f"attention: {backend.name}"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Automatic", "sdpa"),
        ("sdp", "sdpa"),
        ("SDP-NO-MEM", "sdpa-no-mem"),
        ("sub-quadratic", "sub-quadratic"),
        ("V1", "split"),
        ("None", "plain"),
    ],
)
def test_labels_name_their_implementations(label: str, name: str):
    assert choose(label, CPU).name == name
    assert choose(label, CPU, upcast=True).name == f"{name} in float32"


def test_unknown_label_lists_the_known_ones():
    with pytest.raises(UnknownName, match=r"cross_attention_optimization.*'warp'.*Doggettx"):
        choose("warp", CPU)


def test_xformers_without_kernels_is_refused_with_a_reason(caplog: pytest.LogCaptureFixture):
    assert choose("xformers", CPU).name == "sdpa"
    assert "xformers: has no kernels for cpu" in caplog.text


def test_missing_xformers_says_so(monkeypatch: pytest.MonkeyPatch):
    xformers._kernels.cache_clear()
    monkeypatch.setitem(sys.modules, "xformers", None)
    spec = AttentionSpec(device=torch.device("cuda"), dtype=torch.float16)
    (reason,) = xformers.XFORMERS.reasons_against(spec)
    assert reason.startswith("xformers: not usable")


def test_xformers_gets_heads_after_tokens(monkeypatch: pytest.MonkeyPatch):
    ops = ModuleType("xformers.ops")
    package = ModuleType("xformers")

    def memory_efficient_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return exact(*(t.transpose(1, 2) for t in (q, k, v))).transpose(1, 2).to(q.dtype)

    monkeypatch.setattr(ops, "memory_efficient_attention", memory_efficient_attention, raising=False)
    monkeypatch.setitem(sys.modules, "xformers", package)
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)
    xformers._kernels.cache_clear()
    q, k, v = inputs((2, 3, 5, 4), 7)
    torch.testing.assert_close(xformers.attend(q, k, v), exact(q, k, v).float())
    xformers._kernels.cache_clear()
