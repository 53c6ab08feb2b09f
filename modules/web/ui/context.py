"""What the interface is given to work with."""

from dataclasses import dataclass
from pathlib import Path

from modules.prompting.style_book import StyleBook
from modules.settings.snapshot import Caller
from modules.web.services import Services
from modules.web.ui.presets import PresetBook
from modules.web.ui.saving import Keeper
from modules.web.ui.tokens import TokenCounter


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UiContext:
    """The services, and how this run of the program was started."""

    services: Services
    counter: TokenCounter
    uploads: Path
    """Folder, inside the data folder, for pictures that runs of many start from."""
    temp: Path
    """Folder for uploads; private, and removed when the program ends."""
    style_book: StyleBook
    """The saved styles, which the page may change."""
    presets: PresetBook
    """What is saved for checkpoints."""
    ui_config: Path
    """ui-config.json: what controls begin with."""
    keeper: Keeper
    """Writes what the Save button keeps."""
    theme: str | None = None
    """light or dark; None follows the browser."""
    api: bool = False
    """Whether the REST API is offered, so that a link to its description makes sense."""
    remote: bool = False
    """Whether other machines can reach this server; then the page may not change what only the owner may."""
    hides_folders: bool = False
    """Whether the owner wants nobody to see or open folders."""
    hidden: frozenset[str] = frozenset()
    """Settings that the page does not show."""
    last_prompt: Path | None = None
    """params.txt: the parameters text of the last run; None when no history is kept."""
    user_css: Path | None = None
    """A style sheet of the owner's, loaded last."""

    @property
    def caller(self) -> Caller:
        """How far a change of settings from the page is trusted."""
        return "api" if self.remote else "local"
