"""What holds for the whole tree, whichever room one is in."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.domain.param import walk_params
from modules.hooks import points
from modules.settings.snapshot import Snapshot

ROOT = Path(__file__).resolve().parent.parent
OURS = sorted([ROOT / "webui.py", *(ROOT / "modules").rglob("*.py")])
LIGHT_ROOMS = ("cli", "cli_flags", "install", "domain", "files", "settings", "hooks", "prompting")
HEAVY = ("torch", "torchvision", "numpy", "PIL", "transformers", "gradio", "fastapi", "pandas", "scipy")

IMPORT_ALL = """
import importlib, json, logging, pkgutil, sys, threading

def refuse(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "os.system", "os.exec", "os.fork"):
        raise PermissionError(f"an import asked for {event} {arguments}")

sys.addaudithook(refuse)
import modules
names, wanted = [], tuple(json.loads(sys.argv[1]))
for found in pkgutil.walk_packages(modules.__path__, "modules."):
    if not wanted or found.name.split(".")[1] in wanted:
        importlib.import_module(found.name)
        names.append(found.name)
json.dump(
    {
        "names": names,
        "loaded": sorted(name for name in sys.modules if "." not in name),
        "handlers": [repr(handler) for handler in logging.getLogger("modules").handlers],
        "threads": [thread.name for thread in threading.enumerate()],
        "gpu": "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized(),
    },
    sys.stdout,
)
"""


def import_everything(folder: Path, *rooms: str) -> dict[str, list[str]]:
    """Import the modules of some rooms, or all, in a fresh process with an empty home and nothing of ours set."""
    environ = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TEMP") if name in os.environ}
    environ |= {"HOME": str(folder), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environ |= {"PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_ALL, json.dumps(rooms)],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stderr == ""
    return json.loads(ended.stdout)


def test_importing_anything_does_nothing(tmp_path: Path):
    seen = import_everything(tmp_path)
    # A package shows up by its __init__.py; every other file by its own name.
    # Folders with a hyphen are no packages; the view of A1111's names adds them when it is mounted.
    ours = [path for path in OURS[:-1] if not any("-" in part for part in path.relative_to(ROOT).parts)]
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ours}
    assert {name.removesuffix(".__init__") for name in files} - {"modules", "webui"} <= set(seen["names"])
    assert list(tmp_path.iterdir()) == []
    assert (seen["handlers"], seen["threads"], seen["gpu"]) == ([], ["MainThread"], False)


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_light_rooms_load_no_heavy_library(room: str, tmp_path: Path):
    seen = import_everything(tmp_path, room)
    assert seen["names"]
    assert set(seen["loaded"]).isdisjoint(HEAVY)


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_no_text_is_ever_run_as_code():
    forbidden = {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "builtins.eval"}
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {name}"
        for path in OURS
        for name, call in calls(path)
        if name in forbidden or any(key.arg == "shell" and ast.unparse(key.value) != "False" for key in call.keywords)
    ]
    assert found == []


def test_every_file_says_what_it_is_for():
    silent = [
        str(path.relative_to(ROOT))
        for path in OURS
        if (tree := ast.parse(path.read_text(encoding="utf-8"))).body and not ast.get_docstring(tree)
    ]
    assert silent == []


def test_every_hook_point_is_documented():
    hooks = [item for item in vars(points).values() if isinstance(item, type) and issubclass(item, points.Hook)]
    assert len(hooks) > 5
    # Without a docstring of its own a dataclass gets its signature for one.
    assert [
        hook.__name__ for hook in hooks if (hook.__doc__ or f"{hook.__name__}(").startswith(f"{hook.__name__}(")
    ] == []


def test_every_setting_is_documented():
    settings = list(walk_params(Snapshot))
    assert len(settings) > 50
    assert [item.name for item in settings if not (item.param.label.strip() and item.param.help.strip())] == []


def texts() -> Iterator[tuple[Path, str]]:
    """Every text file that belongs to the project."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = [name for name in listed.stdout.split("\0") if name]
    paths = [ROOT / name for name in names] if names else OURS
    for path in paths:
        if path.is_file() and path.stat().st_size < 2**20:
            content = path.read_bytes()
            if b"\0" not in content:
                yield path, content.decode("utf-8")


def test_no_file_names_a_folder_of_one_machine():
    places = [re.escape(str(place)) for place in (ROOT, Path.home()) if len(place.parts) > 2]
    machine = re.compile("|".join([*places, r"/(?:home|Users)/(?!user\b|you\b|me\b)\w+/", r"(?<![\w.])/" + "work/"]))
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path, text in texts() for match in machine.finditer(text)]
    assert found == []
