"""Packages that A1111 happened to bring along: extensions import them and nobody says so.

They are no part of this program's installation. Those that the sources of an extension import, and that are absent, are
installed in the same step as what its own `install.py` asks for.
"""

import ast
import importlib.util
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from modules.compat.preload import FILE as PRELOAD
from modules.extending.installers import INSTALLER, PIP, Step, digest
from modules.extending.limits import with_limits
from modules.files.layout import Layout

SCRIPTS = "scripts"
_UNREAD = frozenset({"tests", "test", "docs", "node_modules", "venv", "__pycache__"})
"""Folders that nothing is imported from while the program runs."""


class Library:
    """A module that sources import, and the packages that bring it, in versions that go with this program's numpy and torch."""

    __slots__ = ("module", "packages")

    def __init__(self, module: str, *packages: str) -> None:
        self.module, self.packages = module, packages


OPENCV = tuple(
    f"opencv-{kind}==4.13.0.92" for kind in ("python", "python-headless", "contrib-python", "contrib-python-headless")
)
"""All of them write the same folder, so they have to be of one version, whichever an extension asks for."""

LIBRARIES = (
    Library("accelerate", "accelerate==1.15.0"),
    Library("aiofiles", "aiofiles==25.1.0"),
    Library("aiohttp", "aiohttp==3.14.5"),
    Library("altair", "altair==6.3.0"),
    Library("blendmodes", "blendmodes==2025"),
    Library("clip", "clip-anytorch==2.6.0", "setuptools==80.10.2"),
    Library("cv2", OPENCV[1]),
    Library("diskcache", "diskcache==5.6.3"),
    Library("einops", "einops==0.8.2"),
    Library("git", "GitPython==3.2.1"),
    Library("imageio", "imageio==2.38.1"),
    Library("inflection", "inflection==0.5.1"),
    Library("jsonmerge", "jsonmerge==1.9.2"),
    Library("jsonschema", "jsonschema==4.26.0"),
    Library("kornia", "kornia==0.9.0"),
    Library("lark", "lark==1.3.1"),
    Library("matplotlib", "matplotlib==3.11.2"),
    Library("omegaconf", "omegaconf==2.4.0"),
    Library("piexif", "piexif==1.1.3"),
    Library("pillow_avif", "pillow-avif-plugin==1.6.0"),
    Library("pkg_resources", "setuptools==80.10.2"),
    Library("pytorch_lightning", "pytorch-lightning==2.6.6"),
    Library("requests", "requests==2.34.2"),
    Library("resize_right", "resize-right==0.0.2"),
    Library("sentencepiece", "sentencepiece==0.2.3"),
    Library("skimage", "scikit-image==0.26.0"),
    Library("spandrel", "spandrel==0.4.2"),
    Library("tifffile", "tifffile==2026.3.3"),
    Library("tomesd", "tomesd==0.1.3"),
    Library("torchdiffeq", "torchdiffeq==0.2.5"),
    Library("torchmetrics", "torchmetrics==1.9.0"),
    Library("torchsde", "torchsde==0.2.6"),
    Library("websockets", "websockets==17.4"),
)


class Libraries:
    """What the sources of an extension for A1111 import and A1111 had."""

    name = "libraries"
    limits: Sequence[str] = OPENCV

    def state(self, folder: Path) -> str:
        """Return a digest of when which source file was changed, and of the table."""
        marks = [f"{path.relative_to(folder)} {at.st_size} {at.st_mtime_ns}" for path, at in _sources(folder)]
        known = [f"{one.module} {one.packages}" for one in LIBRARIES]
        return digest(one.encode() for one in [*marks, *known]) if marks else ""

    def steps(self, folder: Path) -> Sequence[Step]:
        """Return one run of pip for all that is absent."""
        absent = missing(folder)
        if not absent:
            return ()
        packages = list(dict.fromkeys(package for one in absent for package in one.packages))
        imports = ", ".join(f"{one.module} ({one.packages[0]})" for one in absent)
        remedy = (
            f"It imports {imports}, which could not be installed. Start again with a connection to the package index, "
            f"or install them yourself: pip install {' '.join(packages)}."
        )
        command = (*PIP, "--retries", "1", "--prefer-binary", *packages)
        return (Step(name="libraries", command=command, remedy=remedy),)


def held(environ: Mapping[str, str], layout: Layout) -> dict[str, str]:
    """Return an environment in which pip, whoever calls it, leaves the packages of the program as they are."""
    return with_limits(environ, layout.root, layout.cache / "extensions-limits.txt", OPENCV)


def missing(folder: Path) -> list[Library]:
    """Return the libraries that the sources of an extension import and this Python does not find."""
    names = imported(folder)
    return [one for one in LIBRARIES if one.module in names and not _is_there(one.module)]


def imported(folder: Path) -> frozenset[str]:
    """Return the first words of all modules that the sources import, but for those that lie in the extension itself."""
    found = {name for path, _ in _sources(folder) for name in imports_of(path)}
    return frozenset(name for name in found if not (folder / name).is_dir() and not (folder / f"{name}.py").is_file())


def imports_of(path: Path) -> set[str]:
    """Return the first words of the modules that a file imports, wherever it does; none for a file that is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the extension's own style
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return set()
    found = set[str]()
    for node in _run_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree, without what only a type checker sees."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _sources(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the source files of an extension for A1111 in a fixed order; none for another one."""
    if not ((folder / SCRIPTS).is_dir() or (folder / PRELOAD).is_file()):
        return
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if one not in _UNREAD and not one.startswith("."))
        for name in sorted(files):
            if name.endswith(".py") and not (name == INSTALLER and Path(place) == folder):
                path = Path(place, name)
                yield path, path.stat()


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
