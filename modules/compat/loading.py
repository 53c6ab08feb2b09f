"""Load extensions written for A1111: their script files, one by one, in order, under the names they expect."""

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from modules.compat.host import facade, host
from modules.extending.discover import Extension, ExtensionFile, ordered_files
from modules.extending.loader import Unit
from modules.extending.metadata import Metadata
from modules.extending.registry import Registry
from modules.files.layout import Layout

FOLDER = "scripts"
LIMIT_S = 900.0
"""How long a script file may take to load: several download their models then."""


class LegacyLoader:
    """Loads `scripts/*.py` of extensions."""

    def units(self, extensions: Sequence[Extension], mine: Sequence[Extension] = ()) -> Iterable[Unit]:
        """Return one unit for each file, in the order that A1111 loads them.

        Args:
            extensions: as others see them.
            mine: what else has script files, and comes before them.
        """
        host().extensions = tuple(extensions)
        extensions = (*mine, *extensions)
        files, missing = ordered_files(extensions, FOLDER, ".py")
        for one in files:
            yield Unit(extension=one.extension, name=f"{FOLDER}/{one.name}", load=partial(_load, one), limit_s=LIMIT_S)
        for name, reason in missing.items():
            owner = next((one for one in extensions if name.startswith(f"{one.canonical}/")), None)
            if owner is not None:
                yield Unit(extension=owner, name=name.partition("/")[2], load=partial(_refuse, reason))


def _refuse(reason: str, _registry: Registry) -> None:
    raise ImportError(reason)


def _load(file: ExtensionFile, _registry: Registry) -> None:
    """Run a script file and take the classes that it defines."""
    bound = host()
    with importing(file.extension):
        spec = importlib.util.spec_from_file_location(file.name, file.path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file.name} cannot be loaded")
        module = importlib.util.module_from_spec(spec)
        facade("ui_components")  # extensions say of components of theirs that they are of this module
        # Under this name components find the file of their class; two files of one name are told apart by the last.
        sys.modules[file.name] = module
        callbacks = {kind: list(known) for kind, known in bound.callbacks.by_kind.items()}
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(file.name, None)
            bound.callbacks.by_kind.update(callbacks)
            raise
        bound.scripts.register(module, str(file.path), str(file.extension.folder))


@contextmanager
def importing(extension: Extension) -> Iterator[None]:
    """Let files of an extension import its own modules, and `scripts` of all of them."""
    bound, folder = host(), str(extension.folder)
    bound.loading.append(extension)
    sys.path.insert(0, folder)
    try:
        with _old_libraries():
            yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
        bound.loading.remove(extension)


@contextmanager
def _old_libraries() -> Iterator[None]:
    """Serve idioms of older gradio and pydantic while extension code runs."""
    from modules.compat import old_pydantic
    from modules.compat.old_gradio import serving_old_idioms

    old_pydantic.install()
    with serving_old_idioms():
        yield


def owner_scripts(layout: Layout) -> tuple[Extension, ...]:
    """Return the script files that the owner put into `scripts` of the program, as if they were an extension.

    Folders in there are scripts of the program itself, which are no business of this loader.
    """
    one = Extension(name=FOLDER, folder=layout.scripts.parent, is_builtin=True, metadata=Metadata(name=FOLDER))
    return (one,) if is_legacy(one) else ()


def is_legacy(extension: Extension) -> bool:
    """Tell whether an extension brings anything that only A1111 knows."""
    folder = extension.folder / FOLDER
    return any(Path(folder).glob("*.py")) if folder.is_dir() else False
