"""Call pip; what it cannot have all together is asked for piece by piece: `python piecewise.py install ...`.

Lists of extensions are old: one entry that cannot lie beside the packages of this program keeps pip from installing all
the others. So each entry is tried by itself then, and without its extras. Standard library only, as this runs as a file.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

WITH_VALUE = frozenset({
    "-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-t", "--target", "--prefix",
    "--root", "--src", "--timeout", "--retries", "--proxy", "--cert", "--client-cert", "--trusted-host", "--cache-dir",
    "--log", "--upgrade-strategy", "--no-binary", "--only-binary", "--platform", "--python-version", "--implementation",
    "--abi", "--config-settings", "--use-feature", "--use-deprecated", "--progress-bar", "--report", "--exists-action",
})  # fmt: skip
"""Options of pip whose value is the next word."""
_LISTS, _EDITABLE = ("-r", "--requirement"), ("-e", "--editable")
_EXTRAS = re.compile(r"^([\w.-]+)\s*\[[^\]]*\]")
_PIP = re.compile(r"pip3?(\.\d+)?(\.exe)?$")
_NO_NETWORK = "Retrying (Retry("
"""What pip says when it cannot reach an index; asking again for each piece would only take longer."""

Entry = tuple[str, ...]


def main(words: Sequence[str]) -> int:
    """Install together, else one by one; return pip's status, 1 when something is left out."""
    status, said = _pip(words)
    options, entries = split(words)
    if status == 0 or _NO_NETWORK in said or not (len(entries) > 1 or any(map(without_extras, entries))):
        return status
    _say(f"They cannot be had together beside the packages of this program; each of {len(entries)} is tried by itself.")
    left_out = [shlex.join(entry) for entry in entries if not _had(options, entry)]
    if left_out:
        _say(f"ERROR: not installed, as nothing fits beside the packages of this program: {', '.join(left_out)}")
    return 1 if left_out else 0


def split(words: Sequence[str]) -> tuple[list[str], list[Entry]]:
    """Return the options of a call of pip, its action among them, and what is to be installed."""
    options, entries, rest = list(words[:1]), list[Entry](), list(words[1:])
    while rest:
        word = rest.pop(0)
        name, is_joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in (*_LISTS, *_EDITABLE):
            value = value if is_joined else rest.pop(0) if rest else ""
            if name in _EDITABLE:
                entries.append((name, value))
            else:
                more, listed = split(["", *_listed(Path(value))])
                options, entries = [*options, *more[1:]], [*entries, *listed]
        elif word.startswith("-"):
            options += [word, rest.pop(0)] if word in WITH_VALUE and rest else [word]
        else:
            entries.append((word,))
    return options, entries


def without_extras(entry: Entry) -> Entry | None:
    """Return an entry without what its package offers on top; None for one that asks for nothing of that."""
    plain = _EXTRAS.sub(r"\1", entry[0])
    return (plain,) if plain != entry[0] else None


def in_place_of(command: Any) -> list[str] | None:
    """Return the command that calls this file instead of `pip install`; None for another command."""
    if isinstance(command, str):
        try:
            words = [] if os.name == "nt" or re.search(r"[|&;<>$`\n]", command) else shlex.split(command)
        except ValueError:
            return None
    else:
        words = [os.fspath(one) for one in command] if isinstance(command, Iterable) else []
    if words[1:4] == ["-m", "pip", "install"]:
        return [words[0], "-P", __file__, *words[3:]]
    if words[1:2] == ["install"] and _PIP.search(Path(words[0]).name):
        return [sys.executable, "-P", __file__, *words[1:]]
    return None


class Popen(subprocess.Popen[Any]):
    """A process; one that would call pip calls this file."""

    def __init__(self, args: Any, *rest: Any, **more: Any) -> None:
        instead = in_place_of(args)
        if instead is not None:
            more["shell"] = False
        super().__init__(args if instead is None else instead, *rest, **more)


def _listed(path: Path) -> Iterator[str]:
    """Yield the words of a requirements file; what it includes is sought beside it."""
    try:
        lines = path.read_text(encoding="utf-8-sig").replace("\\\n", " ").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for raw in lines:
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        name, _, value = line.replace("=", " ", 1).partition(" ") if line.startswith("-") else ("", "", "")
        if name in (*_LISTS, "-c", "--constraint"):
            yield from (name, str(path.parent / value.strip()))
        elif line.startswith("-"):
            yield from shlex.split(line)
        elif line:
            yield line


def _had(options: Sequence[str], entry: Entry) -> bool:
    plain = without_extras(entry)
    return _pip([*options, *entry])[0] == 0 or (plain is not None and _pip([*options, *plain])[0] == 0)


def _pip(words: Sequence[str]) -> tuple[int, str]:
    """Call pip, pass on what it says, and return its status and that."""
    said: list[str] = []
    command = (sys.executable, "-m", "pip", *words)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    ) as process:
        for line in process.stdout or ():
            said.append(line)
            sys.stdout.write(line)
            sys.stdout.flush()
    return process.returncode, "".join(said)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
