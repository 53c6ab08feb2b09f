"""Lay out the texts of a batch as rows of one network call, with the padding that unequal lengths need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from modules.domain.plan import GuidanceOptions
from modules.sampling.types import Conditioning


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Conditioning for some rows of a call and the pictures they belong to."""

    conditioning: Conditioning
    owners: Tensor
    """[R] long; index of the picture of each row."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.owners.shape[0]


def pick(conditioning: Conditioning, row: int) -> Conditioning:
    """Return one row, B = 1."""
    return Conditioning(
        tokens=conditioning.tokens[row : row + 1],
        pooled=None if conditioning.pooled is None else conditioning.pooled[row : row + 1],
        extras={name: value[row : row + 1] for name, value in conditioning.extras.items()},
    )


def stack(parts: Sequence[Conditioning]) -> Conditioning:
    """Join rows; shorter texts of the same role get their last vector repeated."""
    length = max(part.tokens.shape[1] for part in parts)
    pooled = [part.pooled for part in parts if part.pooled is not None]
    return Conditioning(
        tokens=torch.cat([with_last_vector(part.tokens, length) for part in parts]),
        pooled=torch.cat(pooled) if pooled else None,
        extras={name: torch.cat([part.extras[name] for part in parts]) for name in parts[0].extras},
    )


def with_last_vector(tokens: Tensor, length: int) -> Tensor:
    """Bring [B, L, D] to the wanted length by repeating the last vector, or by cutting."""
    missing = length - tokens.shape[1]
    if missing <= 0:
        return tokens[:, :length]
    return torch.cat([tokens, tokens[:, -1:].expand(-1, missing, -1)], dim=1)


def with_empty_chunks(tokens: Tensor, length: int, empty_chunk: Tensor) -> Tensor:
    """Lengthen [B, L, D] towards `length` by whole copies of the encoded empty prompt [1, l, D]."""
    copies = max(length - tokens.shape[1], 0) // empty_chunk.shape[1]
    return torch.cat([tokens, *[empty_chunk.to(tokens).expand(tokens.shape[0], -1, -1)] * copies], dim=1)


def padded(
    positive: Conditioning, negative: Conditioning, options: GuidanceOptions, empty_chunk: Tensor | None
) -> tuple[Conditioning, Conditioning, bool]:
    """Make both sides equally long if the options ask for it; returns both and whether anything was padded."""
    wanted, other = positive.tokens.shape[1], negative.tokens.shape[1]
    if wanted == other:
        return positive, negative, False
    if options.pad_cond_uncond_v0:
        return positive, replace(negative, tokens=with_last_vector(negative.tokens, wanted)), True
    if options.pad_cond_uncond and empty_chunk is not None:
        length = max(wanted, other)
        longer_positive = with_empty_chunks(positive.tokens, length, empty_chunk)
        longer_negative = with_empty_chunks(negative.tokens, length, empty_chunk)
        changed = longer_positive.shape[1] != wanted or longer_negative.shape[1] != other
        return replace(positive, tokens=longer_positive), replace(negative, tokens=longer_negative), changed
    return positive, negative, False


def calls_for(sides: Sequence[Rows], *, together: bool, num_images: int) -> list[Rows]:
    """Split rows into network calls, in the order of the sides.

    Args:
        sides: rows of all parts of all prompts, then those of the negative prompts unless they are skipped.
        together: all sides may share a call if their lengths agree, and a call may hold rows of two sides otherwise.
        num_images: rows per call otherwise.
    """
    if together and len({side.conditioning.tokens.shape[1] for side in sides}) == 1:
        return [
            Rows(
                conditioning=stack([side.conditioning for side in sides]),
                owners=torch.cat([side.owners for side in sides]),
            )
        ]
    size = num_images * 2 if together else num_images
    return [part for side in sides for part in _slices(side, size)]


def _slices(rows: Rows, size: int) -> list[Rows]:
    c = rows.conditioning
    return [
        Rows(
            conditioning=Conditioning(
                tokens=c.tokens[start : start + size],
                pooled=None if c.pooled is None else c.pooled[start : start + size],
                extras={name: value[start : start + size] for name, value in c.extras.items()},
            ),
            owners=rows.owners[start : start + size],
        )
        for start in range(0, len(rows), size)
    ]


def with_image_extras(rows: Rows, extras: Mapping[str, Tensor]) -> Rows:
    """Give every row the inputs of its picture, each [B, ...] by name."""
    if not extras:
        return rows
    per_row = {name: value.index_select(0, rows.owners.to(value.device)) for name, value in extras.items()}
    return replace(rows, conditioning=replace(rows.conditioning, extras={**rows.conditioning.extras, **per_row}))


def without_picture(rows: Rows, extras: Mapping[str, Tensor]) -> Rows:
    """Return the rows with nothing to see in those inputs."""
    blank = {name: torch.zeros_like(rows.conditioning.extras[name]) for name in extras}
    return replace(rows, conditioning=replace(rows.conditioning, extras={**rows.conditioning.extras, **blank}))
