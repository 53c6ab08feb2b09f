"""`p.rng`: the noise of a batch, and what extensions put in its place or around it."""

from typing import Any

from modules.compat.host import facade
from modules.compat.noise import ImageRNG, create_random_tensors
from modules.sampling.noise import ImageNoise


class JobRNG(ImageRNG):
    """`p.rng`: the noise of the batch, drawn from the streams that the program opened for its pictures."""

    def __init__(self, p: Any, shape: Any) -> None:
        self.p, self.shape = p, tuple(int(one) for one in shape)
        self.seeds, self.subseeds, self.subseed_strength = p.seeds, p.subseeds, p.subseed_strength
        self.is_first, self._own = True, None

    @property
    def _noise(self) -> Any:
        """The streams; its own where noise is drawn before the walk has any."""
        if self._own is None:
            own = ImageRNG(
                self.shape, self.seeds, self.subseeds, self.subseed_strength, self.p.seed_resize_from_h,
                self.p.seed_resize_from_w,
            )  # fmt: skip
            self._own = own._noise
        return self._own

    def bind(self, noise: ImageNoise) -> None:
        """Draw from the streams of a walk, unless something was drawn already."""
        if self._own is None:
            self._own, self.shape = noise, noise.shape

    def first(self) -> Any:
        """Return the noise that pictures begin with; a replaced `create_random_tensors` draws it."""
        replaced = facade("processing").create_random_tensors
        if replaced is create_random_tensors:
            return self._noise.initial()
        p = self.p
        return replaced(
            self.shape, self.seeds, subseeds=self.subseeds, subseed_strength=self.subseed_strength,
            seed_resize_from_h=p.seed_resize_from_h, seed_resize_from_w=p.seed_resize_from_w, p=p,
        ).to(self._noise.device)  # fmt: skip


def noise_of(p: Any, shape: Any) -> Any:
    """Make `p.rng` for a batch or a pass; a replaced `ImageRNG` is asked for it."""
    kind = facade("rng").ImageRNG
    if kind is ImageRNG:
        return JobRNG(p, shape)
    return kind(
        shape, p.seeds, subseeds=p.subseeds, subseed_strength=p.subseed_strength,
        seed_resize_from_h=p.seed_resize_from_h, seed_resize_from_w=p.seed_resize_from_w,
    )  # fmt: skip


def open_noise(p: Any, noise: ImageNoise) -> None:
    """Let `p.rng` draw from the streams of a walk; what a replaced `ImageRNG` made gets the shape of its latents."""
    kind = facade("rng").ImageRNG
    if type(p.rng) is kind and tuple(getattr(p.rng, "shape", ())) != noise.shape:
        p.rng = noise_of(p, noise.shape)
    inner, seen = p.rng, set[int]()
    # It may lie inside of what an extension put around it.
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        if isinstance(inner, JobRNG):
            inner.bind(noise)
            return
        inner = getattr(inner, "rng", None)
