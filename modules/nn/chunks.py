"""Cutting weighted tokens into the windows of 77 that CLIP text encoders take."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from modules.domain.errors import InvalidRequest

CAPACITY = 75
"""Tokens of text in a chunk, between the start and the end token."""
BOS = 49406
EOS = 49407
COMMA = 267
ROUND_FACTOR = 1.1
"""Weight of a bracket in the way of the first versions."""

Embedding = tuple[int, int, str]
"""An embedding found in the text: (tokens its name takes, vectors it stands for, key)."""


class Piece(Protocol):
    """A text with one weight, or the marker that ends the chunk."""

    @property
    def text(self) -> str: ...

    @property
    def weight(self) -> float: ...

    @property
    def is_break(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One window of the text encoder."""

    ids: tuple[int, ...]
    """77 token ids; placeholder 0 where an embedding goes."""
    weights: tuple[float, ...]
    """77 emphasis weights; 1 for start, end and padding."""
    fixes: tuple[tuple[int, str], ...] = ()
    """(position in `ids` of the first vector, key) of each embedding."""
    counted: int = 0
    """What the chunk adds to the token counter: 75, or for the last one the tokens it holds."""


def chunk(
    pieces: Iterable[Piece],
    tokenize: Callable[[str], Sequence[int]],
    *,
    comma_id: int = COMMA,
    bos: int = BOS,
    eos: int = EOS,
    pad: int = EOS,
    backtrack: int = 20,
    find_embedding: Callable[[Sequence[int], int], Embedding | None] | None = None,
) -> list[Chunk]:
    """Tokenise each piece on its own and lay the tokens out in chunks; at least one comes back.

    Args:
        pieces: a prompt after emphasis was parsed.
        tokenize: text -> ids without start and end tokens.
        comma_id: token after which a chunk may be cut early.
        bos: start token.
        eos: end token; it also fills the chunk before `pad` does.
        pad: what follows the first end token: `eos` for CLIP-L, 0 for OpenCLIP.
        backtrack: how many tokens after the last comma may move to the next chunk instead of being cut off
            from the words behind them; 0 cuts anywhere.
        find_embedding: (ids of the piece, position) -> the embedding that begins there.

    Raises:
        InvalidRequest: an embedding has more vectors than a chunk has room for.
    """
    layout = _Layout(comma_id=comma_id, bos=bos, eos=eos, pad=pad, backtrack=backtrack)
    for piece in pieces:
        if piece.is_break:
            layout.finish_chunk()
        else:
            _lay_out(layout, tokenize(piece.text), piece.weight, find_embedding)
    return layout.finish()


def chunk_by_tokens(
    ids: Sequence[int],
    factors: Mapping[int, float],
    *,
    bos: int = BOS,
    eos: int = EOS,
    pad: int = EOS,
    find_embedding: Callable[[Sequence[int], int], Embedding | None] | None = None,
) -> Chunk:
    """Lay a whole text out as the first versions did: one chunk, brackets among the tokens, what is too long cut off.

    Args:
        ids: tokens of the whole text.
        factors: tokens that change the weight of what follows instead of standing in the chunk; a mark that was
            joined with the bracket, as in `),`, goes with it.
        bos: start token.
        eos: end token.
        pad: what follows the first end token.
        find_embedding: (ids, position) -> the embedding that begins there.
    """
    layout = _Layout(comma_id=-1, bos=bos, eos=eos, pad=pad, backtrack=0)
    weight, position = 1.0, 0
    while position < len(ids):
        found = find_embedding(ids, position) if find_embedding else None
        if ids[position] in factors:
            weight *= factors[ids[position]]
            position += 1
        elif found is None:
            layout.add(ids[position], weight)
            position += 1
        else:
            length, vectors, key = found
            layout.place(key, vectors, weight)
            position += length
    return layout.cut_off()


def bracket_factors(symbols: Iterable[str]) -> dict[int, float]:
    """Return for the tokens with brackets in them how they change the weight of what follows.

    Args:
        symbols: the vocabulary in the order of the ids. Tokens whose brackets cancel out are left out.
    """
    found: dict[int, float] = {}
    for token, symbol in enumerate(symbols):
        factor = 1.0
        for letter in symbol:
            if letter in "(]":
                factor *= ROUND_FACTOR
            elif letter in ")[":
                factor /= ROUND_FACTOR
        if factor != 1:
            found[token] = factor
    return found


def count(chunks: Iterable[Chunk]) -> int:
    """Return how many tokens the counter shows: full chunks count 75 each."""
    return sum(one.counted for one in chunks)


