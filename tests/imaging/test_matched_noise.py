"""Noise that continues a picture."""

import numpy as np

from modules.imaging.matched_noise import matched, with_matched_noise


def picture(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.uniform(0.5, 0.9, (64, 96)), rng.uniform(0.2, 0.4, (64, 96)), np.full((64, 96), 0.1)], axis=-1)


def mask() -> np.ndarray:
    values = np.zeros((64, 96, 3))
    values[:, 64:] = 1
    return values


def test_what_is_shown_stays_and_the_rest_gets_its_colours() -> None:
    source, hidden = picture(), mask()
    made = with_matched_noise(source, hidden)
    assert np.array_equal(made[:, :64], source[:, :64])
    new, old = made[:, 64:].reshape(-1, 3), source[:, :64].reshape(-1, 3)
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert np.allclose(np.quantile(new, share, axis=0), np.quantile(old, share, axis=0), atol=0.01)
    assert np.array_equal(made, with_matched_noise(source, hidden))


def test_matching_follows_the_quantiles() -> None:
    rng = np.random.default_rng(1)
    values, wanted = rng.normal(size=(4000, 2)), rng.exponential(size=(3000, 2))
    made = matched(values, wanted)
    assert np.array_equal(np.argsort(made[:, 0]), np.argsort(values[:, 0]))
    assert np.allclose(np.quantile(made, 0.7, axis=0), np.quantile(wanted, 0.7, axis=0), rtol=0.02)


def test_smooth_pictures_give_smooth_noise() -> None:
    ramp = np.repeat(np.linspace(0.1, 0.9, 96)[None, :, None], 64, axis=0).repeat(3, axis=2)
    rough = np.random.default_rng(0).random((64, 96, 3))

    def steps(image: np.ndarray) -> float:
        made = with_matched_noise(image, mask())[:, 64:]
        return float(np.abs(np.diff(made, axis=1)).mean() / made.std())

    assert steps(ramp) < steps(rough) * 0.7


def test_a_picture_that_is_all_mask_or_black_gives_numbers() -> None:
    for source, hidden in ((picture(), np.ones((64, 96, 3))), (np.zeros((64, 96, 3)), mask())):
        made = with_matched_noise(source, hidden)
        assert np.isfinite(made).all()
