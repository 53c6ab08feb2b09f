"""Choose the attention once, by the name a person gave and by what the machine can run."""

import logging

import torch
from torch import Tensor

from modules.domain.errors import UnknownName
from modules.nn.attention.backend import Attend, AttentionSpec, Backend
from modules.nn.attention.plain import PLAIN
from modules.nn.attention.sdpa import SDPA, SDPA_NO_MEM
from modules.nn.attention.split import DEFAULT_BUDGET, split
from modules.nn.attention.subquadratic import QUERY_CHUNK, subquadratic
from modules.nn.attention.xformers import XFORMERS

logger = logging.getLogger(__name__)

LABELS = (
    "Automatic",
    "xformers",
    "sdp-no-mem - scaled dot product without memory efficient attention",
    "sdp - scaled dot product",
    "sub-quadratic",
    "Doggettx",
    "V1 - original v1",
    "InvokeAI",
    "None",
)
"""What the setting `cross_attention_optimization` may say; the part before " - " is the name."""


def choose(
    preference: str,
    spec: AttentionSpec,
    *,
    upcast: bool = False,
    query_chunk: int = QUERY_CHUNK,
    kv_chunk: int | None = None,
    whole_bytes: int = 0,
    split_budget: int = DEFAULT_BUDGET,
) -> Backend:
    """Return the backend of that name, or the default one, loudly, when it cannot run here.

    Args:
        preference: one of `LABELS` or its name, in any case.
        spec: where it will run.
        upcast: compute in float32 whatever the network's type.
        query_chunk: of sub-quadratic.
        kv_chunk: of sub-quadratic.
        whole_bytes: of sub-quadratic.
        split_budget: bytes, of the split variants.

    Raises:
        UnknownName: no such label.
    """
    split_backend = split(split_budget)
    backends = {
        "automatic": SDPA,
        "xformers": XFORMERS,
        "sdp-no-mem": SDPA_NO_MEM,
        "sdp": SDPA,
        "sub-quadratic": subquadratic(query_chunk, kv_chunk, whole_bytes),
        "doggettx": split_backend,
        "v1": split_backend,
        "invokeai": split_backend,
        "none": PLAIN,
    }
    wanted = backends.get(preference.split(" - ")[0].strip().lower())
    if wanted is None:
        raise UnknownName("attention", preference, LABELS, field="cross_attention_optimization")
    chosen = wanted
    if reasons := wanted.reasons_against(spec):
        logger.warning("attention %s cannot be used: %s; using %s", wanted.name, "; ".join(reasons), SDPA.name)
        chosen = SDPA
    if upcast:
        chosen = in_float32(chosen)
    logger.info("attention: %s", chosen.name)
    return chosen


def in_float32(backend: Backend) -> Backend:
    """Return the backend computing in float32 and answering in the type of its input."""
    return Backend(
        name=f"{backend.name} in float32",
        attend=lambda q, k, v: backend(q.float(), k.float(), v.float()).to(q.dtype),
        objections=backend.objections,
        wide_scores=True,
    )


def with_wide_scores(attend: Attend) -> Attend:
    """Return attention for networks whose scores leave the range of float16, which would end in NaN.

    What keeps its scores in float32 by itself stays as it is, except on Apple's GPUs, where nothing promises that.
    """
    wide = isinstance(attend, Backend) and attend.wide_scores

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if q.dtype is not torch.float16 or (wide and q.device.type != "mps"):
            return attend(q, k, v)
        return attend(q.float(), k.float(), v.float()).to(q.dtype)

    return run
