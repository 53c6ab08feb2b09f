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
