"""`modules.images`: what extensions do with pictures."""

import datetime
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from modules.compat.callback_params import ImageGridLoopParams, ImageSaveParams
from modules.compat.host import host
from modules.files import atomic
from modules.files.paths import safe_name
from modules.imaging.encode import FORMATS, encode
from modules.imaging.grid import grid_rows, make_grid
from modules.imaging.naming import clean
from modules.imaging.read_info import read_info
from modules.imaging.resize import plain, resize

LANCZOS, NEAREST = Image.Resampling.LANCZOS, Image.Resampling.NEAREST


def resize_image(resize_mode: int, im: Image.Image, width: int, height: int, upscaler_name: str | None = None) -> Image.Image:  # fmt: skip
    """Resize a picture: 0 stretches, 1 crops, 2 fills the border."""
    if resize_mode not in (0, 1, 2) and upscaler_name not in (None, "None"):
        return plain(im, width, height, upscaler_name)
    return resize(im, int(width), int(height), resize_mode)


def flatten(img: Image.Image, bgcolor: Any) -> Image.Image:
    """Put a picture on a colour; RGB."""
    if img.mode == "RGBA":
        ground = Image.new("RGBA", img.size, bgcolor)
        ground.alpha_composite(img)
        return ground.convert("RGB")
    return img.convert("RGB")


def read_info_from_image(image: Image.Image) -> tuple[str | None, dict[str, Any]]:
    """Return the parameters text of a picture, and everything else that it says."""
    items = {str(key): value for key, value in (image.info or {}).items() if key not in ("exif", "icc_profile")}
    items.pop("parameters", None)
    return read_info(image).infotext, items


def get_next_sequence_number(path: str, basename: str) -> int:
    """Return the number that comes after the largest one in a folder; 0 in an empty one."""
    prefix, last = f"{basename}-" if basename else "", -1
    folder = Path(path)
    for name in [one.name for one in folder.iterdir()] if folder.is_dir() else ():
        rest = name.removeprefix(prefix) if name.startswith(prefix) else ""
        number = rest.split("-")[0].split(".")[0]
        last = max(last, int(number)) if number.isdigit() and len(number) < 19 else last
    return last + 1


def image_grid(imgs: list[Any], batch_size: int = 1, rows: int | None = None) -> Image.Image:
    """Put pictures together."""
    saving = host().settings.snapshot().saving
    rows = grid_rows(len(imgs), batch_size, saving) if rows is None else rows
    rows = max(1, min(int(rows), len(imgs)))
    params = ImageGridLoopParams(imgs, math.ceil(len(imgs) / rows), rows)
    host().callbacks.call("image_grid", params)
    return make_grid(list(params.imgs), max(1, params.rows), saving.grid_background_color)


@dataclass
class GridAnnotation:
    """A heading of a grid."""

    text: str = ""
    is_active: bool = True
    lines: Any = None
    size: Any = None


