"""A part of some models that looks at the picture a run starts from, and tells the denoising network about it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor, nn


class Eye(nn.Module, ABC):
    """Made of pictures: further inputs of the denoising network."""

    prompts_only: frozenset[str] = frozenset()
    """Names of those inputs that the negative prompts do not get: zeros stand for them there."""

    @abstractmethod
    def look(self, picture: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return what is seen, by the name that the family's network knows it by.

        Args:
            picture: [B, 3, H, W] in -1..1.
            size: (h, w) of the latent.

        Returns:
            Each [B, ...], float32.
        """

    def told(self, seen: Mapping[str, Tensor], level: int, noise: Callable[[int], Tensor]) -> Mapping[str, Tensor]:
        """Return what the network is told of what was seen in the pictures of a batch.

        Args:
            seen: by `look`.
            level: 0..999, how much noise hides it; only some eyes know noise.
            noise: count -> that many unit normal numbers for each picture, [B, count].

        Raises:
            InvalidRequest: this model cannot do it.
        """
        return seen
