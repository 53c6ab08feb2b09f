"""The view over a program that does not run: for what extensions do before it starts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from modules.compat.join import Compat
from modules.compat.mount import mount, unmount
from modules.files.layout import Layout
from modules.settings.store import SettingsStore


def mount_idle(layout: Layout, flags: Mapping[str, Any]) -> None:
    """Mount the view: folders, flags and settings are there, anything that needs the program itself is refused.

    Args:
        layout: where everything lies.
        flags: command line values by A1111's names.
    """
    compat = Compat(
        layout=layout, settings=SettingsStore(layout.settings_file), catalog=None,  # pyright: ignore[reportArgumentType]
        flags=flags, workshop=_refuse, services=_refuse,
    )  # fmt: skip
    mount(compat.host())


@contextmanager
def idle_view(layout: Layout) -> Iterator[None]:
    """Mount the view for a while; afterwards nothing of it is left."""
    mount_idle(layout, {})
    try:
        yield
    finally:
        unmount()


def _refuse() -> Any:
    raise RuntimeError("the program does not run yet; only its folders, flags and settings are known")
