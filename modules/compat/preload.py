"""`preload.py` of extensions: flags that they add to the command line."""

import argparse
import importlib.util
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from modules.cli_flags import FLAGS, Status
from modules.extending.discover import Extension

logger = logging.getLogger(__name__)

FILE = "preload.py"
_UNUSED = frozenset(flag.name for flag in FLAGS if flag.status in (Status.PLANNED, Status.SILENT))


def add_flags(parser: argparse.ArgumentParser, extensions: Iterable[Extension]) -> list[str]:
    """Let the extensions that run add their flags; one that fails is named and the others are asked.

    Returns:
        What went wrong, in sentences.
    """
    faults: list[str] = []
    for extension in extensions:
        path = extension.folder / FILE
        if not extension.active or not path.is_file():
            continue
        try:
            _preload(path, parser)
        except Exception as error:
            logger.error("%s: %s failed", extension.name, FILE, exc_info=error)
            faults.append(f"{extension.name}: {FILE} failed: {type(error).__name__}: {error}"[:2000])
    return faults


def _preload(path: Path, parser: argparse.ArgumentParser) -> None:
    spec = importlib.util.spec_from_file_location(f"preload_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    preload = getattr(module, "preload", None)
    if callable(preload):
        preload(_Lenient(parser))


class _Lenient:
    """A parser that lets an extension name a flag that is there already, as A1111's does with its own."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parser = parser

    def __getattr__(self, name: str) -> object:
        return getattr(self._parser, name)

    def add_argument(self, *names: str, **more: object) -> argparse.Action | None:
        """Add a flag with its default; the parser of the program leaves out what is not given."""
        # A flag that the program only knows by name is the extension's, with its default.
        place = (
            self._parser.add_argument_group(conflict_handler="resolve") if _UNUSED.issuperset(names) else self._parser
        )
        try:
            made = place.add_argument(*names, **more)  # pyright: ignore[reportArgumentType]
        except argparse.ArgumentError as error:
            logger.warning("%s", error)
            return None
        if "default" not in more:
            made.default = False if more.get("action") == "store_true" else None
        return made


def values_of(argv: Sequence[str], extensions: Iterable[Extension]) -> dict[str, object]:
    """Return the values of the flags that extensions added.

    Args:
        argv: the whole command line; flags of the program are left out of the answer.
        extensions: those that run.
    """
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    add_flags(parser, extensions)
    return vars(parser.parse_known_args(list(argv))[0])
