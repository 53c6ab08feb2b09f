"""What happens when a VAE in half precision gives no numbers."""

import torch

from modules.residency.model import Model
from modules.settings.snapshot import Snapshot


def vae_fallback(settings: Snapshot, model: Model) -> torch.dtype | None:
    """Return the number format in which the VAE tries again; None in full precision, where none is better."""
    if model.policy.vae_dtype is torch.float32:
        return None
    if settings.vae.auto_vae_precision_bfloat16:
        return torch.bfloat16
    return torch.float32 if settings.vae.auto_vae_precision else None
