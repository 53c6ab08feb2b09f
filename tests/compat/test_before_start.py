"""What extensions for A1111 do before the program runs: flags and installers."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from modules import cli
from modules.compat.early import parser_with_flags
from tests.extending.extending_house import make_extension

ROOT = Path(__file__).resolve().parents[2]
PRELOAD = "def preload(parser):\n    parser.add_argument('--kite-length', type=int, default=7)\n"


def read(data: Path, *argv: str) -> cli.LaunchConfig:
    words = ["--data-dir", str(data), *argv]
    return cli.parse(words, {}, root=data, parser=parser_with_flags(words, {}, root=data))


def test_without_extensions_the_parser_is_the_programs_own(tmp_path: Path):
    assert parser_with_flags(["--data-dir", str(tmp_path)], {}, root=tmp_path) is None


def test_flags_of_extensions_are_flags(tmp_path: Path):
    make_extension(tmp_path / "extensions", "kite", {"preload.py": PRELOAD})
    make_extension(tmp_path / "extensions", "torn", {"preload.py": "def preload(parser):\n    raise OSError('torn')\n"})
    assert read(tmp_path).flags["kite_length"] == 7
    config = read(tmp_path, "--kite-length", "9", "--medvram")
    assert (config.flags["kite_length"], config.medvram) == (9, True)


def test_a_flag_that_the_program_only_knows_by_name_is_the_extensions(tmp_path: Path):
    lines = "def preload(parser):\n    parser.add_argument('--controlnet-loglevel', default='INFO')\n    parser.add_argument('--port', default=1)\n"
    assert read(tmp_path, "--controlnet-loglevel", "x").notes == ("--controlnet-loglevel: not supported yet",)
    make_extension(tmp_path / "extensions", "kite", {"preload.py": lines})
    config = read(tmp_path)
    assert (config.flags["controlnet_loglevel"], config.port, config.notes) == ("INFO", 7860, ())
    config = read(tmp_path, "--controlnet-loglevel", "DEBUG", "--port", "7")
    assert (config.flags["controlnet_loglevel"], config.port, config.notes) == ("DEBUG", 7, ())


def test_flags_may_lie_in_the_folders_of_the_program(tmp_path: Path):
    lines = "from modules import paths\ndef preload(parser):\n    parser.add_argument('--kite', default=paths.models_path)\n"
    make_extension(tmp_path / "extensions", "kite", {"preload.py": lines})
    assert read(tmp_path).flags["kite"] == str(tmp_path / "models")
    assert read(tmp_path, "--models-dir", str(tmp_path / "large")).flags["kite"] == str(tmp_path / "large")
    assert "modules.paths" not in sys.modules


@pytest.mark.parametrize("off", ["flag", "settings"])
def test_extensions_that_are_switched_off_add_none(tmp_path: Path, off: str):
    make_extension(tmp_path / "extensions", "kite", {"preload.py": PRELOAD})
    if off == "settings":
        (tmp_path / "config.json").write_text(json.dumps({"disabled_extensions": ["kite"]}))
    words = ["--disable-all-extensions"] if off == "flag" else []
    assert "kite_length" not in read(tmp_path, *words).flags
    with pytest.raises(SystemExit):
        read(tmp_path, *words, "--kite-length", "9")


@pytest.mark.slow
def test_the_device_and_the_package_of_all_extensions_are_known_while_they_load(tmp_path: Path):
    from modules.app import House
    from modules.compat.mount import unmount

    lines = (
        "from extensions.kite.inner import X\nfrom modules.devices import device\nfrom modules import shared\n"
        "assert (shared.device, X, shared.hypernetworks) == (device, 3, {})\n"
    )
    make_extension(tmp_path / "extensions", "kite", {"scripts/kite.py": lines, "inner.py": "X = 3\n"})
    words = ("--nowebui", "--skip-install", "--use-cpu", "all", "--skip-load-model-at-start")
    try:
        with ExitStack() as until_exit:
            house = House(read(tmp_path, *words), until_exit)
            house.services.ledger.close()
            assert house.extending.loaded.faults == {}
            assert str(sys.modules["kite.py"].device) == "cpu"
    finally:
        unmount()


def test_installers_find_launch_and_the_paths(tmp_path: Path):
    lines = (
        "import launch, helper\nfrom modules import paths\n"
        "print(launch.is_installed('pytest'), launch.is_installed('no_such_package'), launch.git_tag(), helper.X)\n"
    )
    folder = make_extension(tmp_path, "kite", {"install.py": lines, "helper.py": "X = 3\n"})
    command = [sys.executable, "-m", "modules.compat.installer", str(folder / "install.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "True False v1.10.1 3\n", done.stderr


def test_without_extensions_nothing_heavy_is_imported():
    code = (
        "import modules.app, modules.compat.early, sys; print(sorted({'torch', 'gradio', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "[]\n", done.stderr
