"""What extensions add to the lists that a request chooses from: samplers, schedules, upscalers."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from modules.domain.cards import CardSource
from modules.extending.registry import Loaded, Registry

if TYPE_CHECKING:
    from modules.imaging.upscale import NamedUpscaler
    from modules.pipeline.faces import Restore
    from modules.pipeline.unets import OfferedUnet
    from modules.sampling.book import SamplerBook

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Offers:
    """The lists with and without extensions.

    Args:
        loaded: what was added.
    """

    def __init__(self, loaded: Loaded = Loaded()) -> None:  # noqa: B008 - a frozen value
        self.loaded = loaded
        self._book: SamplerBook | None = None
        self._unets: tuple[OfferedUnet, ...] | None = None
        self._lock = threading.Lock()

    def book(self) -> "SamplerBook":
        """Return the samplers and schedules; those of extensions are made the first time, with torch."""
        with self._lock:
            if self._book is None:
                self._book = self._made()
            return self._book

    def unets(self) -> "Sequence[OfferedUnet]":
        """Return the networks that may stand in the place of a checkpoint's own; made the first time, with torch."""
        with self._lock:
            if self._unets is None:
                made = [_attempt(one, "unet", make) for one in self.loaded.registries for make in one.unets]
                self._unets = tuple(one for one in made if one is not None)
            return self._unets

    def face_restorers(self) -> "Mapping[str, Restore]":
        """Return what restores faces, by name."""
        return {name: call for one in reversed(self.loaded.registries) for name, call in one.face_restorers.items()}

    def cards(self) -> Sequence[CardSource]:
        """Return the pages of cards of extensions."""
        return [page for registry in self.loaded.registries for page in registry.cards_pages]

    def attentions(self) -> Sequence[str]:
        """Return what the setting of the attention may say besides the program's own ways."""
        return ()

    def upscalers(self) -> "Mapping[str, NamedUpscaler]":
        """Return everything that enlarges pictures, by name."""
        from modules.imaging.upscale import PLAIN

        found = dict(PLAIN)
        for registry in self.loaded.registries:
            for one in registry.upscalers:
                if one.name in found:
                    _refuse(registry, f"Its upscaler {one.name} is left out: there is one of that name")
                else:
                    found[one.name] = one
        return found

    def _made(self) -> "SamplerBook":
        from modules.sampling.book import BOOK

        book = BOOK
        for registry in self.loaded.registries:
            for make in registry.samplers:
                sampler = _attempt(registry, "sampler", make)
                if sampler is not None and _is_free(registry, "sampler", sampler.label, book.samplers):
                    book = book.adding(samplers=[sampler])
            for make in registry.schedules:
                schedule = _attempt(registry, "schedule", make)
                if schedule is not None and _is_free(registry, "schedule", schedule.label, book.schedules):
                    book = book.adding(schedules=[schedule])
        return book


def _attempt(registry: Registry, kind: str, make: Callable[[], T]) -> T | None:
    try:
        return make()
    except Exception as error:
        logger.exception("%s: its %s is left out", registry.extension.name, kind)
        registry.faults.append(f"Its {kind} is left out: {type(error).__name__}: {error}.")
        return None


def _is_free(registry: Registry, kind: str, label: str, known: "tuple[object, ...]") -> bool:
    if any(getattr(one, "label", None) == label for one in known):
        _refuse(registry, f"Its {kind} {label} is left out: there is one of that name")
        return False
    return True


def _refuse(registry: Registry, text: str) -> None:
    if text not in registry.faults:
        registry.faults.append(text)
        logger.error("%s: %s", registry.extension.name, text)
