"""Start the program: read the command line, then serve until told to stop.

Nothing heavy is imported here; the server answers before the networks' libraries are loaded.
"""

import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from modules import cli
from modules.compat.early import parser_with_flags

OLDEST, NEWEST = (3, 11), (3, 13)


def main(argv: Sequence[str]) -> int:
    """Run the program and return its exit status."""
    config = cli.parse(argv, os.environ, parser=parser_with_flags(argv, os.environ))
    for line in config.notes:
        sys.stderr.write(f"{line}\n")
    if not (config.skip_python_version_check or OLDEST <= sys.version_info[:2] <= NEWEST):
        sys.stderr.write(f"Python {sys.version.split()[0]} is not supported; use 3.11, 3.12 or 3.13.\n")
        return 1
    if config.exit:
        return 0
    # Analytics of gradio would be a request to the internet at every start.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

    from modules.app import serve
    from modules.domain.errors import WebuiError

    try:
        return serve(config)
    except WebuiError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def start_again() -> NoReturn:
    """Replace this process by a new one with the same command line."""
    os.environ["SD_WEBUI_RESTARTING"] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, *sys.orig_argv[1:]]
    if os.name == "nt":  # There a replaced process loses the console.
        import subprocess

        leave(subprocess.call(command))
    os.execv(command[0], command)


def leave(status: int) -> NoReturn:
    """End the process without taking the interpreter apart.

    A thread that still imports torch or loads a model would abort it. Everything that has to be closed is by now.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    if ended == cli.RESTART:
        start_again()
    leave(ended)
