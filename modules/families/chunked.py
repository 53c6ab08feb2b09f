"""Prompts to conditioning for encoders that read 77 tokens at a time: chunks, emphasis, embeddings.

B rows (texts), T = 77 tokens of a chunk, N chunks, D width.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from modules.domain.errors import UnknownName
from modules.domain.plan import TextOptions
from modules.nn.chunks import Chunk, Embedding, chunk, chunk_by_tokens, even_out
from modules.prompting.emphasis import parse_emphasis

Placement = tuple[int, int, Tensor]
"""(row, position in the chunk, vectors [k, D]) of a textual inversion embedding."""

EncodeChunk = Callable[[Tensor, Sequence[Placement]], Tensor]
"""(ids [B, T], placements) -> [B, T, D]."""

EMPHASIS_MODES = ("Original", "No norm", "Ignore", "None")


class Tokenizer(Protocol):
    """What cutting a prompt into chunks needs to know of a vocabulary."""

    bos: int
    eos: int

    @property
    def comma_id(self) -> int: ...

    @property
    def bracket_factors(self) -> Mapping[int, float]: ...

    def encode(self, text: str) -> list[int]: ...


class Embeddings(Protocol):
    """Textual inversion embeddings, found by the tokens of their names."""

    def find(self, ids: Sequence[int], position: int) -> Embedding | None:
        """Return the embedding whose name begins at a position."""
        ...

    def vectors(self, key: str) -> Tensor:
        """Return its vectors, [k, D]."""
        ...


def chunks_of(
    tokenizer: Tokenizer,
    text: str,
    options: TextOptions,
    embeddings: Embeddings | None = None,
    *,
    pad: int | None = None,
) -> list[Chunk]:
    """Parse emphasis and lay the tokens of one text out in chunks, filled up by `pad` or else the end token; at least one.

    Raises:
        UnknownName: no such emphasis mode.
    """
    if options.emphasis not in EMPHASIS_MODES:
        raise UnknownName("emphasis mode", options.emphasis, EMPHASIS_MODES, field="emphasis")
    pad = tokenizer.eos if pad is None else pad
    if options.old_emphasis:
        whole = chunk_by_tokens(
            tokenizer.encode(text),
            {} if options.emphasis == "None" else tokenizer.bracket_factors,
            bos=tokenizer.bos,
            eos=tokenizer.eos,
            pad=pad,
            find_embedding=embeddings.find if embeddings else None,
        )
        return [whole]
    return chunk(
        parse_emphasis(text, options.emphasis),
        tokenizer.encode,
        comma_id=tokenizer.comma_id,
        bos=tokenizer.bos,
        eos=tokenizer.eos,
        pad=pad,
        backtrack=options.comma_backtrack,
        find_embedding=embeddings.find if embeddings else None,
    )


def embeddings_in(tokenizer: Tokenizer, text: str, options: TextOptions, embeddings: Embeddings) -> list[str]:
    """Return the embeddings that a text uses, by name and in order."""
    return [key for one in chunks_of(tokenizer, text, options, embeddings) for _, key in one.fixes]


def encode_texts(
    encode: EncodeChunk,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    options: TextOptions,
    *,
    device: torch.device,
    embeddings: Embeddings | None = None,
    pad: int | None = None,
) -> Tensor:
    """Encode the texts of one timeline together: shorter ones are filled up with empty chunks.

    Each chunk is encoded on its own and starts again at position 0; the results follow each other.

    Args:
        encode: the encoder.
        tokenizer: its vocabulary.
        texts: B of them.
        options: emphasis and chunking.
        device: where the encoder is.
        embeddings: stand-ins for words.
        pad: token that fills a chunk up behind its end token; None for the end token itself.

    Returns:
        [B, N * T, D], float32.
    """
    (empty,) = chunks_of(tokenizer, "", options, pad=pad)
    rows = even_out([chunks_of(tokenizer, text, options, embeddings, pad=pad) for text in texts], empty)
    encoded = []
    for column in zip(*rows, strict=True):
        ids = torch.tensor([one.ids for one in column], device=device)
        weights = torch.tensor([one.weights for one in column], device=device)
        placements = [
            (row, position, embeddings.vectors(key)[: len(one.ids) - position])
            for row, one in enumerate(column)
            for position, key in one.fixes
            if embeddings is not None
        ]
        encoded.append(emphasise(encode(ids, placements).float(), weights, options.emphasis))
    return torch.cat(encoded, dim=1)


def emphasise(z: Tensor, weights: Tensor, mode: str) -> Tensor:
    """Weigh the tokens of one chunk of every row.

    Args:
        z: [B, T, D] encoder output.
        weights: [B, T], 1 for tokens without emphasis.
        mode: one of `EMPHASIS_MODES`. "Original" restores the mean over the whole tensor afterwards, so the rows
            of one timeline influence each other, as they always have.

    Returns:
        [B, T, D]
    """
    if mode in {"Ignore", "None"}:
        return z
    weighted = z * weights[..., None]
    if mode == "No norm":
        return weighted
    return weighted * (z.mean() / weighted.mean())
