"""How many tokens a prompt has, as shown beside it."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from modules.imaging.infotext_styles import StyleTexts
from modules.nn.chunks import chunk, count, counter_limit
from modules.nn.clip_tokenizer import load_clip_tokenizer
from modules.prompting.emphasis import parse_emphasis
from modules.prompting.prepare import counted_texts
from modules.prompting.styles import apply_styles
from modules.settings.snapshot import Snapshot


class Words(Protocol):
    """The embeddings that prompts may use."""

    def find(self, ids: Sequence[int], position: int) -> tuple[int, int, str] | None:
        """Return (tokens of the name, vectors, name) of the embedding whose name begins at a position."""
        ...


class Tokenizer(Protocol):
    """What is needed of a tokenizer to count."""

    @property
    def comma_id(self) -> int:
        """Id of a comma, after which a chunk may end."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCount:
    """What one counter shows."""

    used: int
    limit: int


class TokenCounter:
    """Counts with CLIP's vocabulary, which is read when the first count is asked for. Thread-safe."""

    def __init__(
        self,
        load: Callable[[], Tokenizer] = load_clip_tokenizer,
        words: Callable[[Tokenizer], Words | None] | None = None,
    ) -> None:
        """Count words only, or also embeddings, each as many tokens as it has vectors, if `words` knows them."""
        self._load, self._words, self._lock = load, words, threading.Lock()
        self._tokenizer: Tokenizer | None = None

    def count(
        self, prompt: str, styles: Sequence[str], settings: Snapshot, *, steps: int, positive: bool
    ) -> TokenCount:
        """Count the longest text that a prompt becomes during sampling.

        Args:
            prompt: as typed.
            styles: texts of the chosen styles, each applied to what the one before it made.
            settings: emphasis and the length of a chunk come from here.
            steps: length of the run, which schedules refer to.
            positive: whether AND separates parts.

        Raises:
            LimitExceeded: the prompt has too many parts or is too long.
            ModelError: the vocabulary cannot be read.
        """
        tokenizer = self._ready()
        texts = counted_texts(
            apply_styles(prompt, styles), steps=steps, positive=positive, comments=settings.sd.enable_prompt_comments
        )
        words = self._words(tokenizer) if self._words else None
        find = words.find if words else None
        backtrack, emphasis = settings.sd.comma_padding_backtrack, settings.sd.emphasis
        used = max(
            count(
                chunk(
                    parse_emphasis(text, emphasis),
                    tokenizer.encode,
                    comma_id=tokenizer.comma_id,
                    backtrack=backtrack,
                    find_embedding=find,
                )
            )
            for text in texts
        )
        return TokenCount(used=used, limit=counter_limit(used))

    def _ready(self) -> Tokenizer:
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = self._load()
            return self._tokenizer


def style_texts(styles: Sequence[StyleTexts], names: Sequence[str], *, positive: bool) -> tuple[str, ...]:
    """Return the texts of some styles for the prompt or the negative prompt; unknown names are left out."""
    known = {style.name: style for style in styles}
    found = [known[name] for name in names if name in known]
    return tuple(style.prompt if positive else style.negative_prompt for style in found)
