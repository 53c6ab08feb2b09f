"""The embeddings that prompts may use with one model, found by the tokens of their names."""

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from modules.adapters.textual_inversion.embedding import Embedding

Found = tuple[int, int, str]
"""(tokens the name takes, vectors it stands for, name)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Embeddings of one model's text encoders."""

    embeddings: Mapping[str, Embedding]
    """By name."""
    by_token: Mapping[int, tuple[tuple[tuple[int, ...], str], ...]]
    """First token of a name -> (tokens of the name, name), the longest first."""
    key: Hashable
    """Equal for equal embeddings."""

    def find(self, ids: Sequence[int], position: int) -> Found | None:
        """Return the embedding whose name begins at a position, the one with the longest name."""
        for tokens, name in self.by_token.get(ids[position], ()):
            if tuple(ids[position : position + len(tokens)]) == tokens:
                return len(tokens), self.embeddings[name].num_vectors, name
        return None

    def of_encoder(self, encoder: str, encoders: Mapping[str, int]) -> "EncoderWords":
        """Return the embeddings as one text encoder of the model takes them."""
        return EncoderWords(words=self, encoder=encoder, encoders=encoders)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderWords:
    """The embeddings as one text encoder takes them."""

    words: Words
    encoder: str
    encoders: Mapping[str, int]

    def find(self, ids: Sequence[int], position: int) -> Found | None:
        """Return the embedding whose name begins at a position."""
        return self.words.find(ids, position)

    def vectors(self, key: str) -> Tensor:
        """Return the vectors of an embedding, [k, width]."""
        fitting = self.words.embeddings[key].fitting(self.encoders)
        assert fitting is not None  # others were left out
        return fitting[self.encoder]


def words_of(
    embeddings: Sequence[Embedding], encoders: Mapping[str, int], tokenize: Callable[[str], Sequence[int]]
) -> Words:
    """Choose the embeddings that fit a model. Of two with the same name the last counts.

    Args:
        embeddings: in the order in which they were found.
        encoders: text encoders of the model, name -> width.
        tokenize: text -> ids without start and end tokens.
    """
    fitting = {one.name: one for one in embeddings if one.fitting(encoders) is not None}
    table: dict[int, list[tuple[tuple[int, ...], str]]] = {}
    for name in fitting:
        tokens = tuple(tokenize(name))
        if tokens:
            table.setdefault(tokens[0], []).append((tokens, name))
    by_token = {first: tuple(sorted(names, key=lambda pair: -len(pair[0]))) for first, names in table.items()}
    key = tuple((name, one.digest, id(one) if not one.digest else 0) for name, one in fitting.items())
    return Words(embeddings=fitting, by_token=by_token, key=key)


class WordsCache:
    """Keeps the words of the last embeddings and model that were asked for."""

    def __init__(self) -> None:
        self._embeddings: tuple[Embedding, ...] = ()
        self._encoders: Mapping[str, int] = {}
        self._words: Words | None = None

    @property
    def last(self) -> Words | None:
        """What was returned last."""
        return self._words

    def get(
        self, embeddings: Sequence[Embedding], encoders: Mapping[str, int], tokenize: Callable[[str], Sequence[int]]
    ) -> Words:
        """Return the words, as `words_of` does, anew only for other embeddings or another model."""
        same = len(embeddings) == len(self._embeddings) and all(map(operator.is_, embeddings, self._embeddings))
        if self._words is None or not same or encoders != self._encoders:
            self._words = words_of(embeddings, encoders, tokenize)
            self._embeddings, self._encoders = tuple(embeddings), dict(encoders)
        return self._words
