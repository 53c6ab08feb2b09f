"""Torch's fused attention, the default everywhere."""

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from modules.nn.attention.backend import Backend


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Let torch pick the kernel."""
    return scaled_dot_product_attention(q, k, v)


def attend_no_mem(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Leave out the memory-efficient kernel, which is not deterministic on some cards."""
    if q.device.type != "cuda":
        return scaled_dot_product_attention(q, k, v)
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
        return scaled_dot_product_attention(q, k, v)


SDPA = Backend(name="sdpa", attend=attend)
SDPA_NO_MEM = Backend(name="sdpa-no-mem", attend=attend_no_mem)
