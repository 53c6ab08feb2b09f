"""Work that somebody does by himself, and that only waits for its turn in the queue."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitRequest:
    """Asks for a turn."""

    label: str
    """What the work is called, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visited:
    """The turn is over."""

    interrupted: bool = False
    """Whether the work was asked to end early."""
