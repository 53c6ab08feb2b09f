"""Install what the program needs into the Python that runs this; standard library only.

Run by `webui.sh` and `webui.bat` as `python -m modules.install FLAGS...`. A record inside the environment holds
what was installed, so that a later start neither calls pip nor touches the network, and a start that was
interrupted goes on where it stopped.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = (3, 11), (3, 13)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA_INDEX = "https://download.pytorch.org/whl/cu130"
"""PyPI has the CUDA build for Linux only; on Windows it comes from here."""

CONSTRAINTS = ROOT / "constraints.txt"

_PINNED = re.compile(r"(torch|torchvision)==([\w.]+)")
_BARE_PIN = re.compile(r"(?!torch)[\w.-]+==[\w.]+")


class InstallFailed(Exception):
    """pip could not install something; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One way to get torch and torchvision."""

    label: str
    packages: tuple[str, ...]
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    """The person's own command in place of the packages."""


@dataclass(slots=True)
class Record:
    """What is installed in this environment, kept in a file of it."""

    path: Path
    done: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read the record; a missing or broken one is an empty one."""
        try:
            done = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            done = {}
        return cls(path, done if isinstance(done, dict) else {})

    def set(self, step: str, key: str | None) -> None:
        """Note that a step is done for this key, or with None that it is no longer."""
        self.done = {name: value for name, value in self.done.items() if name != step}
        if key is not None:
            self.done[step] = key
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(self.done, indent=1), encoding="utf-8")
        os.replace(beside, self.path)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Install what is missing; return 0 when the program can start."""
    words = _words(argv, environ)
    if {"--skip-install", "--skip-prepare-environment", "--help", "-h"} & words:
        return 0
    if not (OLDEST <= sys.version_info[:2] <= NEWEST or "--skip-python-version-check" in words):
        _say(
            f"Python {platform.python_version()} in {sys.prefix} is not supported; 3.11, 3.12 or 3.13 is needed.\n"
            "Delete that environment to have it made again, or name an interpreter in the variable python_cmd."
        )
        return 1
    record = Record.read(Path(sysconfig.get_path("purelib")) / "webui-installed.json")
    try:
        install(environ, record, again="--reinstall-torch" in words)
    except InstallFailed as error:
        _say(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        _say("\nInterrupted. Start again to continue: what is already installed or downloaded is kept.")
        return 130
    return 0


def install(environ: Mapping[str, str], record: Record, *, again: bool = False) -> None:
    """Bring torch, then everything else, to what the requirements say.

    Args:
        environ: `TORCH_COMMAND`, `TORCH_INDEX_URL`, `INDEX_URL` and `REQS_FILE` are honoured.
        record: what is there; steps whose key is unchanged are skipped without looking further.
        again: install torch even if it is there.

    Raises:
        InstallFailed: if pip fails.
    """
    requirements = (ROOT / environ.get("REQS_FILE", "requirements.txt")).absolute()
    if not requirements.is_file():
        raise InstallFailed(f"{requirements}: there is no such file; check the variable REQS_FILE.")
    lines = list(requirement_lines(requirements))
    own = [environ.get(name, "") for name in ("TORCH_COMMAND", "TORCH_INDEX_URL")]
    pins = _pins(lines) or _pins(requirement_lines(ROOT / "requirements.txt"))
    torch_key = _digest([*own, *pins.values()])
    rest_key = _digest([*lines, *_constraints(), torch_key, environ.get("INDEX_URL", "")])
    if again or record.done.get("torch") != torch_key:
        _ensure_pip()
        replace = again or "torch" in record.done
        if replace or any(own) or not _satisfied(pins):
            _install_torch(lines, pins, environ, replace=replace)
        record.set("torch", torch_key)
    if record.done.get("packages") != rest_key:
        _ensure_pip()
        _install_rest(lines, environ, with_torch=not own[0])
        record.set("packages", rest_key)


def requirement_lines(path: Path) -> Iterator[str]:
    """Yield the requirements of a file and of the files it includes, without comments."""
    for raw in path.read_text(encoding="utf-8").splitlines():
        line = raw.split(" #")[0].strip()
        if line.startswith(("-r ", "--requirement ")):
            yield from requirement_lines(path.parent / line.split(maxsplit=1)[1])
        elif line and not line.startswith("#"):
            yield line


def torch_choices(
    pins: Mapping[str, str], environ: Mapping[str, str], *, system: str, has_nvidia: bool
) -> Sequence[Choice]:
    """List the ways to get torch on this machine, best first.

    On Linux PyPI carries the CUDA build, several gigabytes that are of no use without an NVIDIA GPU; so the CPU build
    is looked for in the configured sources, then on PyTorch's own index, before that.

    Args:
        pins: versions of torch and torchvision.
        environ: `TORCH_COMMAND` or `TORCH_INDEX_URL` leave no other choice.
        system: "Linux", "Windows" or "Darwin".
        has_nvidia: whether an NVIDIA driver is present.
    """
    plain = tuple(f"{name}=={version}" for name, version in pins.items())
    if environ.get("TORCH_COMMAND"):
        return (Choice(label="TORCH_COMMAND", packages=(), command=_pip_words(environ["TORCH_COMMAND"])),)
    if environ.get("TORCH_INDEX_URL"):
        options = ("--extra-index-url", environ["TORCH_INDEX_URL"])
        return (Choice(label="TORCH_INDEX_URL", packages=plain, options=options),)
    if system == "Windows" and has_nvidia:
        return (Choice(label="CUDA build", packages=plain, options=("--extra-index-url", CUDA_INDEX)),)
    if system != "Linux" or has_nvidia:
        return (Choice(label="usual build", packages=plain),)
    cpu = tuple(f"{package}+cpu" for package in plain)
    return (
        Choice(label="CPU build", packages=cpu),
        Choice(label="CPU build", packages=(*cpu[:1], *plain[1:])),
        Choice(label="CPU build", packages=cpu, options=("--extra-index-url", CPU_INDEX)),
        Choice(label="usual build, as no CPU build was found", packages=plain),
    )


def has_nvidia() -> bool:
    """Tell whether an NVIDIA driver is present, without loading anything."""
    marks = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/usr/lib/wsl/lib/nvidia-smi")
    return shutil.which("nvidia-smi") is not None or any(Path(mark).exists() for mark in marks)


def _install_torch(lines: Sequence[str], pins: Mapping[str, str], environ: Mapping[str, str], *, replace: bool) -> None:
    choices = torch_choices(pins, environ, system=platform.system(), has_nvidia=has_nvidia())
    if len(choices) > 1:
        _say("Looking for the CPU build of PyTorch, as there is no NVIDIA driver ...")
    choice = next((c for c in choices[:-1] if _available(c)), choices[-1])
    if Path("/dev/kfd").exists() and choice.label == "CPU build":
        _say("For an AMD GPU set TORCH_INDEX_URL to PyTorch's ROCm index and start with --reinstall-torch.")
    with _Timed(f"[1/2] Installing PyTorch ({choice.label})"), _listing(filter(_BARE_PIN.fullmatch, lines)) as limits:
        if choice.command:
            return _run(choice.command)
        if replace:  # pip takes another build of the same version for the one that is asked for
            _pip("install", "--force-reinstall", "--no-deps", *choice.packages, *choice.options)
        _pip("install", *choice.packages, *choice.options, "-c", limits, "-c", str(CONSTRAINTS))


def _install_rest(lines: Sequence[str], environ: Mapping[str, str], *, with_torch: bool) -> None:
    """Install the other packages; torch stays in the list, so that nothing moves it, unless it is the person's own."""
    wanted = [line for line in lines if with_torch or not _PINNED.fullmatch(line)]
    index = ("--index-url", environ["INDEX_URL"]) if environ.get("INDEX_URL") else ()
    with _Timed("[2/2] Installing the other packages"), _listing(wanted) as listing:
        _pip("install", "-r", listing, "-c", str(CONSTRAINTS), *index)


@contextmanager
def _listing(lines: Iterable[str]) -> Iterator[str]:
    """Lend the path of a file with these lines, as pip wants it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requirements.txt"
        path.write_text("\n".join(lines), encoding="utf-8")
        yield str(path)


def _available(choice: Choice) -> bool:
    """Ask pip whether its sources have these packages, without downloading or showing anything."""
    question = ("install", "--dry-run", "--no-deps", "--quiet", "--retries", "1", "--timeout", "15")
    command = [*_PIP, *question, *_PIP_OPTIONS, *choice.packages, *choice.options]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _satisfied(pins: Mapping[str, str]) -> bool:
    """Whether torch and torchvision are there in the pinned versions, of whatever build."""
    for name, version in pins.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return False
        if found.split("+")[0] != version:
            return False
    return True


_PIP = (sys.executable, "-m", "pip")
_PIP_OPTIONS = ("--disable-pip-version-check", "--no-input", "--no-warn-script-location")


def _ensure_pip() -> None:
    """Mend an environment whose making was interrupted, or lacked a package of the system."""
    if importlib.util.find_spec("pip") is not None:
        return
    if subprocess.run((sys.executable, "-m", "ensurepip", "--upgrade"), check=False).returncode != 0:
        version = ".".join(platform.python_version_tuple()[:2])
        raise InstallFailed(
            f"There is no pip in {sys.prefix} and Python cannot provide it. "
            f"Debian and Ubuntu: sudo apt install python{version}-venv. Then start again."
        )


def _pip(action: str, *arguments: str) -> None:
    _run((*_PIP, action, *_PIP_OPTIONS, *arguments))


def _run(command: Sequence[str]) -> None:
    with subprocess.Popen(command) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.wait()  # it got the same signal and tidies up after itself
            raise
    if status != 0:
        raise InstallFailed(
            f"This did not work (exit status {status}):\n  {shlex.join(command)}\n"
            "The lines above say why; often there is no network or no space on the disk. "
            "Start again to continue: what is already installed or downloaded is kept."
        )


def _pip_words(command: str) -> tuple[str, ...]:
    """Let `pip install ...` mean the pip of this environment, as A1111 does."""
    words = shlex.split(command)
    return (*_PIP, *words[1:]) if words[:1] == ["pip"] else tuple(words)


def _words(argv: Sequence[str], environ: Mapping[str, str]) -> frozenset[str]:
    return frozenset([*argv, *environ.get("COMMANDLINE_ARGS", "").split()])


def _pins(lines: Iterable[str]) -> dict[str, str]:
    found = (_PINNED.fullmatch(line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def _constraints() -> list[str]:
    return list(requirement_lines(CONSTRAINTS))


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


class _Timed:
    """Say when a step starts and how long it took."""

    def __init__(self, label: str) -> None:
        self.label = label

    def __enter__(self) -> None:
        self.started = time.monotonic()
        _say(f"{self.label} ...")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            _say(f"{self.label}: done in {time.monotonic() - self.started:.0f} s")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
