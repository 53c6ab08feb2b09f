"""What describes pictures, as `shared.interrogator`."""

from typing import Any


class Interrogator:
    """Describes pictures, where something that can do so is there."""

    def interrogate(self, pil_image: Any) -> str:
        """Describe a picture.

        Raises:
            UnsupportedFeature: nothing can.
        """
        from modules.domain.errors import UnsupportedFeature

        raise UnsupportedFeature("describing pictures")

    def load(self) -> None:
        """Load the networks; there are none."""

    def unload(self) -> None:
        """Forget the networks; there are none."""

    def send_blip_to_ram(self) -> None:
        """Move a network off the device; there is none."""


class Tagger:
    """Names what is in a picture, as `modules.deepbooru.model`, where something that can do so is there."""

    def tag(self, pil_image: Any) -> str:
        """Name what is in a picture, separated by commas.

        Raises:
            UnsupportedFeature: nothing can.
        """
        from modules.domain.errors import UnsupportedFeature

        raise UnsupportedFeature("naming what is in pictures")

    tag_multi = tag

    def load(self) -> None:
        """Load the network; there is none."""

    def start(self) -> None:
        """Bring the network to the device; there is none."""

    def stop(self) -> None:
        """Move the network off the device; there is none."""
