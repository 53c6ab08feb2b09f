"""How the running server is asked to end, by whoever may ask."""

from dataclasses import dataclass
from typing import Protocol


class End(Protocol):
    """Ends the server."""

    def __call__(self, *, finish_running: bool, again: bool = False) -> None:
        """Begin to end and return at once.

        Args:
            finish_running: let the running job finish instead of interrupting it.
            again: start the program once more afterwards.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """Put by the server where routes find it."""

    end: End
