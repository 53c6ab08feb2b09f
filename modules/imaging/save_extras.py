"""Files of what Extras made: named after the pictures they were made of, or numbered, with captions beside them."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from modules.files import atomic
from modules.files.numbering import Numbering
from modules.files.paths import safe_name
from modules.imaging.encode import Encoded, encode
from modules.imaging.folders import OutputFolders
from modules.imaging.save import free_path, write_reduced
from modules.settings.snapshot import Snapshot

CHUNK, SAVED_CHUNK = "postprocessing", "extras"
"""Under which a PNG tells what was done to it; the second one only in files that were saved."""
IGNORE, KEEP, PREPEND, APPEND = "Ignore", "Keep", "Prepend", "Append"
"""What happens with a caption that is there already."""
_MAX_NAME_BYTES = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What the file of a result says."""

    told: str = ""
    """What was done, as a parameters line."""
    parameters: str | None = None
    """Parameters text of the picture that it was made of."""
    others: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further texts of that picture."""


def encode_result(image: Image.Image, texts: Texts, settings: Snapshot, *, saved: bool) -> Encoded:
    """Encode a result in the format of the settings; where files keep a single text, that is the parameters text."""
    saving, written = settings.saving, settings.infotext.enable_pnginfo
    chunks = {CHUNK: texts.told} if texts.told else {}
    chunks |= {SAVED_CHUNK: texts.told} if texts.told and saved else {}
    plain = image.copy()
    plain.info = {**texts.others, **chunks} if written else {}
    kept = texts.parameters
    if saving.samples_format != "png":
        kept = kept or texts.told or None
    return encode(
        plain, saving.samples_format, kept if written else None, quality=saving.jpeg_quality,
        lossless=saving.webp_lossless,
    )  # fmt: skip


class ExtrasFiles:
    """Writes results. Thread-safe.

    Args:
        folders: where pictures may lie.
        numbering: of files that have no name.
    """

    def __init__(self, folders: OutputFolders, numbering: Numbering | None = None) -> None:
        self._folders = folders
        self._numbering = numbering or Numbering()
        self._names = threading.Lock()

    def folder(self, configured: str) -> Path:
        """Return a folder that a request or a setting names.

        Raises:
            PathRefused: it is outside the data folder and not allowed, or holds code.
        """
        return self._folders.resolve(configured)

    def write(self, encoded: Encoded, folder: Path, name: str, suffix: str, settings: Snapshot) -> Path:
        """Write a result.

        Args:
            encoded: the file.
            folder: made when it is not there.
            name: without extension; empty numbers it.
            suffix: ends the name.
            settings: whether a file of that name is replaced.

        Raises:
            StorageFault: the disk refuses.
        """
        atomic.make_folder(folder)
        if not name:
            return self._numbered(encoded, folder, suffix)
        stem = safe_name(f"{name}{suffix}", _MAX_NAME_BYTES)
        with self._names:
            path = folder / f"{stem}.{encoded.format}"
            if settings.saving.save_images_replace_action != "Replace":
                path = free_path(folder, stem, encoded.format)
            atomic.write(path, encoded.data)
        return path

    def _numbered(self, encoded: Encoded, folder: Path, suffix: str) -> Path:
        with self._numbering.reserve(folder) as reserved:
            try:
                reserved.temp.write_bytes(encoded.data)
            except OSError as error:
                raise atomic.storage_fault(folder / reserved.text, error) from error
            return reserved.publish(f"{safe_name(reserved.text + suffix, _MAX_NAME_BYTES)}.{encoded.format}")

    def beside(self, path: Path, image: Image.Image, told: str, caption: str, encoded: Encoded, settings: Snapshot) -> None:  # fmt: skip
        """Write what belongs beside a result: its caption, else its text if the settings want that; a reduced copy.

        Raises:
            StorageFault: the disk refuses.
        """
        stem = path.name.removesuffix(f".{encoded.format}")
        text = path.with_name(f"{stem}.txt")
        if caption:
            action = settings.postprocessing.postprocessing_existing_caption_action
            if words := joined(_existing(text), caption, action):
                atomic.write(text, words)
        elif settings.infotext.save_txt and told:
            atomic.write(text, told + "\n")
        write_reduced(image, told, settings, encoded, path.with_name(f"{stem}.jpg"))


def joined(existing: str, caption: str, action: str) -> str:
    """Return the caption that is written where one may be there already.

    Args:
        existing: the one that is there; empty when none is.
        caption: the new one.
        action: `KEEP` the existing one, `PREPEND` or `APPEND` it to the new one, or `IGNORE` it.
    """
    existing, caption = existing.strip(), caption.strip()
    if not existing or action == IGNORE:
        return caption
    words = {KEEP: existing, PREPEND: f"{existing} {caption}", APPEND: f"{caption} {existing}"}
    return words[action]


def _existing(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise atomic.storage_fault(path, error) from error
