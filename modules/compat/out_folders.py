"""`p.outpath_samples` and `p.outpath_grids`: where pictures of a job go, as extensions see and change it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from modules.compat.host import host
from modules.compat.job_object import StableDiffusionProcessing, StableDiffusionProcessingImg2Img
from modules.settings.snapshot import Snapshot


def show_folders(p: StableDiffusionProcessing, settings: Snapshot) -> None:
    """Tell a job of the queue where its pictures go."""
    samples, grids = _usual(p, settings)
    p.outpath_samples, p.outpath_grids = str(samples), str(grids)


def chosen_folders(p: StableDiffusionProcessing, settings: Snapshot) -> dict[str, Any]:
    """Return settings for the folders that extensions chose; those where nobody may write are left out."""
    usual, found = _usual(p, settings), dict[str, Any]()
    for key, given, known in zip(("outdir_samples", "outdir_grids"), (p.outpath_samples, p.outpath_grids), usual, strict=True):  # fmt: skip
        path = _absolute(given) if given else known
        if path != known and any(path.is_relative_to(one) for one in _writable()):
            found[key] = str(path)
    return found


def _usual(p: StableDiffusionProcessing, settings: Snapshot) -> tuple[Path, Path]:
    """Return the folders of pictures and grids that the settings say."""
    paths, on_image = settings.paths, isinstance(p, StableDiffusionProcessingImg2Img)
    samples = paths.outdir_samples or (paths.outdir_img2img_samples if on_image else paths.outdir_txt2img_samples)
    grids = paths.outdir_grids or (paths.outdir_img2img_grids if on_image else paths.outdir_txt2img_grids)
    return _absolute(samples), _absolute(grids)


def _absolute(folder: str) -> Path:
    return (host().layout.data / folder).resolve()


def _writable() -> Iterable[Path]:
    return (host().layout.data, *(Path(one).resolve() for one in getattr(host().flags, "gradio_allowed_path", None) or ()))  # fmt: skip
