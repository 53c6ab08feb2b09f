"""A1111's `modules.launch_utils`."""

from modules.compat.facade import compute
from modules.compat.host import host as _host
from modules.compat.launching import GIT as git  # noqa: N811 - A1111's names
from modules.compat.launching import PYTHON as python  # noqa: N811
from modules.compat.launching import (
    check_run,
    check_run_python,
    commit_hash,
    git_clone,
    git_tag,
    is_installed,
    list_extensions,
    repo_dir,
    requirements_met,
    run,
    run_pip,
)

__all__ = [
    "check_run", "check_run_python", "commit_hash", "git", "git_clone", "git_tag", "is_installed", "list_extensions",
    "python", "repo_dir", "requirements_met", "run", "run_pip",
]  # fmt: skip

skip_install = False
index_url = ""
default_command_live = False
compute(
    __name__,
    {
        "args": lambda: _host().flags,
        "dir_repos": lambda: str(_host().layout.repositories),
        "script_path": lambda: str(_host().layout.root),
        "extensions_dir": lambda: str(_host().layout.extensions),
    },
)
