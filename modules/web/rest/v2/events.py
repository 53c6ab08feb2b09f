"""What happens to a job, as server-sent events that a client can take up again where it lost them."""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal

from modules.domain.events import (
    TERMINAL,
    Event,
    ImageReady,
    Noted,
    Previewed,
    Progressed,
    Queued,
    Stage,
    Started,
)
from modules.engine.job import JobHandle
from modules.web.rest.v2.describe import file_json, name_of, pictures_of, progress_json

HEARTBEAT_S = 15.0
_LOOK_S = 0.1
"""How often a stream looks for news; what came in between is sent together, superseded previews not at all."""
_RETRY_MS = 2000
Previews = Literal["url", "inline", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Numbers events, so that a client can say which it has seen. They mean nothing to another run of the program."""

    run: str

    @classmethod
    def fresh(cls) -> "Numbers":
        """Make those of this run."""
        return cls(run=secrets.token_hex(4))

    def write(self, index: int) -> str:
        """Return the id of the event with an index."""
        return f"{self.run}-{index}"

    def after(self, last: str | None) -> int:
        """Return the index to go on from for a client that saw this event last; 0 for all."""
        run, _, index = (last or "").partition("-")
        return int(index) + 1 if run == self.run and index.isdecimal() and len(index) < 10 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One reader of one job."""

    handle: JobHandle
    place: Callable[[], int | None]
    """Returns the job's place in the queue."""
    describe: Callable[[], dict[str, Any]]
    """Describes the job, for the last event."""
    base: str
    """Address of the job."""
    numbers: Numbers
    previews: Previews = "url"

    def is_over_after(self, start: int) -> bool:
        """Tell whether nothing will come from an index on."""
        return self.handle.done and not self.handle.numbered(start)

    async def lines(self, start: int) -> AsyncIterator[str]:
        """Yield the events from an index on until the job has ended."""
        yield f"retry: {_RETRY_MS}\n\n"
        spoke, place = time.monotonic(), None
        while True:
            self.handle.touch()
            found = self.handle.numbered(start)
            for index, event in found:
                start = index + 1
                told = self.told(event)
                if told is not None:
                    yield _event(*told, number=self.numbers.write(index))
                    spoke = time.monotonic()
            if found and isinstance(found[-1][1], TERMINAL):
                return
            now = self.place()
            if now is not None and now != place:
                place = now
                yield _event("queued", {"place": place})
                spoke = time.monotonic()
            if time.monotonic() - spoke > HEARTBEAT_S:
                spoke = time.monotonic()
                yield ": still here\n\n"
            await asyncio.sleep(_LOOK_S)

    def told(self, event: Event) -> tuple[str, dict[str, Any]] | None:
        """Return the name and the data of an event; None for one that is not told."""
        match event:
            case Queued():
                return None
            case Started():
                return "started", {"num_batches": event.num_batches}
            case Stage():
                return "stage", {"text": event.text}
            case Progressed():
                return "progress", progress_json(self.handle)
            case Previewed():
                return self._preview(event)
            case ImageReady():
                return "image", self._image(event)
            case Noted():
                return "note", {"text": event.text}
            case _ if isinstance(event, TERMINAL):
                return type(event).__name__.lower(), self.describe()
            case _:
                return None

    def _preview(self, event: Previewed) -> tuple[str, dict[str, Any]] | None:
        if self.previews == "none":
            return None
        told: dict[str, Any] = {"number": event.number, "format": event.format}
        if self.previews == "inline":
            return "preview", {**told, "data": base64.b64encode(event.data).decode("ascii")}
        return "preview", {**told, "url": f"{self.base}/preview?n={event.number}"}

    def _image(self, event: ImageReady) -> dict[str, Any]:
        pictures = pictures_of(self.handle)
        found = next((number for number, one in enumerate(pictures) if one is event.image), None)
        if found is not None:
            return file_json(event.image, found, self.base)
        return {"name": name_of(event.image, 0), "width": event.image.width, "height": event.image.height}


async def ended(name: str, data: dict[str, Any]) -> AsyncIterator[str]:
    """Yield the one event that is left of a job of an earlier run."""
    yield _event(name, data)


def _event(name: str, data: dict[str, Any], *, number: str | None = None) -> str:
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
