"""Encode finished pictures and write them to disk, beside the work on the next ones."""

import hashlib
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from PIL import Image

from modules.domain.errors import PathRefused, StorageFault
from modules.domain.plan import ImagePlan, Plan
from modules.domain.result import Produced
from modules.files import atomic
from modules.files.numbering import Numbering
from modules.files.paths import safe_name
from modules.imaging.encode import Encoded, encode
from modules.imaging.folders import OutputFolders
from modules.imaging.naming import NameFacts, apply_pattern
from modules.settings.snapshot import Snapshot

logger = logging.getLogger(__name__)

_MAX_NAME_BYTES = 240
"""Leaves room for an extension and a temporary suffix in the 255 bytes of common file systems."""
_MAX_SUFFIX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One picture to encode and perhaps to save."""

    image: Image.Image
    infotext: str
    plan: Plan
    about: ImagePlan
    settings: Snapshot
    grid: str
    """Begins the name of an overview of several pictures; empty for a picture."""
    now: datetime
    suffix: str = ""
    """Ends the name of the file."""


class Output:
    """Writes pictures in the order they are submitted.

    Args:
        folders: where pictures may lie.
        numbering: shared with whoever else writes to the same folders.
    """

    def __init__(self, folders: OutputFolders, numbering: Numbering | None = None) -> None:
        self._folders = folders
        self._numbering = numbering or Numbering()
        self._names = threading.Lock()
        # One worker, so that numbers follow the order of the pictures.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="output")

    def submit(
        self,
        image: Image.Image,
        infotext: str,
        plan: Plan,
        image_plan: ImagePlan,
        settings: Snapshot,
        *,
        save: bool,
        suffix: str = "",
    ) -> Future[Produced]:
        """Encode a picture, and write it if asked to.

        The future gives the picture even when writing fails; the reason is then in its `save_error`.

        Args:
            image: the finished picture.
            infotext: its parameters text.
            plan: the run it belongs to; names come from it.
            image_plan: the picture in that run.
            settings: of the job.
            save: whether to write a file.
            suffix: ends the name of the file, such as -mask.
        """
        task = _Task(
            image=image,
            infotext=infotext,
            plan=plan,
            about=image_plan,
            settings=settings,
            grid="",
            now=datetime.now(),
            suffix=suffix,
        )
        return self._worker.submit(self._produce, task, save)

    def submit_grid(
        self, image: Image.Image, infotext: str, plan: Plan, settings: Snapshot, *, save: bool, name: str = "grid"
    ) -> Future[Produced]:
        """Encode an overview picture, and write it if asked to, under a name that begins with `name`; see `submit`."""
        task = _Task(
            image=image,
            infotext=infotext,
            plan=plan,
            about=plan.images[0],
            settings=settings,
            grid=name,
            now=datetime.now(),
        )
        return self._worker.submit(self._produce, task, save)

    def keep(self, image: Image.Image, name: str, settings: Snapshot) -> Future[Path]:
        """Write a picture that a run started from, unless it was kept before.

        The future raises `StorageFault` or `PathRefused` when that fails.

        Args:
            image: RGB or RGBA.
            name: of the file, without extension.
            settings: of the job.
        """
        return self._worker.submit(self._keep, image, name, settings)

    def _keep(self, image: Image.Image, name: str, settings: Snapshot) -> Path:
        folder = self._folders.resolve(settings.paths.outdir_init_images or "outputs/init-images")
        saving = settings.saving
        encoded = encode(image, saving.samples_format, None, quality=saving.jpeg_quality, lossless=saving.webp_lossless)
        path = folder / f"{safe_name(name)}.{encoded.format}"
        if not path.exists():
            atomic.make_folder(folder)
            atomic.write(path, encoded.data)
        return path

    def folder(self, configured: str) -> Path:
        """Return a folder that a request names, when it is one where pictures may lie.

        Raises:
            PathRefused: it is outside the data folder and not allowed, or holds code.
        """
        return self._folders.resolve(configured)

    def close(self) -> None:
        """Finish what was submitted and stop."""
        self._worker.shutdown(wait=True)

    def _produce(self, task: _Task, save: bool) -> Produced:
        encoded = _encode(task)
        made = Produced(
            data=encoded.data,
            format=encoded.format,
            infotext=task.infotext,
            width=task.image.width,
            height=task.image.height,
            plan=None if task.grid else task.about,
        )
        if not save:
            return made
        try:
            return replace(made, saved_as=self._write(task, encoded))
        except (StorageFault, PathRefused) as error:
            logger.error("a picture was not saved: %s", error)
            return replace(made, save_error=str(error))

    def _write(self, task: _Task, encoded: Encoded) -> Path:
        """Write the picture, its text file and its smaller copy; return the picture's path."""
        facts = _facts(task)
        folder = self._folders.resolve(_configured(task), _sub_folders(task, facts))
        atomic.make_folder(folder)
        decoration = _decoration(task, facts)
        if task.settings.saving.save_images_add_number or not decoration or task.grid:
            path = self._numbered(folder, task.grid, decoration + task.suffix, encoded)
        else:
            path = self._unnumbered(
                folder, decoration + task.suffix, encoded, task.settings.saving.save_images_replace_action
            )
        stem = path.name.removesuffix(f".{encoded.format}")
        if task.settings.infotext.save_txt and task.infotext:
            atomic.write(folder / f"{stem}.txt", task.infotext + "\n")
        write_reduced(task.image, task.infotext, task.settings, encoded, folder / f"{stem}.jpg")
        return path

    def _numbered(self, folder: Path, base: str, decoration: str, encoded: Encoded) -> Path:
        with self._numbering.reserve(folder, base) as reserved:
            joint = "" if not decoration or decoration.startswith("-") else "-"
            name = f"{reserved.text}{joint}{decoration}"
            try:
                reserved.temp.write_bytes(encoded.data)
            except OSError as error:
                raise atomic.storage_fault(folder / name, error) from error
            return reserved.publish(f"{safe_name(name, _MAX_NAME_BYTES)}.{encoded.format}")

    def _unnumbered(self, folder: Path, decoration: str, encoded: Encoded, action: str) -> Path:
        stem = safe_name(decoration, _MAX_NAME_BYTES)
        with self._names:
            path = folder / f"{stem}.{encoded.format}"
            if action != "Replace":
                path = free_path(folder, stem, encoded.format)
            atomic.write(path, encoded.data)
        return path


