"""What the pipeline is given to work with; built once by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.adapters.store import NetworkFiles
from modules.adapters.textual_inversion.folder import EmbeddingFolder
from modules.domain.request import Generation
from modules.domain.result import Outcome
from modules.hooks.context import JobContext
from modules.imaging.save import Output
from modules.nn.attention.backend import Backend
from modules.pipeline.plan import Shelf
from modules.residency.approximations import Approximations
from modules.residency.pool import Pool
from modules.settings.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workshop:
    """Everything a job needs besides its request."""

    shelf: Callable[[], Shelf]
    """Returns the named things on disk as they are now."""
    pool: Pool
    approximations: Approximations
    attention: Callable[[Snapshot], Backend]
    """Returns the attention implementation that the settings ask for."""
    output: Output
    version: str
    """Written to infotext as Version."""
    last_prompt: Path | None = None
    """params.txt, which keeps the infotext of the last run; None when no history is wanted."""
    networks: NetworkFiles = field(default_factory=lambda: NetworkFiles(EmbeddingFolder([])))
    """Reads LoRAs, hypernetworks and embeddings."""
    check_nan: bool = True
    scripts: Callable[[str], "Runner | None"] = lambda _name: None
    """Finds a script of an extension that makes several runs, by its title."""
    surround: "Callable[[], Surround | None]" = lambda: None
    """Returns what carries out plain runs in place of the pipeline alone, where extensions want to be around them."""
    around_folder: "Callable[[], AroundFolder | None]" = lambda: None
    """Returns the same for runs over the pictures of a folder."""


Runner = Callable[[Generation, JobContext, Any], Outcome]
"""Carries out a request in its own way, on a `Bench`."""
Surround = Callable[[Generation, JobContext], Outcome]
"""Carries out a plain run, with something around it."""
AroundFolder = Callable[[Generation, JobContext, Callable[[Generation], Outcome]], Outcome]
"""Carries out a run over a folder, with something around it."""