def draw_grid_annotations(im: Image.Image, width: int, height: int, hor_texts: Any, ver_texts: Any, margin: int = 0) -> Image.Image:  # fmt: skip
    """Put headings above the columns and left of the rows of a grid, and a margin between its pictures."""
    from PIL import ImageDraw, ImageFont

    font = ImageFont.load_default(size=max(10, (width + height) // 25))
    columns, rows = len(hor_texts), len(ver_texts)
    line = int(font.size * 1.3) if isinstance(font, ImageFont.FreeTypeFont) else 14
    top = line * max((len(texts) for texts in hor_texts), default=0) + line if _any(hor_texts) else 0
    left = width * 3 // 4 if _any(ver_texts) else 0
    size = (left + columns * width + margin * (columns - 1), top + rows * height + margin * (rows - 1))
    result = Image.new("RGB", size, host().settings.snapshot().saving.grid_background_color)
    for row in range(rows):
        for column in range(columns):
            cell = im.crop((column * width, row * height, (column + 1) * width, (row + 1) * height))
            result.paste(cell, (left + column * (width + margin), top + row * (height + margin)))
    draw = ImageDraw.Draw(result)
    for number, texts in enumerate(hor_texts):
        _heading(draw, texts, left + number * (width + margin) + width // 2, line // 2, font, line)
    for number, texts in enumerate(ver_texts):
        middle = top + number * (height + margin) + height // 2 - line * len(texts) // 2
        _heading(draw, texts, left // 2, middle, font, line)
    return result


def _any(texts: Any) -> bool:
    return any(one.text for group in texts for one in group)


def _heading(draw: Any, texts: Any, x: int, y: int, font: Any, line: int) -> None:
    for number, one in enumerate(texts):
        place, colour = (x, y + number * line), "#000000" if one.is_active else "#999999"
        draw.text(place, one.text, font=font, fill=colour, anchor="ma")


def sanitize_filename_part(text: str | None, replace_spaces: bool = True) -> str | None:
    """Make a text usable in the name of a file."""
    return None if text is None else clean(text, spaces=replace_spaces)


def save_image(
    image: Image.Image, path: str, basename: str, seed: Any = None, prompt: str | None = None, extension: str = "png",
    info: str | None = None, short_filename: bool = False, no_prompt: bool = False, grid: bool = False,
    pnginfo_section_name: str = "parameters", p: Any = None, existing_info: dict[str, Any] | None = None,
    forced_filename: str | None = None, suffix: str = "", save_to_dirs: bool | None = None,
) -> tuple[str | None, str | None]:  # fmt: skip
    """Write a picture; numbers are never used twice.

    Returns:
        The file, and the text file beside it if the settings want one.
    """
    settings = host().settings.snapshot()
    folder = _folder(path, settings, prompt, grid=grid, wanted=save_to_dirs)
    atomic.make_folder(folder)
    name = (
        f"{forced_filename}.{extension}"
        if forced_filename
        else _name(basename, seed, prompt, short_filename, no_prompt)
    )
    params = ImageSaveParams(image, p, str(folder / name), {pnginfo_section_name: info} if info else {})
    host().callbacks.call("before_image_saved", params)
    text = params.pnginfo.get(pnginfo_section_name) if settings.infotext.enable_pnginfo else None
    kind = extension.lower().lstrip(".")
    made = encode(
        params.image, kind if kind in FORMATS else "png", text, quality=settings.saving.jpeg_quality,
        lossless=settings.saving.webp_lossless,
    )  # fmt: skip
    target = _write(folder, made.data, made.format, forced_filename, basename, seed, prompt, suffix, no_prompt or short_filename)  # fmt: skip
    image.already_saved_as = str(target)  # pyright: ignore[reportAttributeAccessIssue]
    beside = None
    if settings.infotext.save_txt and info:
        beside = target.with_suffix(".txt")
        atomic.write(beside, info + "\n")
    host().callbacks.call("image_saved", ImageSaveParams(params.image, p, str(target), params.pnginfo))
    return str(target), str(beside) if beside else None


def _write(
    folder: Path, data: bytes, kind: str, forced: str | None, basename: str, seed: Any, prompt: str | None,
    suffix: str, short: bool,
) -> Path:  # fmt: skip
    if forced:
        target = folder / f"{safe_name(forced)}.{kind}"
        atomic.write(target, data)
        return target
    about = "-".join(str(one) for one in (seed, clean(prompt or "")[:80]) if one not in (None, "")) if not short else ""
    with host().numbering.reserve(folder, basename) as reserved:
        reserved.temp.write_bytes(data)
        stem = safe_name(f"{reserved.text}{'-' if about else ''}{about}{suffix}", 230)
        return reserved.publish(f"{stem}.{kind}")


def _name(basename: str, seed: Any, prompt: str | None, short: bool, no_prompt: bool) -> str:
    parts = [basename, None if short else seed, None if short or no_prompt else clean(prompt or "")[:80]]
    return "-".join(str(part) for part in parts if part not in (None, "")) + ".png"


def _folder(path: str, settings: Any, prompt: str | None, *, grid: bool, wanted: bool | None) -> Path:
    folder = Path(path) if Path(path).is_absolute() else host().layout.data / path
    into = (settings.saving.grid_save_to_dirs if grid else settings.saving.save_to_dirs) if wanted is None else wanted
    return folder / datetime.datetime.now().strftime("%Y-%m-%d") if into else folder
