"""A textual inversion embedding: vectors that stand for a word.

Source: Gal et al. 2022, arXiv:2208.01618, section 4.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

ONLY = ""
"""Name of the vectors of a file that is made for models with one text encoder."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedding:
    """The vectors of one word."""

    name: str
    """The word as people write it."""
    vectors: Mapping[str, Tensor]
    """Text encoder (clip_l, clip_g, t5xxl, or `ONLY`) -> [k, width]; k is the same for all."""
    digest: str = ""
    """First 12 digits of the file's hash."""
    step: int | None = None
    """How long it was trained."""
    sd_checkpoint: str | None = None
    """Short hash of the model it was trained with."""
    sd_checkpoint_name: str | None = None
    bundled: bool = False
    """Whether it came inside of a LoRA."""

    @property
    def num_vectors(self) -> int:
        """How many tokens it takes up."""
        return next(iter(self.vectors.values())).shape[0]

    @property
    def width(self) -> int:
        """Numbers per vector, of all text encoders together."""
        return sum(value.shape[1] for value in self.vectors.values())

    def fitting(self, encoders: Mapping[str, int]) -> Mapping[str, Tensor] | None:
        """Return the vectors for the text encoders of a model, None when it is made for another kind of model.

        Args:
            encoders: name -> width. A model with one encoder takes files without names too; a file for more
                encoders than a model has does not fit, except where the model is a refiner, which has the larger only.
        """
        if len(encoders) == 1 and set(self.vectors) == {ONLY}:
            found = {next(iter(encoders)): self.vectors[ONLY]}
        elif set(encoders) == set(self.vectors) or "clip_g" in encoders:
            found = {name: self.vectors[name] for name in encoders if name in self.vectors}
        else:
            return None
        widths = {name: value.shape[1] for name, value in found.items()}
        return found if widths == dict(encoders) else None
