"""Which folder a result goes to, and that it is one where results may lie."""

from dataclasses import dataclass
from pathlib import Path

from modules.domain.errors import PathRefused
from modules.files.paths import safe_name


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFolders:
    """Where pictures may be written. Settings and patterns choose inside these bounds and never leave them."""

    data: Path
    """Folder that relative settings are relative to."""
    allowed: tuple[Path, ...] = ()
    """Further folders, from the command line."""
    forbidden: tuple[Path, ...] = ()
    """Folders from which code is loaded."""

    def resolve(self, configured: str, sub_folders: str = "") -> Path:
        """Return the folder a setting names, with sub-folders from a pattern.

        Args:
            configured: absolute or relative to the data folder.
            sub_folders: the pattern with its tokens replaced; `/` separates levels, and any part is made harmless.

        Raises:
            PathRefused: the folder is outside the data folder and not allowed, or holds code.
        """
        root = (self.data / configured).resolve()
        folder = root.joinpath(*_parts(sub_folders)).resolve()
        inside = any(folder.is_relative_to(place.resolve()) for place in (self.data, *self.allowed))
        if not inside or not folder.is_relative_to(root):
            raise PathRefused(
                f"the output folder {folder} is outside the data folder; allow it with --gradio-allowed-path"
            )
        if any(folder.is_relative_to(place.resolve()) for place in self.forbidden):
            raise PathRefused(f"the output folder {folder} holds code of the program; choose another one")
        return folder


def _parts(text: str) -> list[str]:
    return [safe_name(part) for part in text.replace("\\", "/").split("/") if part.strip(" .")]
