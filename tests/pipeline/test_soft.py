"""Mixing latents by shares, and masks from what changed."""

import numpy as np
import torch

from modules.domain.request import Size, SoftSpec
from modules.pipeline.soft import change_mask, mixed

SPEC = SoftSpec()


def latents(seed: int) -> torch.Tensor:
    return torch.randn((2, 4, 6, 5), generator=torch.Generator().manual_seed(seed))


def share(value: float) -> torch.Tensor:
    return torch.full((1, 1, 6, 5), value)


def level(value: float) -> torch.Tensor:
    return torch.tensor([value]).view(-1, 1, 1, 1)


def test_white_is_the_estimate_and_black_the_original() -> None:
    clean, x = latents(1), latents(2)
    assert torch.allclose(mixed(clean, x, share(1), level(3), SPEC), x, atol=1e-4)
    assert torch.allclose(mixed(clean, x, share(0), level(3), SPEC), clean, atol=1e-4)
    assert torch.allclose(mixed(clean, x, share(0.5), level(0), SPEC), x, atol=1e-4)


def test_lengths_are_the_power_mean() -> None:
    clean, x = latents(1), latents(2)
    spec = SoftSpec(schedule_bias=0, preservation_strength=1, contrast_boost=2)
    made = mixed(clean, x, share(0.25), level(7), spec)
    wanted = (0.75 * clean.norm(dim=1) ** 2 + 0.25 * x.norm(dim=1) ** 2).sqrt()
    assert torch.allclose(made.norm(dim=1), wanted, rtol=1e-3)
    direction = torch.nn.functional.cosine_similarity(made, 0.75 * clean + 0.25 * x)
    assert torch.allclose(direction, torch.ones_like(direction), atol=1e-5)


def test_the_original_counts_more_at_high_levels_and_sizes_do_not_matter() -> None:
    clean, x = latents(1), latents(2)
    far, near = (mixed(clean, x, share(0.5), level(sigma), SPEC) for sigma in (10.0, 0.5))
    assert (far - clean).norm() < (near - clean).norm()
    scaled = mixed(clean * 8, x * 8, share(0.5), level(0.5), SPEC)
    assert torch.allclose(scaled / 8, near, rtol=1e-3, atol=1e-4)


def test_what_changed_is_shown() -> None:
    clean = torch.zeros((4, 16, 12))
    x, size, repaint = clean.clone(), Size(width=96, height=128), torch.ones((16, 12))
    assert not np.asarray(change_mask(clean, x, repaint, SPEC, size)).any()
    x[:, 4:12, 3:9] = 2
    mask = change_mask(clean, x, repaint, SPEC, size)
    assert mask.size == (96, 128)
    values = np.asarray(mask)
    assert values[64, 48] > 250
    assert values[0, 0] == values[-1, -1] == 0
    strict = SoftSpec(difference_threshold=0)
    assert np.asarray(change_mask(clean, x, repaint, strict, size))[64, 48] == 255
    assert not np.asarray(change_mask(clean, clean, repaint, strict, size)).any()


def test_the_mask_can_protect_what_changed() -> None:
    clean, repaint = torch.zeros((4, 16, 12)), torch.zeros((16, 12))
    size = Size(width=96, height=128)
    moved = clean + 1
    assert np.asarray(change_mask(clean, moved, repaint, SPEC, size))[64, 48] > 250
    assert np.asarray(change_mask(clean, moved, repaint, SoftSpec(mask_influence=1), size)).max() < 5
