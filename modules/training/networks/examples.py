"""What is learned from: pictures as latents, and what may be said of each."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modules.domain.errors import InvalidRequest, WebuiError
from modules.families.family import Components
from modules.imaging.open import open_image
from modules.imaging.resize import CROP, resize

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_NUMBERED = re.compile(r"^[\d\s_-]+")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """The training set; all pictures are of one size."""

    latents: Tensor
    """[N, C, h, w], sampler scale."""
    captions: Sequence[Sequence[str]]
    """N times one or more texts, of which one is chosen at each step."""
    size: tuple[int, int]
    """(width, height) of the pictures in pixels."""

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.captions)


@torch.no_grad()
def encoded(
    model: Components, count: int, picture: Callable[[int, int], Tensor], captions: Sequence[Sequence[str]]
) -> Examples:
    """Encode pictures a few at a time.

    Args:
        model: whose VAE encodes.
        count: N pictures.
        picture: (first, end) -> pictures [end - first, 3, H, W] in -1..1.
        captions: N times one or more texts.
    """
    few, latents, height, width = 16, list[Tensor](), 0, 0
    for first in range(0, count, few):
        pictures = picture(first, min(first + few, count))
        height, width = pictures.shape[2:]
        latents.append(model.family.encode(model, pictures.to(model.build.device), False))
    return Examples(latents=torch.cat(latents), captions=captions, size=(width, height))


def read_folder(model: Components, folder: Path, size: tuple[int, int], template: str, name: str) -> Examples:
    """Read the pictures of a folder, each cut to the size, with its words: a `.txt` beside it, or else its file name.

    Args:
        model: whose VAE encodes.
        folder: not searched deeper.
        size: (width, height) in pixels, multiples of 8.
        template: what captions look like; `[filewords]` stands for the words and `[name]` for the name.
        name: of what is trained.

    Raises:
        InvalidRequest: no pictures, a picture that cannot be read, or a size that does not fit.
    """
    if size[0] % 8 or size[1] % 8 or min(size) < 8:
        raise InvalidRequest(f"{size[0]}x{size[1]} is no multiple of 8", field="size")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise InvalidRequest(f"{folder} holds no pictures ({', '.join(SUFFIXES)})", field="pictures")
    captions = [(template.replace("[name]", name).replace("[filewords]", _words(path)),) for path in paths]
    return encoded(model, len(paths), lambda first, end: _pictures(paths[first:end], size), captions)


def _pictures(paths: Sequence[Path], size: tuple[int, int]) -> Tensor:
    rows = [_picture(path, size) for path in paths]
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _picture(path: Path, size: tuple[int, int]) -> np.ndarray:
    try:
        image = open_image(path.read_bytes(), field="pictures")
    except (OSError, WebuiError) as error:
        raise InvalidRequest(f"{path.name} cannot be read: {error}", field="pictures") from error
    return np.asarray(resize(image.convert("RGB"), *size, CROP))


def _words(path: Path) -> str:
    beside = path.with_suffix(".txt")
    try:
        return beside.read_text(encoding="utf-8").strip() if beside.exists() else _NUMBERED.sub("", path.stem)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{beside.name} cannot be read: {error}", field="pictures") from error
