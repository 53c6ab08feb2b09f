"""Contact sheets: pictures in a grid, each above its caption."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

CAPTION_LINES = 5
LINE_PX = 11


def save_sheet(path: Path, pictures: Tensor, captions: Sequence[str], columns: int = 8) -> None:
    """Write a contact sheet.

    Args:
        path: PNG file to write.
        pictures: [N, 3, H, W] in -1..1, of one size.
        captions: N texts.
        columns: pictures per row.
    """
    count, _, height, width = pictures.shape
    cell = (max(width, 128) + 6, height + CAPTION_LINES * LINE_PX + 8)
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * cell[0], rows * cell[1]), "white")
    pen = ImageDraw.Draw(sheet)
    pixels = ((pictures.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    for index, caption in enumerate(captions):
        x, y = index % columns * cell[0] + 3, index // columns * cell[1] + 3
        sheet.paste(Image.fromarray(pixels[index]), (x, y))
        lines = textwrap.wrap(caption, 22)[:CAPTION_LINES]
        pen.multiline_text((x, y + height + 1), "\n".join(lines), fill="black", spacing=0)
    sheet.save(path)
