"""The folder button: shows where results lie, in the file manager of the machine itself."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from modules.domain.errors import InvalidRequest, PathRefused
from modules.domain.extras import KIND as EXTRAS
from modules.domain.result import Produced
from modules.files.atomic import make_folder
from modules.settings.snapshot import Snapshot
from modules.web.ui.context import UiContext
from modules.web.ui.values import IMG2IMG

MANAGERS = {"darwin": ("open",), "win32": ("explorer.exe",)}
"""By platform; everywhere else it is xdg-open, or Windows' own inside its subsystem for Linux."""
OTHERS = (("xdg-open",), ("explorer.exe",))

Start = Callable[[Sequence[str]], object]


def start(command: Sequence[str]) -> object:
    """Start a program and leave it alone."""
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def open_folder(context: UiContext, tab: str, selected: Produced | None, run: Start = start) -> Path:
    """Show a folder of results in the file manager.

    Args:
        context: says whether whoever asks may sit elsewhere.
        tab: whose results.
        selected: the selected picture, if there is one.
        run: starts the file manager.

    Returns:
        The folder.

    Raises:
        PathRefused: other machines can reach this server, or the owner hides folders.
        InvalidRequest: there is no file manager.
    """
    if context.remote or context.hides_folders:
        raise PathRefused("folders are opened only where nobody else can ask for it; start without --listen")
    folder = make_folder(folder_of(context, tab, selected, context.services.settings.snapshot()))
    command = _manager()
    if command is None:
        raise InvalidRequest(f"there is no program here that shows folders; the pictures are in {folder}")
    run([*command, str(folder)])
    return folder


def folder_of(context: UiContext, tab: str, selected: Produced | None, settings: Snapshot) -> Path:
    """Return the folder that the button means: that of the selected picture, or the one of the tab."""
    paths = settings.paths
    own = {IMG2IMG: paths.outdir_img2img_samples, EXTRAS: paths.outdir_extras_samples}
    root = context.keeper.folders.resolve(paths.outdir_samples or own.get(tab, paths.outdir_txt2img_samples))
    if settings.ui.open_dir_button_choice == "Output Root" or selected is None or selected.saved_as is None:
        return root
    return selected.saved_as.parent


def _manager() -> tuple[str, ...] | None:
    wanted = [MANAGERS[sys.platform]] if sys.platform in MANAGERS else OTHERS
    return next((one for one in wanted if shutil.which(one[0])), None)
