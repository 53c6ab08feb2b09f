"""The Save and Zip buttons: copies of finished pictures in a folder of their own, with a list of what was saved."""

import csv
import io
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

from modules.domain.errors import StorageFault
from modules.domain.plan import ImagePlan, Plan
from modules.domain.result import Produced
from modules.files.atomic import make_folder, storage_fault, write
from modules.files.numbering import Numbering
from modules.files.paths import safe_name
from modules.imaging.folders import OutputFolders
from modules.imaging.naming import NameFacts, apply_pattern
from modules.imaging.open import open_image
from modules.settings.snapshot import Snapshot

LOG = "log.csv"
COLUMNS = (
    "prompt", "seed", "width", "height", "sampler", "cfgs", "steps", "filename", "negative_prompt", "sd_model_name",
    "sd_model_hash",
)  # fmt: skip
MAX_LOG_BYTES = 256 * 2**20
MAX_NAME_BYTES = 240
ZIP_NAME = "[datetime]_[[model_name]]_[seed]-[seed_last]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What was written."""

    folder: Path
    files: tuple[Path, ...]
    archive: Path | None = None


class Keeper:
    """Writes pictures that somebody wants to keep; thread-safe.

    Args:
        folders: where pictures may lie.
    """

    def __init__(self, folders: OutputFolders) -> None:
        self.folders = folders
        self._numbering, self._log = Numbering(), threading.Lock()

    def save(self, plan: Plan | None, pictures: Sequence[Produced], settings: Snapshot, *, packed: bool) -> Saved:
        """Write pictures of one run, a line of the list, and an archive of them when asked for one.

        Pictures that Extras made have no plan; they keep the names of those that they were made of.

        Raises:
            StorageFault: the disk refuses, or the list belongs to something else.
            PathRefused: the folder is outside the data folder and not allowed.
        """
        now = datetime.now()
        files = tuple(self._write(plan, picture, settings, now) for picture in pictures)
        root = make_folder(self.folders.resolve(settings.paths.outdir_save))
        if settings.saving.save_write_log_csv:
            with self._log:
                add_line(root / LOG, row_of(plan, pictures[0], files[0].relative_to(root)))
        archive = None
        if packed:
            archive = root / archive_name(plan, pictures[0], settings, now)
            write(archive, archive_of([(file.name, one.data) for file, one in zip(files, pictures, strict=True)]))
        return Saved(folder=root, files=files, archive=archive)

    def _write(self, plan: Plan | None, picture: Produced, settings: Snapshot, now: datetime) -> Path:
        if plan is None:
            folder = make_folder(self.folders.resolve(settings.paths.outdir_save))
            return self._numbered(folder, picture, picture.source or "extras")
        saving, facts = settings.saving, facts_of(plan, picture, settings, now)
        sorted_in = saving.use_save_to_dirs_for_ui
        below = apply_pattern(saving.directories_filename_pattern or "[prompt_words]", facts) if sorted_in else ""
        folder = make_folder(self.folders.resolve(settings.paths.outdir_save, below))
        default = "[seed]" if sorted_in else "[seed]-[prompt_spaces]"
        decoration = apply_pattern(saving.samples_filename_pattern or default, facts)
        return self._numbered(folder, picture, decoration)

    def _numbered(self, folder: Path, picture: Produced, decoration: str) -> Path:
        with self._numbering.reserve(folder, "grid" if picture.is_grid else "") as reserved:
            try:
                reserved.temp.write_bytes(picture.data)
            except OSError as error:
                raise storage_fault(folder / reserved.text, error) from error
            name = safe_name(f"{reserved.text}-{decoration}", MAX_NAME_BYTES)
            return reserved.publish(f"{name}.{picture.format}")


def facts_of(plan: Plan, picture: Produced, settings: Snapshot, now: datetime) -> NameFacts:
    """Return what the tokens of a file name stand for."""
    return NameFacts(
        plan=plan, image=_image_of(plan, picture), width=picture.width, height=picture.height, now=now,
        pixels_sha256=partial(_pixels, picture.data), max_words=settings.saving.directories_max_prompt_words,
        basename="grid" if picture.plan is None else "",
    )  # fmt: skip


def _image_of(plan: Plan, picture: Produced) -> ImagePlan:
    return picture.plan or plan.images[0]


def _pixels(data: bytes) -> str:
    return sha256(open_image(data).tobytes()).hexdigest()


def archive_name(plan: Plan | None, first: Produced, settings: Snapshot, now: datetime) -> str:
    """Name the archive of some pictures."""
    if plan is None:
        return f"{now:%Y%m%d%H%M%S}_extras.zip"
    pattern = settings.saving.grid_zip_filename_pattern or ZIP_NAME
    return safe_name(apply_pattern(pattern, facts_of(plan, first, settings, now)), MAX_NAME_BYTES) + ".zip"


def archive_of(files: Sequence[tuple[str, bytes]]) -> bytes:
    """Pack files; pictures do not become smaller, so they are only stored."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as packed:
        for name, data in files:
            packed.writestr(name, data)
    return out.getvalue()


def row_of(plan: Plan | None, picture: Produced, file: Path) -> list[str]:
    """Return the line of the list that tells how a picture was made."""
    if plan is None:
        made = {
            "prompt": picture.infotext,
            "width": picture.width,
            "height": picture.height,
            "filename": file.as_posix(),
        }
        return [str(made.get(column, "")) for column in COLUMNS]
    image = _image_of(plan, picture)
    values = (
        image.prompt, image.seed, picture.width, picture.height, plan.main.sampler, plan.guidance.cfg_scale,
        plan.main.steps, file.as_posix(), image.negative_prompt, plan.model.name, plan.model.short_hash or "",
    )  # fmt: skip
    return [str(value) for value in values]


def add_line(path: Path, row: Sequence[str]) -> None:
    """Add a line to the list; older lists with fewer columns are widened first.

    Raises:
        StorageFault: the file cannot be written, or is not such a list.
    """
    header, columns = _header(path), list(COLUMNS)
    if header is not None and header[: len(columns)] != columns:
        if header != columns[: len(header)]:
            raise StorageFault(f"{path} is not a list of saved pictures; move it away")
        _widen(path)
    text = io.StringIO()
    writer = csv.writer(text)
    if header is None:
        writer.writerow(COLUMNS)
    writer.writerow(row)
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
    except OSError as error:
        raise storage_fault(path, error) from error


def _header(path: Path) -> list[str] | None:
    try:
        if not path.is_file() or path.stat().st_size == 0:
            return None
        with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
            return next(csv.reader(file), [])
    except (OSError, csv.Error) as error:
        raise StorageFault(f"{path} cannot be read: {error}") from error


def _widen(path: Path) -> None:
    if path.stat().st_size > MAX_LOG_BYTES:
        raise StorageFault(f"{path} is too large to be brought up to date; move it away")
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
        rows = list(csv.reader(file))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows([*row, *[""] * (len(COLUMNS) - len(row))] for row in rows[1:])
    write(path, text.getvalue().encode())