def counter_limit(used: int) -> int:
    """Return the limit shown beside a count: the room of the chunks that are in use."""
    return -(-max(used, 1) // CAPACITY) * CAPACITY


def even_out(texts: Sequence[list[Chunk]], empty: Chunk) -> list[list[Chunk]]:
    """Extend shorter texts by empty chunks, so that all can be encoded as one batch."""
    longest = max((len(chunks) for chunks in texts), default=0)
    return [chunks + [empty] * (longest - len(chunks)) for chunks in texts]


def _lay_out(
    layout: "_Layout",
    ids: Sequence[int],
    weight: float,
    find_embedding: Callable[[Sequence[int], int], Embedding | None] | None,
) -> None:
    position = 0
    while position < len(ids):
        layout.make_room(ids[position])
        found = find_embedding(ids, position) if find_embedding else None
        if found is None:
            layout.add(ids[position], weight)
            position += 1
        else:
            length, vectors, key = found
            layout.add_embedding(key, vectors, weight)
            position += length


class _Layout:
    """The chunk being filled and those that are done."""

    def __init__(self, *, comma_id: int, bos: int, eos: int, pad: int, backtrack: int) -> None:
        self.comma_id, self.bos, self.eos, self.pad, self.backtrack = comma_id, bos, eos, pad, backtrack
        self.done: list[Chunk] = []
        self.ids: list[int] = []
        self.weights: list[float] = []
        self.fixes: list[tuple[int, str]] = []  # offsets into self.ids
        self.last_comma = -1

    def make_room(self, token: int) -> None:
        """Close a full chunk before `token`; a comma is remembered, anything else may pull words along."""
        full = len(self.ids) == CAPACITY
        if token == self.comma_id:
            self.last_comma = len(self.ids)
        elif full and self.last_comma >= 0 and CAPACITY - self.last_comma <= self.backtrack:
            self._cut_after(self.last_comma + 1)
            full = len(self.ids) == CAPACITY
        if full:
            self.finish_chunk()

    def add(self, token: int, weight: float) -> None:
        self.ids.append(token)
        self.weights.append(weight)

    def add_embedding(self, key: str, vectors: int, weight: float) -> None:
        if vectors > CAPACITY:
            raise InvalidRequest(f"embedding {key} has {vectors} vectors; a text encoder takes {CAPACITY} at most")
        if len(self.ids) + vectors > CAPACITY:
            self.finish_chunk()
        self.place(key, vectors, weight)

    def place(self, key: str, vectors: int, weight: float) -> None:
        """Add an embedding whether or not it fits."""
        self.fixes.append((len(self.ids), key))
        self.ids += [0] * vectors
        self.weights += [weight] * vectors

    def _cut_after(self, at: int) -> None:
        """Close the chunk before offset `at` and carry the rest, embeddings included, to the next one."""
        ids, weights, fixes = self.ids[at:], self.weights[at:], [(i - at, key) for i, key in self.fixes if i >= at]
        self.ids, self.weights = self.ids[:at], self.weights[:at]
        self.fixes = [(i, key) for i, key in self.fixes if i < at]
        self.finish_chunk()
        self.ids, self.weights, self.fixes = ids, weights, fixes

    def finish_chunk(self, *, last: bool = False) -> None:
        held = len(self.ids)
        ids = [self.bos, *self.ids, *[self.eos] * (CAPACITY + 1 - held)]
        if self.pad != self.eos:
            end = ids.index(self.eos) + 1
            ids[end:] = [self.pad] * (len(ids) - end)
        weights = [1.0, *self.weights, *[1.0] * (CAPACITY + 1 - held)]
        fixes = tuple((offset + 1, key) for offset, key in self.fixes)
        counted = held if last else CAPACITY
        self.done.append(Chunk(ids=tuple(ids), weights=tuple(weights), fixes=fixes, counted=counted))
        self.ids, self.weights, self.fixes, self.last_comma = [], [], [], -1

    def cut_off(self) -> Chunk:
        """Return the one chunk that all of it becomes; it counts what was left out too."""
        held = len(self.ids)
        self.ids, self.weights = self.ids[:CAPACITY], self.weights[:CAPACITY]
        self.fixes = [(offset, key) for offset, key in self.fixes if offset < CAPACITY]
        self.finish_chunk(last=True)
        return replace(self.done[0], counted=held)

    def finish(self) -> list[Chunk]:
        if self.ids or not self.done:
            self.finish_chunk(last=True)
        return self.done
