"""Grids whose rows and columns say what they show."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Self

from PIL import Image, ImageColor, ImageDraw, ImageFont

from modules.settings.sections import Saving

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
WIDE_FONTS = (
    "NotoSans-Regular.ttf", "DejaVuSans.ttf", "arial.ttf", "Arial.ttf", "NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc",
    "msyh.ttc", "PingFang.ttc", "Arial Unicode.ttf",
)  # fmt: skip
"""Fonts of systems, tried for texts that the one that comes with the imaging library cannot write."""
SMALLEST_FONT_PX = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text beside a row or above a column."""

    text: str
    active: bool = True
    """Whether it holds there; one that does not is struck out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lettering:
    """What labels look like."""

    font: str = ""
    """File of a font; empty takes one that can write the texts."""
    active: str = "#000000"
    inactive: str = "#999999"
    background: str = "#ffffff"

    @classmethod
    def of(cls, saving: Saving) -> Self:
        """Take it from the settings."""
        return cls(
            font=saving.font, active=saving.grid_text_active_color, inactive=saving.grid_text_inactive_color,
            background=saving.grid_background_color,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    font: Font
    active: bool
    width: int
    height: int


Labels = Sequence[Sequence[Label]]
"""For each column, or each row, its labels from top to bottom."""


def labelled_grid(
    cells: Sequence[Image.Image | None], columns: Labels, rows: Labels, *, margin: int = 0,
    lettering: Lettering | None = None,
) -> Image.Image:  # fmt: skip
    """Lay pictures out with labels above the columns and to the left of the rows.

    Args:
        cells: row by row; None leaves a black place. At least one is a picture.
        columns: labels of each column, one entry per column even where it is empty.
        rows: likewise of each row. Without any label there is no border.
        margin: between cells, pixels.
        lettering: of the labels.
    """
    look = lettering or Lettering()
    there = [cell for cell in cells if cell is not None]
    width, height = max(cell.width for cell in there), max(cell.height for cell in there)
    font_px = (width + height) // 25
    left = width * 3 // 4 if _any(rows) else 0
    above = [_wrapped(labels, font_px, width, look) for labels in columns]
    beside = [_wrapped(labels, font_px, left, look) for labels in rows]
    spacing = font_px // 2
    top = max(_height(lines, spacing) for lines in above) + spacing * 2 if _any(columns) else 0
    size = (
        left + width * len(columns) + margin * (len(columns) - 1), top + height * len(rows) + margin * (len(rows) - 1),
    )  # fmt: skip
    grid = Image.new("RGB", size, color_of(look.background, (255, 255, 255)))
    draw = ImageDraw.Draw(grid)
    for column, lines in enumerate(above):
        centre = left + (width + margin) * column + width / 2
        _write(draw, lines, (centre, top / 2), spacing, look)
    for row, lines in enumerate(beside):
        centre = top + (height + margin) * row + height / 2
        _write(draw, lines, (left / 2, centre), spacing, look)
    for place, cell in enumerate(cells):
        row, column = divmod(place, len(columns))
        x, y = left + (width + margin) * column, top + (height + margin) * row
        _put(grid, cell, (x, y, x + width, y + height))
    return grid


def color_of(text: str, otherwise: tuple[int, int, int]) -> tuple[int, ...]:
    """Read a colour as in CSS."""
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError:
        return otherwise


def _put(grid: Image.Image, cell: Image.Image | None, box: tuple[int, int, int, int]) -> None:
    """Paste a picture into the middle of its place."""
    left, top, right, bottom = box
    if cell is None:
        grid.paste((0, 0, 0), box)
        return
    grid.paste(cell.convert("RGB"), (left + (right - left - cell.width) // 2, top + (bottom - top - cell.height) // 2))


def _any(labels: Labels) -> bool:
    return any(one.text for group in labels for one in group)


def _wrapped(labels: Sequence[Label], font_px: int, width: int, look: Lettering) -> list[_Line]:
    """Break labels into lines of a width, and write smaller what has no place to be broken."""
    found: list[_Line] = []
    for label in labels:
        font = _font(label.text, font_px, look)
        for text in _broken(label.text, font, width):
            found.append(_line(text, font, label.active))
            size = font_px
            while found[-1].width > width > 0 and size > SMALLEST_FONT_PX:
                size -= 1
                found[-1] = _line(text, _font(label.text, size, look), label.active)
    return found


def _broken(text: str, font: Font, width: int) -> list[str]:
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


def _line(text: str, font: Font, active: bool) -> _Line:
    left, top, right, bottom = font.getbbox(text or " ")
    return _Line(text, font, active, ceil(right - left), ceil(bottom - top))


def _height(lines: Sequence[_Line], spacing: int) -> int:
    return sum(line.height for line in lines) + spacing * max(len(lines) - 1, 0)


def _write(
    draw: ImageDraw.ImageDraw, lines: Sequence[_Line], centre: tuple[float, float], spacing: int, look: Lettering
) -> None:
    """Write lines around a place."""
    x, y = centre[0], centre[1] - _height(lines, spacing) / 2
    for line in lines:
        middle = y + line.height / 2
        colour = color_of(look.active, (0, 0, 0)) if line.active else color_of(look.inactive, (153, 153, 153))
        # Centred by the ink, so that a line is where its height was counted.
        left, top, _, _ = line.font.getbbox(line.text or " ")
        draw.text((x - line.width / 2 - left, y - top), line.text, fill=colour, font=line.font)
        if not line.active and line.text:
            draw.line((x - line.width / 2, middle, x + line.width / 2, middle), fill=colour, width=max(1, spacing // 2))
        y += line.height + spacing


def _font(text: str, size: int, look: Lettering) -> Font:
    """Return a font that can write a text: the chosen one, else the library's, else one of the system's."""
    size = max(size, 1)
    if look.font:
        try:
            return ImageFont.truetype(look.font, size)
        except OSError:
            pass
    own = ImageFont.load_default(size)
    if _writes(own, text):
        return own
    for name in WIDE_FONTS:
        try:
            other = ImageFont.truetype(name, size)
        except OSError:
            continue
        if _writes(other, text):
            return other
    return own


def _writes(font: Font, text: str) -> bool:
    """Tell whether a font has all letters of a text: what it lacks looks like a letter that nobody has."""
    nobody = _glyph(font, "\U0010fffd")
    return all(letter.isspace() or letter.isascii() or _glyph(font, letter) != nobody for letter in set(text))


def _glyph(font: Font, letter: str) -> bytes:
    drawn: Any = font.getmask(letter)
    return bytes(drawn)
