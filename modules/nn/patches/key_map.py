"""Which layer of a model the many names of it mean. Families publish such a map; readers of patches look layers up in it."""

from collections.abc import Mapping
from dataclasses import dataclass

WHOLE = (0, 1)


@dataclass(frozen=True, slots=True)
class Target:
    """A layer, or an equal part of the rows of one that several layers were joined into."""

    part: str
    """Network of the model: "unet" or "text"."""
    weight: str
    """Name of its weight in that network."""
    bias: str
    """Name that its bias has or, in a layer without one, would have."""
    share: tuple[int, int] = WHOLE
    """(which, of how many) equal parts of the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMap:
    """The layers of one model by the networks and names that trainers know them under."""

    family: str
    """Id of the model's lineage."""
    networks: Mapping[str, Mapping[str, Target]]
    """Network (unet, te1, te2) -> flat name -> layer. One name of each layout leads to the same layer."""

    def find(self, network: str, name: str) -> Target | None:
        """Look a layer up.

        Args:
            network: unet, te1 or te2; "te" is the only or the first text encoder.
            name: path of the module, flat or with dots.
        """
        known = self.networks.get("te1" if network == "te" else network, {})
        return known.get(flattened(name))


def flattened(name: str) -> str:
    """Return a path as trainers write it that allow no dots in names."""
    return name.replace(".", "_")
