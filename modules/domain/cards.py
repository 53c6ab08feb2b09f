"""What extensions show as cards beside the prompt."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CardEntry:
    """One card."""

    name: str
    """Unique on its page; folders may stand before it, with `/` between."""
    prompt: str = ""
    """Goes into the prompt when the card is used, and out again the second time; its name where this is empty."""
    negative_prompt: str = ""
    """The same for the negative prompt."""
    description: str = ""
    search: str = ""
    """Further words that it is found by."""
    path: Path | None = None
    """Its file."""
    preview: Path | None = None
    """A picture; PNG, JPEG, WebP, AVIF or GIF."""
    onclick: str = ""
    """A script that runs in the page instead of filling prompts."""
    fault: str = ""
    """Why it cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CardSource:
    """A page of cards."""

    id: str
    title: str
    entries: Callable[[], Iterable[CardEntry]]
    """Lists the cards; asked when the page is looked at first, and when it is told to look again."""
    refresh: Callable[[], object] = lambda: None
    """Called before cards are listed again."""
