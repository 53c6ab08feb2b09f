"""What is put beside a checkpoint, and how its weights are to be read."""

from collections.abc import Callable, Mapping
from pathlib import Path, PurePath

from modules.domain.errors import InvalidRequest, UnknownName
from modules.families.facts import STATED_PREDICTIONS
from modules.library.sidecars import user_metadata

AUTOMATIC = "Automatic"
MAX_MODULES = 16


def chosen_modules(names: tuple[str, ...], known: Mapping[str, Path]) -> tuple[Path, ...]:
    """Find files of VAEs and text encoders.

    Args:
        names: file names, with or without their ending, or paths of which the file name counts.
        known: the files there are, by name.

    Raises:
        UnknownName: there is no such file.
        InvalidRequest: far too many.
    """
    if len(names) > MAX_MODULES:
        raise InvalidRequest(f"at most {MAX_MODULES} files", field="forge_additional_modules")
    return tuple(_module(PurePath(name.replace("\\", "/")).name, known) for name in names if name)


def _module(name: str, known: Mapping[str, Path]) -> Path:
    path = known.get(name) or next((path for path in known.values() if path.stem == name), None)
    if path is None:
        raise UnknownName("VAE or text encoder", name, known, field="forge_additional_modules")
    return path


def stated_prediction(checkpoint: Path, setting: str) -> str | None:
    """Return what somebody said that a checkpoint predicts: the setting, else the note beside it, else None."""
    if setting != AUTOMATIC:
        return setting
    noted = user_metadata(checkpoint).get("prediction_type")
    return noted if noted in STATED_PREDICTIONS else None


def wants_fp8(setting: str, is_sdxl: Callable[[], bool]) -> str:
    """Return the setting `fp8_storage` where it applies to a model, else nothing."""
    applies = setting == "Enable" or (setting == "Enable for SDXL" and is_sdxl())
    return setting if applies else ""
