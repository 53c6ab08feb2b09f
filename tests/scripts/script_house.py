"""The scripts that come with the program, on the toy family."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from modules.domain.request import Generation, ScriptCall
from modules.domain.result import Outcome, Produced
from modules.extending.discover import program_scripts
from modules.extending.loader import load_all
from modules.extending.registry import Loaded
from modules.extending.scripts import Scripts
from modules.hooks.cancel import CancelReason, CancelToken
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import AfterDecode
from tests.pipeline.workshop import Studio, open_studio

FOLDER = Path(__file__).parents[2] / "scripts"


def load_scripts() -> Loaded:
    """Load them as the program does."""
    loaded = load_all((), [], own=program_scripts(FOLDER))
    assert loaded.faults == {}
    return loaded


def part_of(script: str, name: str) -> Any:
    """Return a module of a script that was loaded."""
    import importlib

    return importlib.import_module(f"webui_extension_scripts_{script}.{name}")


@dataclass(kw_only=True)
class ScriptHouse:
    """Runs scripts."""

    studio: Studio
    scripts: Scripts

    def run(
        self, title: str, request: Generation, *args: Any, handlers: tuple[Handler, ...] = (), **more: Any
    ) -> Outcome:
        """Carry out a request with a script."""
        wanted = replace(request, script=ScriptCall(name=title, args=args))
        hooks = Hooks([*handlers, *self.scripts.handlers(wanted)])
        return self.studio.make(wanted, hooks=hooks, **more)

    def alone(self, request: Generation, **settings: Any) -> Image.Image:
        """Return the picture of a request without a script."""
        return opened(self.studio.make(request, hooks=Hooks(self.scripts.handlers(request)), **settings).images[0])


def opened(produced: Produced) -> Image.Image:
    """Decode a result."""
    return Image.open(io.BytesIO(produced.data)).convert("RGB")


@contextmanager
def script_house(data: Path, *always: Any) -> Iterator[ScriptHouse]:
    """Open a studio with the scripts, and with further always-on ones."""
    loaded = load_scripts()
    scripts = Scripts(always, loaded.selectable)
    studio = open_studio(data)
    studio.shop = replace(studio.shop, scripts=scripts.runner)
    try:
        yield ScriptHouse(studio=studio, scripts=scripts)
    finally:
        studio.shop.output.close()
        for name in [name for name in sys.modules if name.startswith("webui_extension_scripts_")]:
            del sys.modules[name]


def stopping_after(count: int) -> tuple[Handler, CancelToken]:
    """Return what ends a job after so many pictures."""
    cancel, seen = CancelToken(), list[Any]()

    def stop(payload: AfterDecode) -> None:
        seen.append(payload)
        if len(seen) == count:
            cancel.set(CancelReason.STOP)

    return Handler(name="stop", hook=AfterDecode, call=stop), cancel
