"""Torch's fused attention, the default everywhere."""

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from modules.nn.attention.backend import Backend


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Let torch pick the kernel: [B, heads, L, d], [B, heads, S, d], [B, heads, S, d] -> [B, heads, L, d]."""
    return scaled_dot_product_attention(q, k, v)


def attend_no_mem(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Leave out the memory-efficient kernel, whose sums are not in a fixed order on every card.

    The choice of kernels is a setting of the whole process, so it is made around each call and costs tens of
    microseconds; on devices without that kernel it is skipped.
    """
    if q.device.type != "cuda":
        return scaled_dot_product_attention(q, k, v)
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
        return scaled_dot_product_attention(q, k, v)


SDPA = Backend(name="sdpa", attend=attend, wide_scores=True)
SDPA_NO_MEM = Backend(name="sdpa-no-mem", attend=attend_no_mem, wide_scores=True)
