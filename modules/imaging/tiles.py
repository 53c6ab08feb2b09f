"""Cut a picture into overlapping tiles of one size, and join such tiles with a cross-fade."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
from PIL import Image

from modules.imaging.resize import Box

Place = tuple[int, int]
"""Row and column of a tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """Where tiles lie. A picture smaller than a tile has one that sticks out."""

    width: int
    """Of the picture, pixels."""
    height: int
    tile_width: int
    tile_height: int
    overlap: int
    """Least overlap of two neighbours, over which they fade into each other; smaller than a tile."""
    lefts: tuple[int, ...]
    """Left edge of each column."""
    tops: tuple[int, ...]

    def boxes(self) -> Iterator[tuple[Place, Box]]:
        """Yield each tile, row by row, and where it lies."""
        for row, top in enumerate(self.tops):
            for column, left in enumerate(self.lefts):
                yield (row, column), (left, top, left + self.tile_width, top + self.tile_height)


def tiling_of(size: tuple[int, int], tile: tuple[int, int], overlap: int) -> Tiling:
    """Spread as few tiles as cover a picture evenly over it.

    Args:
        size: width and height of the picture.
        tile: width and height of a tile.
        overlap: least overlap of two neighbours, pixels.

    Raises:
        ValueError: the overlap is not smaller than a tile.
    """
    if overlap >= min(tile):
        raise ValueError(f"tiles of {tile[0]}x{tile[1]} cannot overlap by {overlap} pixels")
    lefts, tops = (_starts(whole, part, overlap) for whole, part in zip(size, tile, strict=True))
    return Tiling(
        width=size[0],
        height=size[1],
        tile_width=tile[0],
        tile_height=tile[1],
        overlap=overlap,
        lefts=lefts,
        tops=tops,
    )


def joined(tiling: Tiling, tiles: Mapping[Place, Image.Image]) -> Image.Image:
    """Join tiles to a picture; RGB. Missing ones are black."""
    result = Image.new("RGB", (tiling.width, tiling.height))
    if tiling.overlap == 0:
        for place, (left, top, _, _) in tiling.boxes():
            if place in tiles:
                result.paste(tiles[place], (left, top))
        return result
    fade = _fade(tiling.overlap)
    down = fade.resize((tiling.width, tiling.overlap))
    for row, top in enumerate(tiling.tops):
        strip = _strip(tiling, {column: tiles[row, column] for _, column in _in_row(tiles, row)}, fade)
        if row == 0:
            result.paste(strip, (0, top))
            continue
        result.paste(strip.crop((0, 0, strip.width, tiling.overlap)), (0, top), mask=down)
        result.paste(strip.crop((0, tiling.overlap, strip.width, strip.height)), (0, top + tiling.overlap))
    return result


def _strip(tiling: Tiling, tiles: Mapping[int, Image.Image], fade: Image.Image) -> Image.Image:
    """Join the tiles of one row."""
    strip = Image.new("RGB", (tiling.width, tiling.tile_height))
    across = fade.transpose(Image.Transpose.TRANSPOSE).resize((tiling.overlap, tiling.tile_height))
    for column, left in enumerate(tiling.lefts):
        tile = tiles.get(column) or Image.new("RGB", (tiling.tile_width, tiling.tile_height))
        if column == 0:
            strip.paste(tile, (left, 0))
            continue
        strip.paste(tile.crop((0, 0, tiling.overlap, tile.height)), (left, 0), mask=across)
        strip.paste(tile.crop((tiling.overlap, 0, tile.width, tile.height)), (left + tiling.overlap, 0))
    return strip


def _in_row(tiles: Mapping[Place, Image.Image], row: int) -> list[Place]:
    return [place for place in tiles if place[0] == row]


def _fade(overlap: int) -> Image.Image:
    """Return a column of one pixel's width that rises from transparent to opaque."""
    return Image.fromarray((np.arange(overlap, dtype=np.float32)[:, None] * 255 / overlap).astype(np.uint8))


def _starts(whole: int, part: int, overlap: int) -> tuple[int, ...]:
    count = max(ceil((whole - overlap) / (part - overlap)), 1)
    step = (whole - part) / (count - 1) if count > 1 else 0
    starts = [int(index * step) for index in range(count)]
    return tuple(whole - part if start + part >= whole else start for start in starts)
