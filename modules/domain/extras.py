"""What somebody asked the Extras tab for: steps over finished pictures; and what they gave back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modules.domain.errors import InvalidRequest, LimitExceeded
from modules.domain.limits import Limits
from modules.domain.request import ImageRef
from modules.domain.result import FileReport, Produced

KIND = "extras"
"""What such jobs are called."""
MAX_NAME_CHARS = 1000
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPicture:
    """A picture that a request brings along."""

    image: ImageRef
    name: str = ""
    """Its results are named after this, if the settings want that; empty numbers them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtrasRequest:
    """Pictures, or a folder of them, and what is done to each."""

    pictures: tuple[NamedPicture, ...] = ()
    folder: str = ""
    """Every picture in it is worked on; empty when the request brings its own."""
    output: str = ""
    """Folder of the results; empty means the one of the settings."""
    steps: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    """Id of a step -> values of its parameters by name. The settings say in which order they run."""
    save: bool = True
    show: bool = True
    """Whether results are kept in memory, for galleries and answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtrasOutcome:
    """What an Extras job left."""

    images: tuple[Produced, ...] = ()
    interrupted: bool = False
    files: tuple[FileReport, ...] = ()
    """What became of each picture."""
    save_error: str | None = None
    told: str = ""
    """What was done to the last picture, as a parameters line."""

    @property
    def saved(self) -> list[Path]:
        """The files of the results."""
        return [path for report in self.files for path in report.saved_as]


def check_extras(request: ExtrasRequest, limits: Limits) -> None:
    """Refuse a request that has nothing to work on, or too much.

    Raises:
        InvalidRequest: there is no picture and no folder, or both.
        LimitExceeded: too many pictures, or a name that is too long.
    """
    if not request.pictures and not request.folder:
        raise InvalidRequest("there is no picture yet; drop one on the field, or name a folder", field="image")
    if request.pictures and request.folder:
        raise InvalidRequest("give pictures or a folder, not both", field="folder")
    if len(request.pictures) > limits.max_images:
        raise LimitExceeded("pictures", len(request.pictures), limits.max_images, "api_max_images_per_request")
    for one in request.pictures:
        if len(one.name) > MAX_NAME_CHARS:
            raise LimitExceeded("name", f"{len(one.name)} characters", MAX_NAME_CHARS)
