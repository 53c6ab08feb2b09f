"""The interface around the fake runner, for tests that need no browser."""

from collections.abc import Sequence
from pathlib import Path

from modules.imaging.folders import OutputFolders
from modules.prompting.style_book import StyleBook
from modules.settings.store import SettingsStore
from modules.web.ui.context import UiContext
from modules.web.ui.presets import PresetBook
from modules.web.ui.saving import Keeper
from modules.web.ui.tokens import TokenCounter
from tests.web.rest_house import RestHouse


class WordTokenizer:
    """One token per word."""

    comma_id = 0

    def encode(self, text: str) -> list[int]:
        """Number the words of a text."""
        return [0 if word == "," else 1 for word in text.replace(",", " , ").split()]


def ui_context(house: RestHouse, folder: Path, *, remote: bool = False) -> UiContext:
    """Make what the interface is given to work with."""
    return UiContext(
        services=house.services,
        counter=TokenCounter(WordTokenizer),
        temp=folder / "temp",
        uploads=folder / "cache" / "uploads",
        style_book=StyleBook([folder / "styles.csv"]),
        presets=PresetBook(folder / "model-presets.json"),
        ui_config=folder / "ui-config.json",
        keeper=Keeper(OutputFolders(data=folder)),
        api=True,
        remote=remote,
        last_prompt=folder / "params.txt",
        user_css=folder / "user.css",
    )


def values_of(store: SettingsStore, keys: Sequence[str]) -> dict[str, object]:
    """Return some settings as they are now."""
    return {key: store.snapshot().value(key) for key in keys}
