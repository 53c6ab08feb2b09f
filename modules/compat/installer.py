"""Run the `install.py` of an extension with the legacy names in place: `python -m modules.compat.installer FILE`."""

import os
import runpy
import sys
from pathlib import Path
from typing import Any


def main(path: str) -> None:
    """Mount the view over a program that does not run, and run a file."""
    from modules import cli
    from modules.compat.join import Compat
    from modules.compat.mount import mount
    from modules.files.layout import Layout
    from modules.settings.store import SettingsStore

    os.environ.setdefault("IGNORE_CMD_ARGS_ERRORS", "1")
    config = cli.parse([], os.environ)
    layout = Layout.of(cli.ROOT, config.data_dir, config.models_dir)
    compat = Compat(
        layout=layout, settings=SettingsStore(layout.settings_file), catalog=None,  # pyright: ignore[reportArgumentType]
        flags=dict(config.flags), workshop=_nothing, services=_nothing,
    )  # fmt: skip
    mount(compat.host())
    sys.path.insert(0, str(Path(path).parent))
    sys.argv = [path]
    runpy.run_path(path, run_name="__main__")


def _nothing() -> Any:
    raise RuntimeError("an installer runs outside of the program")


if __name__ == "__main__":
    main(sys.argv[1])
