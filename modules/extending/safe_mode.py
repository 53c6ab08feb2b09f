"""Notice that a start with extensions never became ready, so that the next one goes without them."""

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from modules.domain.errors import StorageFault
from modules.files import atomic

logger = logging.getLogger(__name__)

MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWatch:
    """A mark on disk that is there while a start with extensions goes on."""

    path: Path

    def failed(self) -> tuple[str, ...]:
        """Return the extensions of the last start if it did not become ready; none when it did."""
        try:
            if self.path.stat().st_size > MAX_BYTES:
                return ()
            found: Any = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ()
        names = cast("dict[str, Any]", found).get("extensions", []) if isinstance(found, dict) else []
        return tuple(str(name) for name in names) if isinstance(names, list) else ()

    def begin(self, names: Sequence[str]) -> None:
        """Note that a start with these extensions goes on; without any there is nothing to watch."""
        if not names:
            self.ready()
            return
        try:
            atomic.make_folder(self.path.parent)
            atomic.write_json(self.path, {"extensions": list(names)})
        except StorageFault as error:
            logger.warning("%s", error)

    def ready(self) -> None:
        """Note that the program is ready."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
