"""What the pipeline is given to work with; built once by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modules.imaging.save import Output
from modules.library.catalog import Catalog
from modules.prompting.styles import Style
from modules.residency.pool import Pool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workshop:
    """Everything a job needs besides its request."""

    catalog: Catalog
    pool: Pool
    output: Output
    styles: Callable[[], tuple[Style, ...]]
    """The styles on disk now."""
    wildcards: Path
    """Folder of wildcard files."""
    last_prompt: Path | None
    """params.txt: infotext of the last run, or None when the history is off."""
    version: str
    """Written to infotext as Version."""
    check_nan: bool = True
