"""The pages of cards, in the order in which they are shown: four of the program, then those of extensions."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from modules.domain.cards import CardSource
from modules.library.scan import scan_files
from modules.web.cards import facts
from modules.web.cards.added import AddedPage
from modules.web.cards.pages import CardPage, CardPages, Kind
from modules.web.cards.sheet import VERSION, WEIGHT

LORA_FIELDS = ("description", VERSION, "activation text", WEIGHT, "negative text", "notes")
TITLES = {
    "textual_inversion": "Textual Inversion", "hypernetworks": "Hypernetworks", "checkpoints": "Checkpoints", "lora": "Lora"
}  # fmt: skip
"""Id -> what the page is called, in order."""

Files = Callable[[], Iterable[tuple[str, Path]]]
Look = Callable[[Path], facts.FileFacts]


def card_pages(
    memory: Path,
    *,
    embeddings: Sequence[Path] = (),
    hypernetworks: Sequence[Path] = (),
    loras: Sequence[Path] = (),
    checkpoints: Files = tuple,
    look_at_checkpoint: Look = facts.of_plain,
    refresh_checkpoints: Callable[[], object] = lambda: None,
    refresh_loras: Callable[[], object] = lambda: None,
    hash_of: Callable[[Path], str | None] = lambda _path: None,
    added: Callable[[], Sequence[CardSource]] = tuple,
) -> CardPages:
    """Make the pages.

    Args:
        memory: folder where facts are remembered.
        embeddings: folders.
        hypernetworks: folders.
        loras: folders.
        checkpoints: lists their names and paths.
        look_at_checkpoint: looks into one.
        refresh_checkpoints: has the rest of the program look for them again.
        refresh_loras: the same for LoRAs.
        hash_of: tells the SHA-256 of a file where it is known.
        added: returns the pages that extensions add.
    """
    kinds = (
        Kind(id="textual_inversion", title=TITLES["textual_inversion"], files=lambda: _embeddings(embeddings),
             look=facts.of_embedding, preview_mark=".preview"),
        Kind(id="hypernetworks", title=TITLES["hypernetworks"], files=lambda: _below(hypernetworks, (".pt",)),
             look=facts.of_plain, preview_mark=".preview"),
        Kind(id="checkpoints", title=TITLES["checkpoints"], files=checkpoints, look=look_at_checkpoint,
             refresh=refresh_checkpoints, fields=("description", "vae", "notes")),
        Kind(id="lora", title=TITLES["lora"], files=lambda: _loras(loras), look=facts.of_lora, refresh=refresh_loras,
             fields=LORA_FIELDS),
    )  # fmt: skip
    return CardPages([CardPage(kind, memory, hash_of) for kind in kinds], _Added(added))


class _Added:
    """Makes pages for what extensions add, each once.

    Args:
        sources: returns what there is now.
    """

    def __init__(self, sources: Callable[[], Sequence[CardSource]]) -> None:
        self._sources = sources
        self._made: dict[int, tuple[CardSource, AddedPage]] = {}

    def __call__(self) -> list[CardPage]:
        sources = self._sources()
        for one in sources:
            if id(one) not in self._made:
                self._made[id(one)] = (one, AddedPage(one))
        return [self._made[id(one)][1] for one in sources]


def _below(folders: Sequence[Path], suffixes: Sequence[str]) -> list[tuple[str, Path]]:
    return [pair for folder in folders for pair in scan_files(folder, suffixes)]


def _loras(folders: Sequence[Path]) -> list[tuple[str, Path]]:
    from modules.adapters.lora.catalog import SUFFIXES

    return _below(folders, SUFFIXES)


def _embeddings(folders: Sequence[Path]) -> list[tuple[str, Path]]:
    from modules.adapters.textual_inversion.read import SUFFIXES

    return _below(folders, SUFFIXES)
