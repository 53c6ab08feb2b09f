"""Flags of extensions, before the command line is read: what `preload.py` files add to the parser."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from modules import cli
from modules.compat.preload import FILE, add_flags
from modules.extending.discover import Mode, discover
from modules.files.layout import Layout


def parser_with_flags(
    argv: Sequence[str], environ: Mapping[str, str], *, root: Path = cli.ROOT
) -> argparse.ArgumentParser | None:
    """Return a parser that knows the flags of extensions; None when none of them adds any.

    Args:
        argv: arguments without the program's name.
        environ: for `COMMANDLINE_ARGS`.
        root: program folder.
    """
    words = [*argv, *_more(environ)]
    layout = _layout(words, root)
    folders = (layout.extensions_builtin, layout.extensions)
    if not any(folder.is_dir() and any(folder.glob(f"*/{FILE}")) for folder in folders):
        return None
    mode, disabled = _switched_off(words, layout.settings_file)
    from modules.compat.idle import idle_view

    parser = cli.build_parser()
    with idle_view(layout):
        add_flags(parser, discover(*folders, disabled=disabled, mode=mode))
    return parser


def _more(environ: Mapping[str, str]) -> list[str]:
    try:
        return cli.split_arguments(environ.get("COMMANDLINE_ARGS", ""))
    except ValueError:  # told when the command line is read
        return []


def _layout(words: Sequence[str], root: Path) -> Layout:
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--ui-settings-file", type=Path)
    given = vars(parser.parse_known_args(list(words))[0])
    places = {"settings_file": given["ui_settings_file"]} if "ui_settings_file" in given else {}
    return Layout.of(root, given.get("data_dir"), given.get("models_dir"), places)


def _switched_off(words: Sequence[str], settings: Path) -> tuple[Mode, tuple[str, ...]]:
    """Return what the command line and the settings switch off."""
    try:
        saved = json.loads(settings.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        saved = {}
    if "--disable-all-extensions" in words or saved.get("disable_all_extensions") == "all":
        return Mode.ALL, ()
    if "--disable-extra-extensions" in words or saved.get("disable_all_extensions") == "extra":
        return Mode.EXTRA, ()
    return Mode.NONE, tuple(str(one) for one in saved.get("disabled_extensions") or ())
