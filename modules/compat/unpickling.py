"""Files of torch's own kind, as extensions load them."""

from typing import Any


def torch_load() -> Any:
    """Return torch's own loader."""
    import torch

    return torch.load


def checked_load(filename: Any, *args: Any, **kwargs: Any) -> Any:
    """Load a file of torch's; what is in it may be data only."""
    import torch

    return torch.load(filename, *args, **{"weights_only": True, **kwargs})


class ExtraPickle:
    """Kept for extensions that allow more classes while they load; data is all that is loaded here."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def __enter__(self) -> "ExtraPickle":
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""
