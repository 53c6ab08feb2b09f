"""Installing: what is asked of pip, and what a second, an interrupted or a changed start does.

Real environments are made, without pip; a stand-in for it, written into them, records how it was called.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from modules import install

ROOT = Path(__file__).resolve().parents[2]
PINS = {"torch": "2.13.0", "torchvision": "0.28.0"}
STAND_IN = """
    import json, os, sys, time
    here = os.environ
    with open(here["PIP_LOG"], "a") as log:
        log.write(json.dumps(sys.argv[1:]) + "\\n")
    if "--dry-run" in sys.argv:
        sys.exit(0 if here.get("PIP_HAS", "+cpu") in " ".join(sys.argv) else 1)
    step = "packages" if "-r" in sys.argv else "torch"
    if here.get("PIP_HANGS") == step:
        open(here["PIP_LOG"] + ".hangs", "w").close()
        time.sleep(15)
    sys.exit(1 if here.get("PIP_FAILS") == step else 0)
"""
PYTHON = """
    #!/bin/bash
    # Makes environments at once: without pip, with the stand-in.
    if [ "$1" = -m ] && [ "$2" = venv ]; then
        echo "$3" >> "$PIP_LOG.venvs"
        {python} -m venv --without-pip "$3" || exit
        site=$(echo "$3"/lib/python3*/site-packages)
        mkdir "$site/pip" && cp {stand_in} "$site/pip/__main__.py"
        exit
    fi
    exec {python} "$@"
