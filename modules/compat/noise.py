"""Noise of seeds, as extensions draw it."""

from typing import Any

from modules.compat.host import host


def randn(seed: int, shape: Any, generator: Any = None) -> Any:
    """Draw noise of a seed from the source that the settings ask for."""
    return _noise(shape, [seed]).initial()[0]


def create_generator(seed: int) -> Any:
    """Return a generator of a seed."""
    import torch

    return torch.Generator().manual_seed(int(seed))


def slerp(val: float, low: Any, high: Any) -> Any:
    """Blend two noises."""
    from modules.sampling import noise

    return noise.slerp(val, low, high)


def _noise(shape: Any, seeds: Any, **more: Any) -> Any:
    from modules.sampling.noise import ImageNoise

    source = host().options.randn_source
    channels, height, width = (int(one) for one in shape)
    return ImageNoise([int(one) for one in seeds], (channels, height, width), host().workshop().pool.policy.device, source=source, **more)  # fmt: skip


def create_random_tensors(
    shape: Any, seeds: Any, subseeds: Any = None, subseed_strength: float = 0.0, seed_resize_from_h: int = 0,
    seed_resize_from_w: int = 0, p: Any = None,
) -> Any:  # fmt: skip
    """Draw the noise of pictures: [B, C, h, w]."""
    return ImageRNG(shape, seeds, subseeds, subseed_strength, seed_resize_from_h, seed_resize_from_w).next()


class ImageRNG:
    """Draws noise for several pictures, each from its own seed."""

    def __init__(
        self, shape: Any, seeds: Any, subseeds: Any = None, subseed_strength: float = 0.0, seed_resize_from_h: int = 0,
        seed_resize_from_w: int = 0,
    ) -> None:  # fmt: skip
        self.shape = tuple(map(int, shape))
        self.seeds, self.subseeds, self.subseed_strength = seeds, subseeds, subseed_strength
        resized = seed_resize_from_h > 0 and seed_resize_from_w > 0
        self._noise = _noise(
            self.shape, seeds, subseeds=list(subseeds or [0] * len(seeds)), subseed_strength=subseed_strength,
            seed_resize=(seed_resize_from_h // 8, seed_resize_from_w // 8) if resized else None,
        )  # fmt: skip
        self.is_first = True

    def first(self) -> Any:
        """Return the noise that pictures begin with."""
        return self._noise.initial()

    def next(self) -> Any:
        """Return the next noise."""
        if self.is_first:
            self.is_first = False
            return self.first()
        return self._noise.next()
