"""`modules.img2img.process_batch`: one run after the other over the pictures of a folder."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from modules.compat.host import facade, own_job
from modules.compat.listing import listfiles
from modules.compat.state import state_now
from modules.domain.errors import WebuiError

logger = logging.getLogger(__name__)

TAKEN = {
    "Prompt": "prompt", "Negative prompt": "negative_prompt", "Seed": "seed", "CFG scale": "cfg_scale",
    "Sampler": "sampler_name", "Steps": "steps",
}  # fmt: skip
"""What may be taken from the text of each picture, and the attribute of `p` that it replaces."""
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".bmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSource:
    """What pictures themselves say about their runs."""

    keys: tuple[str, ...] = ()
    folder: Path | None = None
    """Where pictures of the same names say it; None for the pictures themselves."""


def process_batch(
    p: Any, input: Any, output_dir: str, inpaint_mask_dir: str, args: Any, to_scale: bool = False, scale_by: float = 1.0,
    use_png_info: bool = False, png_info_props: Any = None, png_info_dir: str | None = None,
) -> Any:  # fmt: skip
    """Run a job on every picture of a folder, or of a list of files.

    Args:
        p: changed for every picture.
        input: folder, or files.
        output_dir: where results are written under the names of the pictures; empty for the usual place.
        inpaint_mask_dir: masks of the same names, or one mask for all.
        args: values of the scripts' controls.
        to_scale: make results this many times as large as the pictures.
        scale_by: how many times.
        use_png_info: take what `png_info_props` names from the text of each picture.
        png_info_props: keys of such texts.
        png_info_dir: where pictures with these texts lie; empty for the pictures themselves.

    Returns:
        The results of all runs in one; None when there was none.
    """
    job = own_job()
    if job is not None and job.p is p and job.run_folder is not None and isinstance(input, str):
        scale = scale_by if to_scale else None
        return job.run_folder({
            "input": input, "output": output_dir, "masks": inpaint_mask_dir or "", "scale": scale,
            "use_png_info": use_png_info, "png_info_props": tuple(png_info_props or ()), "png_info": png_info_dir or "",
        })  # fmt: skip
    masks = [Path(one) for one in _pictures(inpaint_mask_dir)] if inpaint_mask_dir else []
    keys = tuple(png_info_props or ()) if use_png_info else ()
    texts = TextSource(keys=keys, folder=Path(png_info_dir) if png_info_dir else None)
    before = {name: getattr(p, name) for name in (*TAKEN.values(), "width", "height")}
    together = None
    for path in _pictures(input):
        if state_now().interrupted or state_now().stopping_generation:
            break
        vars(p).update({name: value for name, value in before.items() if name in vars(p)})
        if not _prepare(p, path, _mask_for(path, masks), texts):
            continue
        if to_scale:
            p.width, p.height = (int(side * scale_by) for side in p.init_images[0].size)
        _write_to(p, output_dir, path)
        together = _joined(together, _run(p, args))
    return together


def _run(p: Any, args: Any) -> Any:
    found = facade("scripts").scripts_img2img.run(p, *args)
    return facade("processing").process_images(p) if found is None else found


def _pictures(source: Any) -> list[Path]:
    if isinstance(source, str | Path):
        return [Path(one) for one in listfiles(str(source)) if Path(one).suffix.lower() in ENDINGS]
    files: Iterable[Any] = source or ()
    return [Path(getattr(one, "name", one)) for one in files]


def _mask_for(path: Path, masks: list[Path]) -> Path | None:
    if len(masks) == 1:
        return masks[0]
    return next((one for one in masks if one.stem == path.stem), None)


def _prepare(p: Any, path: Path, mask: Path | None, texts: TextSource) -> bool:
    """Give `p` a picture; False when it cannot be read."""
    from modules.compat.pictures import read_info_from_image
    from modules.imaging.open import open_image

    try:
        image = open_image(path.read_bytes())
        p.image_mask = open_image(mask.read_bytes()) if mask is not None else p.image_mask
        if texts.keys:
            other = open_image((texts.folder / path.name).read_bytes()) if texts.folder is not None else image
            _take(p, read_info_from_image(other)[0], texts.keys)
    except (WebuiError, OSError) as error:
        logger.warning("%s is left out: %s", path.name, error)
        return False
    p.init_images = [_upright(image)] * p.batch_size
    return True


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image)


def _take(p: Any, text: str | None, keys: tuple[str, ...]) -> None:
    """Take values from a parameters text; prompts are put behind what `p` has."""
    known = facade("infotext_utils").parse_generation_parameters(text) if text else {}
    for key in keys:
        name, value = TAKEN.get(key), known.get(key)
        if name is None or value is None:
            continue
        now = getattr(p, name)
        if isinstance(now, str) and "prompt" in name:
            setattr(p, name, " ".join(part for part in (now, str(value)) if part))
        else:
            setattr(p, name, type(now)(float(value)) if isinstance(now, int | float) else value)


def _write_to(p: Any, output_dir: str, path: Path) -> None:
    if output_dir:
        several = p.n_iter * p.batch_size > 1
        name = f"{path.stem}-[generation_number]" if several else path.stem
        p.outpath_samples = output_dir
        p.override_settings = {
            **p.override_settings, "outdir_samples": output_dir, "save_to_dirs": False,
            "samples_filename_pattern": name, "save_images_add_number": False,
        }  # fmt: skip


def _joined(first: Any, second: Any) -> Any:
    """Return results together, those of the first run leading."""
    if first is None:
        return second
    for name in ("images", "infotexts", "all_prompts", "all_negative_prompts", "all_seeds", "all_subseeds"):
        getattr(first, name).extend(getattr(second, name))
    return first