"""


class Project:
    """A copy of the files that start the program, with a Python whose environments have the stand-in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        shutil.copytree(ROOT / "modules", self.folder / "modules", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("webui.sh", "webui.py", "requirements.txt", "constraints.txt"):
            shutil.copy(ROOT / name, self.folder / name)
        stand_in, self.python, self.log = folder / "stand_in.py", folder / "python", folder / "log"
        stand_in.write_text(textwrap.dedent(STAND_IN))
        self.python.write_text(textwrap.dedent(PYTHON).strip().format(python=sys.executable, stand_in=stand_in))
        self.python.chmod(0o755)

    def environ(self, **extra: str) -> dict[str, str]:
        plain = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PIP_LOG": str(self.log)}
        return plain | {"python_cmd": str(self.python)} | extra

    def start(self, *flags: str, **extra: str) -> subprocess.CompletedProcess[str]:
        command = ["./webui.sh", *flags]
        return subprocess.run(
            command, cwd=self.folder, env=self.environ(**extra), capture_output=True, text=True, check=False, timeout=30
        )

    def calls(self) -> list[str]:
        """What pip was asked for since the last look, without the questions."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [" ".join(words) for words in map(json.loads, lines) if "--dry-run" not in words]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    if os.name == "nt":
        pytest.skip("webui.sh is for the other systems")
    return Project(tmp_path)


def test_first_start_installs_and_the_second_does_nothing(project: Project):
    first = project.start("--exit")
    assert first.returncode == 0, first.stderr
    torch, packages = project.calls()
    assert "torch==2.13.0" in torch
    assert "-r" in packages.split()
    for line in ("[1/2] Installing PyTorch", "[2/2] Installing the other packages: done in"):
        assert line in first.stderr
    second = project.start("--exit")
    assert (second.returncode, project.calls()) == (0, [])
    assert "Installing" not in second.stderr
    assert Path(f"{project.log}.venvs").read_text().split() == ["venv"]


def test_a_failed_step_is_named_and_only_what_is_missing_is_done_again(project: Project):
    failed = project.start("--exit", PIP_FAILS="packages")
    assert failed.returncode == 1
    assert "Start again to continue" in failed.stderr
    assert len(project.calls()) == 2
    assert project.start("--exit").returncode == 0
    (packages,) = project.calls()
    assert "-r" in packages.split()


def test_an_interrupted_install_goes_on_at_the_next_start(project: Project):
    command = {"cwd": project.folder, "env": project.environ(PIP_HANGS="packages"), "text": True}
    # A test run in the background is started with the signal ignored, and so would its children be.
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), "start_new_session": True}
    with subprocess.Popen(["./webui.sh"], stderr=subprocess.PIPE, **listening, **command) as running:
        mark = Path(f"{project.log}.hangs")
        for _ in range(300):
            if mark.exists():
                break
            time.sleep(0.05)
        assert mark.exists()
        os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "Interrupted. Start again to continue" in errors
    project.calls()
    assert project.start("--exit").returncode == 0
    assert len(project.calls()) == 1


def test_changed_requirements_are_installed_and_torch_is_left_alone(project: Project):
    project.start("--exit")
    project.calls()
    with (project.folder / "requirements.txt").open("a") as file:
        file.write("something==1.0\n")
    assert project.start("--exit").returncode == 0
    (packages,) = project.calls()
    assert "-r" in packages.split()


def test_another_source_of_torch_replaces_the_build_that_is_there(project: Project):
    project.start("--exit")
    project.calls()
    project.start("--exit", TORCH_INDEX_URL="https://example.org/rocm")
    replaced, completed, _ = project.calls()
    assert "--force-reinstall --no-deps" in replaced
    assert "--extra-index-url https://example.org/rocm" in replaced
    assert "--force-reinstall" not in completed
    project.start("--exit", "--reinstall-torch", TORCH_INDEX_URL="https://example.org/rocm")
    assert "--force-reinstall" in project.calls()[0]


def test_own_torch_command_index_and_requirements_are_honoured(project: Project):
    (project.folder / "mine.txt").write_text("torch==1.0\nsomething==1.0\n")
    project.start(
        "--exit", TORCH_COMMAND="pip install torch==9 --pre", INDEX_URL="https://example.org/pypi", REQS_FILE="mine.txt"
    )
    torch, packages = project.calls()
    assert torch == "install torch==9 --pre"
    assert packages.endswith("--index-url https://example.org/pypi")
    missing = project.start("--exit", REQS_FILE="nothing.txt")
    assert missing.returncode == 1
    assert "nothing.txt: there is no such file" in missing.stderr


def test_user_file_gives_flags_and_the_folder_of_the_environment(project: Project):
    (project.folder / "webui-user.sh").write_text('venv_dir="my env"\nCOMMANDLINE_ARGS="--port 70000"\n')
    ended = project.start()
    assert ended.returncode == 2
    assert "--port: 70000" in ended.stderr
    assert (project.folder / "my env" / "bin" / "python").exists()
    assert not (project.folder / "venv").exists()


def test_environment_may_lie_elsewhere_or_nowhere(project: Project, tmp_path: Path):
    assert project.start("--exit", VENV_DIR=str(tmp_path / "elsewhere")).returncode == 0
    assert (tmp_path / "elsewhere" / "bin" / "python").exists()
    project.calls()
    assert project.start("--skip-install", "--exit", VENV_DIR="-").returncode == 0
    assert not (project.folder / "venv").exists()
    assert project.calls() == []


def test_without_a_fitting_python_the_message_says_what_to_install(project: Project, tmp_path: Path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "dirname", "id", "env"):
        (tools / name).symlink_to(str(shutil.which(name)))
    old = tools / "python3"
    old.write_text("#!/bin/bash\nexit 1\n")
    old.chmod(0o755)
    ended = project.start(PATH=str(tools), python_cmd="")
    assert ended.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 is needed and was not found" in ended.stderr
    assert "is not Python 3.11" in project.start(python_cmd=str(old)).stderr
    assert not (project.folder / "venv").exists()


def test_windows_file_knows_the_same_variables_and_steps():
    shell, batch = (ROOT / "webui.sh").read_text(), (ROOT / "webui.bat").read_bytes().decode()
    assert batch.count("\n") == batch.count("\r\n")
    names = "COMMANDLINE_ARGS PYTHON VENV_DIR TORCH_COMMAND TORCH_INDEX_URL INDEX_URL REQS_FILE webui-user -m venv"
    for name in [*names.split(" "), "-m modules.install", "webui.py", "(3, 11) <= sys.version_info[:2] <= (3, 13)"]:
        assert name in shell, name
        assert name in batch, name


def labels(system: str, has_nvidia: bool, **environ: str) -> list[tuple[str, ...]]:
    choices = install.torch_choices(PINS, environ, system=system, has_nvidia=has_nvidia)
    return [(*choice.packages, *choice.options, *choice.command) for choice in choices]


def test_a_machine_without_nvidia_gets_the_cpu_build_first():
    plain, cpu = ("torch==2.13.0", "torchvision==0.28.0"), ("torch==2.13.0+cpu", "torchvision==0.28.0+cpu")
    assert labels("Linux", False) == [
        cpu,
        (cpu[0], plain[1]),
        (*cpu, "--extra-index-url", install.CPU_INDEX),
        plain,
    ]
    assert labels("Linux", True) == labels("Darwin", False) == labels("Windows", False) == [plain]
    assert labels("Windows", True) == [(*plain, "--extra-index-url", install.CUDA_INDEX)]
    assert labels("Linux", False, TORCH_INDEX_URL="u") == [(*plain, "--extra-index-url", "u")]


def test_the_usual_build_is_taken_when_no_source_has_the_other(project: Project):
    ended = project.start("--exit", PIP_HAS="nowhere")
    torch = project.calls()[0]
    if install.has_nvidia():
        pytest.skip("this machine takes the usual build anyway")
    assert "usual build, as no CPU build was found" in ended.stderr
    assert "+cpu" not in torch


def test_included_files_are_followed_and_comments_dropped(tmp_path: Path):
    (tmp_path / "a.txt").write_text("# note\n-r b.txt\nx==1 # why\n\n")
    (tmp_path / "b.txt").write_text("y==2\n")
    assert list(install.requirement_lines(tmp_path / "a.txt")) == ["y==2", "x==1"]


def test_a_broken_record_counts_as_none(tmp_path: Path):
    (tmp_path / "record.json").write_text("[1")
    record = install.Record.read(tmp_path / "record.json")
    assert record.done == {}
    record.set("torch", "key")
    assert install.Record.read(tmp_path / "record.json").done == {"torch": "key"}


def test_constraints_and_requirements_pin_every_package_once():
    lines = [*install.requirement_lines(ROOT / "requirements.txt"), *install.requirement_lines(install.CONSTRAINTS)]
    names = [line.split("==")[0] for line in lines]
    assert all("==" in line for line in lines)
    assert len(set(names)) == len(names)


def test_skipping_and_help_touch_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(install, "install", lambda *_, **__: pytest.fail("installed"))
    assert install.main(["--skip-install"], {}) == 0
    assert install.main([], {"COMMANDLINE_ARGS": "--api --skip-prepare-environment"}) == 0
    assert install.main(["--help"], {}) == 0
