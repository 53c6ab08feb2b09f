"""Run the `install.py` of an extension among the legacy names: `python -m modules.compat.installer FILE FLAGS...`."""

import os
import runpy
import subprocess
import sys
from pathlib import Path


def main(path: str, *flags: str) -> None:
    """Mount the view over a program that does not run, and run a file.

    Args:
        path: of the file.
        flags: that tell where the program has its folders.
    """
    from modules import cli
    from modules.compat import piecewise
    from modules.compat.idle import mount_idle
    from modules.files.layout import Layout

    os.environ.setdefault("IGNORE_CMD_ARGS_ERRORS", "1")
    config = cli.parse(flags, os.environ)
    mount_idle(Layout.of(cli.ROOT, config.data_dir, config.models_dir), dict(config.flags))
    subprocess.Popen = piecewise.Popen  # this process runs nothing else
    sys.path.insert(0, str(Path(path).parent))
    sys.argv = [path]
    runpy.run_path(path, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
