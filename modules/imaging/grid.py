"""Several pictures as one, for an overview."""

import math
from collections.abc import Sequence

from PIL import Image, ImageColor

from modules.settings.sections import Saving


def grid_rows(count: int, batch_size: int, options: Saving) -> int:
    """Return how many rows a grid of `count` pictures has.

    Args:
        count: number of pictures, at least 1.
        batch_size: used when `n_rows` is 0.
        options: `n_rows` and `grid_prevent_empty_spots`.
    """
    if options.n_rows > 0:
        rows = options.n_rows
    elif options.n_rows == 0:
        rows = batch_size
    elif options.grid_prevent_empty_spots:
        rows = next(rows for rows in range(math.isqrt(count), 0, -1) if count % rows == 0)
    else:
        rows = round(math.sqrt(count))
    return max(1, min(rows, count))


def wants_grid(count: int, options: Saving) -> bool:
    """Tell whether pictures of this number are put together at all."""
    return count > 1 or (count == 1 and not options.grid_only_if_multiple)


def make_grid(
    images: Sequence[Image.Image], rows: int, background: str = "#ffffff", *, columns: int | None = None
) -> Image.Image:
    """Lay pictures out row by row in cells of the largest size, each in the middle of its cell.

    Args:
        images: at least one.
        rows: at least 1.
        background: a colour as in CSS; white when it cannot be read.
        columns: as many as are needed when left out.
    """
    columns = columns or math.ceil(len(images) / rows)
    width = max(image.width for image in images)
    height = max(image.height for image in images)
    grid = Image.new("RGB", (columns * width, rows * height), _color(background))
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        left = column * width + (width - image.width) // 2
        top = row * height + (height - image.height) // 2
        grid.paste(image.convert("RGB"), (left, top))
    return grid


def _color(text: str) -> tuple[int, ...]:
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError:
        return (255, 255, 255)
