"""Random numbers: one stream per picture, so that a picture does not depend on its neighbours in the batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from modules.domain.errors import UnknownName
from modules.sampling.philox import Philox

NEARLY_PARALLEL = 0.9995
SEED_MASK = 0xFFFFFFFFFFFFFFFF

SOURCES = ("GPU", "CPU", "NV")


class Stream(Protocol):
    """A source of unit normal values."""

    def randn(self, shape: Sequence[int]) -> Tensor:
        """Draw the next values; float32."""
        ...


class TorchStream:
    """A torch generator of its own on one device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device).manual_seed(seed & SEED_MASK)

    def randn(self, shape: Sequence[int]) -> Tensor:
        """Draw the next values on the generator's device."""
        return torch.randn(tuple(shape), generator=self.generator, device=self.generator.device)


OpenStream = Callable[[int], Stream]
"""seed -> a fresh stream."""


def stream_opener(source: str, device: torch.device) -> OpenStream:
    """Return how streams are opened for a source; GPU means the compute device (the CPU where torch has no generator).

    Raises:
        UnknownName: the source is not GPU, CPU or NV.
    """
    match source:
        case "NV":
            return Philox
        case "CPU":
            return partial(TorchStream, device=torch.device("cpu"))
        case "GPU":
            return partial(TorchStream, device=torch.device("cpu") if device.type == "mps" else device)
        case _:
            raise UnknownName("random number source", source, SOURCES, field="randn_source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """A second seed per picture that the first noise leans towards."""

    subseeds: tuple[int, ...]
    strength: float


class ImageNoise:
    """The noise of a batch of pictures: the initial latent first, then what stochastic samplers add, in call order."""

    def __init__(
        self,
        seeds: Sequence[int],
        shape: tuple[int, int, int],
        device: torch.device,
        *,
        source: str = "GPU",
        subseeds: Sequence[int] = (),
        subseed_strength: float = 0.0,
        eta_seed_delta: int = 0,
        seed_resize: tuple[int, int] | None = None,
    ) -> None:
        """Prepare the streams.

        Args:
            seeds: one per picture.
            shape: (channels, height, width) of the latent.
            device: where the noise is needed.
            source: GPU, CPU or NV.
            subseeds: one per picture, used while the strength is not 0.
            subseed_strength: 0 .. 1, position between the noise of seed and subseed.
            eta_seed_delta: added to the seeds of everything after the initial noise.
            seed_resize: (height, width) in latent cells of the noise to paste into the wanted shape.

        Raises:
            UnknownName: the source is not GPU, CPU or NV.
        """
        self.seeds = tuple(seeds)
        self.shape = shape
        self.device = device
        self.variation = Variation(subseeds=tuple(subseeds), strength=subseed_strength) if subseed_strength else None
        self.eta_seed_delta = eta_seed_delta
        self.seed_resize = seed_resize
        self.open = stream_opener(source, device)
        self._streams = [self.open(seed) for seed in self.seeds]

    def initial(self) -> Tensor:
        """Draw the noise the pictures start from, [B, C, h, w]; call once, before `next`."""
        drawn = torch.stack([self._first(i) for i in range(len(self.seeds))])
        if self.eta_seed_delta:
            self._streams = [self.open(seed + self.eta_seed_delta) for seed in self.seeds]
        return drawn.to(self.device)

    def next(self) -> Tensor:
        """Draw the next unit noise, [B, C, h, w]."""
        return torch.stack([stream.randn(self.shape) for stream in self._streams]).to(self.device)

    def __call__(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        """Draw the next unit noise; the interval does not matter for independent draws."""
        return self.next()

    def _first(self, i: int) -> Tensor:
        """Return the initial noise of picture i, [C, h, w]."""
        seed, stream = self.seeds[i], self._streams[i]
        small = (self.shape[0], *self.seed_resize) if self.seed_resize else self.shape
        resized = small != self.shape
        # The paste leaves the picture's own stream to the frame around it.
        noise = (self.open(seed) if resized else stream).randn(small)
        if self.variation:
            subseed = self.variation.subseeds[i] if i < len(self.variation.subseeds) else 0
            noise = slerp(self.variation.strength, noise, self.open(subseed).randn(small))
        return paste_centred(noise, stream.randn(self.shape)) if resized else noise


class GivenNoise(ImageNoise):
    """Noise that somebody else draws, of any size; paths and seeds are those of the pictures.

    Args:
        first: [B, C, h, w], what the pictures start from.
        like: the noise of the pictures.
        more: draws what samplers add later, [B, C, h, w]; the pictures' own streams do so when left out.
    """

    def __init__(self, first: Tensor, like: ImageNoise, more: Callable[[], Tensor] | None = None) -> None:
        self.seeds, self.open, self.device = like.seeds, like.open, like.device
        self.shape = (first.shape[1], first.shape[2], first.shape[3])
        self._given, self._more = first, more or like.next

    def initial(self) -> Tensor:
        """Return the noise the pictures start from, [B, C, h, w]."""
        return self._given

    def next(self) -> Tensor:
        """Draw the next unit noise, [B, C, h, w]."""
        return self._more()


def slerp(part: float, low: Tensor, high: Tensor) -> Tensor:
    """Turn `low` towards `high`, [C, h, w] each, along the arc between them.

    The angle is taken per channel and column, over the rows, and nearly parallel inputs are mixed with the weights
    the other way round; both are what seeds published with a variation strength rely on.
    """
    unit_low = low / low.square().sum(1, keepdim=True).sqrt()
    unit_high = high / high.square().sum(1, keepdim=True).sqrt()
    cosine = (unit_low * unit_high).sum(1, keepdim=True)
    if cosine.mean() > NEARLY_PARALLEL:
        return low * part + high * (1 - part)
    angle = cosine.acos()
    return (((1 - part) * angle).sin() * low + (part * angle).sin() * high) / angle.sin()


def paste_centred(noise: Tensor, frame: Tensor) -> Tensor:
    """Put `noise` [C, h, w] into the middle of `frame` [C, H, W], cropping what sticks out."""
    (to_y, from_y, h), (to_x, from_x, w) = (
        _overlap(noise.shape[1], frame.shape[1]),
        _overlap(noise.shape[2], frame.shape[2]),
    )
    out = frame.clone()
    out[:, to_y : to_y + h, to_x : to_x + w] = noise[:, from_y : from_y + h, from_x : from_x + w]
    return out


def _overlap(size: int, into: int) -> tuple[int, int, int]:
    """Return (start in the frame, start in the source, length) of a centred overlap along one axis."""
    offset = (into - size) // 2
    return (offset, 0, size) if offset >= 0 else (0, -offset, size + 2 * offset)


def no_noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """Serve deterministic samplers: adding it changes nothing."""
    return torch.zeros(())
