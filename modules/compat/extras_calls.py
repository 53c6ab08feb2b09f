"""`modules.postprocessing`: Extras as extensions call it, on their own thread and with their own pictures."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from modules.compat.host import host
from modules.compat.panels import plaintext_to_html
from modules.compat.pictures import read_info_from_image, save_image
from modules.compat.postprocessing import PostprocessedImage
from modules.domain.errors import WebuiError
from modules.imaging.infotext import compose
from modules.imaging.open import open_image
from modules.imaging.pictures_in import pictures_in
from modules.imaging.read_info import read_picture_info
from modules.imaging.save_extras import CHUNK, SAVED_CHUNK

logger = logging.getLogger(__name__)

SINGLE, SEVERAL, FOLDER = range(3)
Found = tuple[Image.Image, str | None]
"""A picture, and the name that its results get; None numbers them."""


def run_postprocessing(
    extras_mode: int, image: Any, image_folder: Any, input_dir: str, output_dir: str, show_extras_results: bool,
    *args: Any, save_output: bool = True,
) -> tuple[list[Image.Image], str, str]:  # fmt: skip
    """Pass pictures through all steps.

    Args:
        extras_mode: 0 for `image`, 1 for `image_folder`, 2 for the pictures in `input_dir`.
        image: a picture.
        image_folder: pictures, or uploaded files.
        input_dir: a folder.
        output_dir: of the results of a folder; empty for the one of the settings.
        show_extras_results: whether the results of a folder are returned.
        *args: values of all steps, as `create_args_for_run` returns them.
        save_output: whether results are written.

    Returns:
        The results, what was done as markup, and nothing.
    """
    paths = host().settings.snapshot().paths
    folder = output_dir if extras_mode == FOLDER and output_dir else paths.outdir_samples or paths.outdir_extras_samples
    made: list[Image.Image] = []
    told = ""
    for picture, name in _sources(extras_mode, image, image_folder, input_dir):
        parameters, texts = read_info_from_image(picture)
        first = PostprocessedImage(picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGB"))
        host().scripts.postproc.run(first, args)
        used: dict[str, int] = {}
        for one in (first, *first.extra_images):
            told = compose("", "", one.info)
            one.image.info = {**texts, **({"parameters": parameters} if parameters else {}), CHUNK: told}
            if save_output:
                _save(one, folder, name, one.get_suffix(used), parameters, told)
            made.append(one.image)
    shown = made if extras_mode != FOLDER or show_extras_results else []
    return shown, plaintext_to_html(told), ""


def run_extras(
    extras_mode: int, resize_mode: int, image: Any, image_folder: Any, input_dir: str, output_dir: str,
    show_extras_results: bool, gfpgan_visibility: float, codeformer_visibility: float, codeformer_weight: float,
    upscaling_resize: float, upscaling_resize_w: int, upscaling_resize_h: int, upscaling_crop: bool,
    extras_upscaler_1: str, extras_upscaler_2: str, extras_upscaler_2_visibility: float, upscale_first: bool,
    save_output: bool = True, max_side_length: int = 0,
) -> tuple[list[Image.Image], str, str]:  # fmt: skip
    """Enlarge pictures; see `run_postprocessing`. The values of face restorers go to steps of these names, if any."""
    args = host().scripts.postproc.create_args_for_run({
        "Upscale": {
            "upscale_enabled": True, "upscale_mode": resize_mode, "upscale_by": upscaling_resize,
            "max_side_length": max_side_length, "upscale_to_width": upscaling_resize_w,
            "upscale_to_height": upscaling_resize_h, "upscale_crop": upscaling_crop,
            "upscaler_1_name": extras_upscaler_1, "upscaler_2_name": extras_upscaler_2,
            "upscaler_2_visibility": extras_upscaler_2_visibility,
        },
        "GFPGAN": {"enable": gfpgan_visibility > 0, "gfpgan_visibility": gfpgan_visibility},
        "CodeFormer": {
            "enable": codeformer_visibility > 0, "codeformer_visibility": codeformer_visibility,
            "codeformer_weight": codeformer_weight,
        },
    })  # fmt: skip
    return run_postprocessing(
        extras_mode, image, image_folder, input_dir, output_dir, show_extras_results, *args, save_output=save_output
    )


def _sources(mode: int, image: Any, several: Any, folder: str) -> Iterator[Found]:
    """Yield pictures and their names; files that are none are left out.

    Raises:
        ValueError: there is no picture, or no folder.
    """
    if mode == FOLDER:
        if not folder or not os.path.isdir(folder):
            raise ValueError("there is no such folder of pictures")
        yield from (found for path in pictures_in(Path(folder)) if (found := _opened(path)) is not None)
    elif mode == SEVERAL:
        for one in several or ():
            found = (one, "") if isinstance(one, Image.Image) else _opened(Path(getattr(one, "name", one)))
            if found is not None:
                yield found[0], found[1] or None
    elif image is None:
        raise ValueError("there is no picture")
    else:
        yield image, None


def _opened(path: Path) -> Found | None:
    try:
        data = path.read_bytes()
        image, found = open_image(data), read_picture_info(data)
    except (OSError, WebuiError) as error:
        logger.warning("%s is left out: %s", path.name, error)
        return None
    image.info = {**found.items, **({"parameters": found.infotext} if found.infotext else {})}
    return image, path.stem


def _save(
    pp: PostprocessedImage, folder: str, name: str | None, suffix: str, parameters: str | None, told: str
) -> None:
    settings = host().settings.snapshot()
    named = name is not None and settings.saving.use_original_name_batch
    pp.image.info[SAVED_CHUNK] = told
    saved, _ = save_image(
        pp.image, folder, "", extension=settings.saving.samples_format, info=parameters, short_filename=True,
        no_prompt=True, forced_filename=f"{name}{suffix}" if named else None, suffix=suffix, save_to_dirs=False,
    )  # fmt: skip
    if saved and pp.caption:
        from modules.files import atomic

        atomic.write(Path(saved).with_suffix(".txt"), pp.caption)