def _encode(task: _Task) -> Encoded:
    saving = task.settings.saving
    return encode(
        task.image,
        saving.grid_format if task.grid else saving.samples_format,
        task.infotext if task.settings.infotext.enable_pnginfo else None,
        quality=saving.jpeg_quality,
        lossless=saving.webp_lossless,
    )


def _facts(task: _Task) -> NameFacts:
    return NameFacts(
        plan=task.plan,
        image=task.about,
        width=task.image.width,
        height=task.image.height,
        pixels_sha256=lambda: hashlib.sha256(task.image.tobytes()).hexdigest(),
        max_words=task.settings.saving.directories_max_prompt_words,
        basename=task.grid,
        now=task.now,
    )


def _configured(task: _Task) -> str:
    paths, on_image = task.settings.paths, task.plan.request.init is not None
    if task.grid:
        return paths.outdir_grids or (paths.outdir_img2img_grids if on_image else paths.outdir_txt2img_grids)
    return paths.outdir_samples or (paths.outdir_img2img_samples if on_image else paths.outdir_txt2img_samples)


def _uses_sub_folders(task: _Task) -> bool:
    return task.settings.saving.grid_save_to_dirs if task.grid else task.settings.saving.save_to_dirs


def _sub_folders(task: _Task, facts: NameFacts) -> str:
    if not _uses_sub_folders(task):
        return ""
    return apply_pattern(task.settings.saving.directories_filename_pattern or "[prompt_words]", facts)


def _decoration(task: _Task, facts: NameFacts) -> str:
    saving = task.settings.saving
    if task.grid and not saving.grid_extended_filename:
        return ""
    default = "[seed]" if _uses_sub_folders(task) else "[seed]-[prompt_spaces]"
    return apply_pattern(saving.samples_filename_pattern or default, facts)


def free_path(folder: Path, stem: str, extension: str) -> Path:
    """Claim the first of `stem`, `stem-1`, `stem-2` ... that is free, with an empty file."""
    for number in range(_MAX_SUFFIX):
        path = folder / (f"{stem}-{number}.{extension}" if number else f"{stem}.{extension}")
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        except OSError as error:
            raise atomic.storage_fault(path, error) from error
        return path
    raise StorageFault(f"{folder / stem}.{extension} could not be written: {_MAX_SUFFIX} files of that name exist")


def write_reduced(image: Image.Image, infotext: str, settings: Snapshot, encoded: Encoded, path: Path) -> None:
    """Write the smaller JPEG that some sites ask for, when the picture's file or side is over the limits."""
    saving, (width, height) = settings.saving, image.size
    longest = max(width, height)
    oversize = longest > saving.target_side_length
    heavy = len(encoded.data) > saving.img_downscale_threshold * 2**20
    if not saving.export_for_4chan or encoded.format == "jpg" or not (oversize or heavy):
        return
    if oversize:
        scale = saving.target_side_length / longest
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        image = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    told = infotext if settings.infotext.enable_pnginfo else None
    atomic.write(path, encode(image, "jpg", told, quality=saving.jpeg_quality).data)
