"""How much one prompt may ask for."""

from dataclasses import dataclass

from modules.domain.errors import LimitExceeded


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLimits:
    """Upper bounds that are checked before anything is expanded."""

    characters: int = 50_000
    parts: int = 64
    """Prompts joined by AND."""
    schedules: int = 256
    """Switches and alternations of one prompt."""
    extra_networks: int = 64
    styles: int = 256


def check(field: str, count: int, limit: int, unit: str) -> None:
    """Refuse a count above its limit.

    Raises:
        LimitExceeded: naming the field and both numbers.
    """
    if count > limit:
        raise LimitExceeded(field, f"{count} {unit}", limit)
