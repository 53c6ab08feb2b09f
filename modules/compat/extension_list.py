"""`modules.extensions`: the extensions there are."""

from typing import Any

from modules.compat.host import host
from modules.extending import discover


class Extension:
    """An extension, with A1111's names."""

    def __init__(self, known: discover.Extension) -> None:
        self.name, self.path = known.name, str(known.folder)
        self.enabled, self.is_builtin = known.enabled, known.is_builtin
        self.remote, self.branch = known.remote or None, known.branch or None
        self.commit_hash, self.version = known.commit, known.version
        self.canonical_name = known.canonical
        self.status, self.can_update, self.have_info_from_repo = "", False, True
        self.commit_date: Any = None

    def list_files(self, subdir: str, extension: str) -> list[Any]:
        """List the files of one folder."""
        from modules.compat.listing import list_scripts

        return [one for one in list_scripts(subdir, extension) if one.basedir == self.path]

    def read_info_from_repo(self) -> None:
        """Look where it comes from; that is known already."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything."""
        return dict(vars(self))


def extensions_now() -> list[Extension]:
    """Return all extensions."""
    return [Extension(one) for one in host().extensions]


def active() -> list[Extension]:
    """Return the extensions that run."""
    return [Extension(one) for one in host().extensions if one.active]


def list_extensions() -> None:
    """Look for extensions again; a restart does."""
