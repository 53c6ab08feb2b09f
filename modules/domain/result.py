"""What came out of a job."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from modules.domain.plan import ImagePlan, Note, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """One finished picture. The encoded bytes are made once and shared by file, API answer and gallery."""

    data: bytes
    """The encoded file, infotext included."""
    format: str
    """File extension without dot: png, jpg, webp, avif."""
    infotext: str
    width: int
    height: int
    plan: ImagePlan | None
    """None for a grid, and for what Extras made."""
    extra: bool = False
    """A mask or a cut-out that goes with the picture before it."""
    saved_as: Path | None = None
    save_error: str | None = None
    """Why the picture is not on disk although it should be, in words for a person."""
    source: str | None = None
    """Name of the picture that Extras made it of, which may be empty; None when it was generated."""

    @property
    def is_grid(self) -> bool:
        """Whether it is an overview of other pictures."""
        return self.plan is None and self.source is None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """What became of one picture of a folder."""

    name: str
    """Of the file."""
    state: str
    """made, kept (it had its results already), no mask, skipped, or failed."""
    saved_as: tuple[Path, ...] = ()
    reason: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything a finished, interrupted or partly finished generation gives back."""

    plan: Plan
    images: tuple[Produced, ...]
    grid: Produced | None = None
    interrupted: bool = False
    timings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Seconds by stage: load, encode, sample, decode, save."""
    notes: tuple[Note, ...] = ()
    save_error: str | None = None
    seed: int | None = None
    """Makes the first picture again, when that is not the seed in the plan."""
    files: tuple[FileReport, ...] = ()
    """Of a run over a folder."""
    texts: tuple[str, ...] = ()
    """Infotexts of pictures that are part of the result without being shown alone, as in a grid."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unfinished:
    """A run that needs its model no more; its last pictures are being encoded and saved."""

    finish: Callable[[], Outcome]
    """Waits for them and says what came of the run; called once, on any thread."""
