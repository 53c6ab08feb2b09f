"""Turn the command line and the environment into one frozen `LaunchConfig`; standard library only."""

import argparse
import ipaddress
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from modules.cli_flags import FLAGS, GROUPS, Flag, Kind, Status

ROOT = Path(__file__).resolve().parent.parent
"""The program folder."""

RESTART = 75
"""Exit status of a server that wants to be started again."""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Login = tuple[str, str]
"""User name and password."""

_HIDDEN = "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchConfig:
    """What was asked for when the program was started. Fields are named as in `/sdapi/v1/cmd-flags`."""

    data_dir: Path
    models_dir: Path
    ckpt: Path | None
    """None unless given or `model.ckpt` lies in the program folder."""
    ckpt_dir: Path | None
    vae_dir: Path | None
    vae_path: Path | None
    lora_dir: Path
    lyco_dir_backcompat: Path
    embeddings_dir: Path
    hypernetwork_dir: Path
    ui_settings_file: Path
    styles_file: tuple[Path, ...]
    """Files or wildcards; the first one takes new styles. At least one."""
    gradio_allowed_path: tuple[Path, ...]
    """Folders besides the data folder that pictures may be written to and served from."""

    no_half: bool
    no_half_vae: bool
    precision: str
    """full, half or autocast"""
    medvram: bool
    medvram_sdxl: bool
    lowvram: bool
    use_cpu: frozenset[str]
    """Parts that run on the CPU, in lower case; "all" means every part."""
    device_id: str | None
    disable_nan_check: bool
    disable_safe_unpickle: bool
    opt_channelslast: bool
    no_hashing: bool

    xformers: bool
    force_enable_xformers: bool
    force_upcast_attention: bool
    opt_sdp_attention: bool
    opt_sdp_no_mem_attention: bool
    opt_split_attention: bool
    opt_split_attention_invokeai: bool
    opt_split_attention_v1: bool
    opt_sub_quad_attention: bool
    sub_quad_q_chunk_size: int
    sub_quad_kv_chunk_size: int | None
    sub_quad_chunk_threshold: int | None
    """Percent of GPU memory."""
    disable_opt_split_attention: bool

    listen: bool
    server_name: str | None
    port: int
    subpath: str | None
    gradio_auth: tuple[Login, ...] = field(repr=False)
    """Logins of the interface, from `--gradio-auth` and `--gradio-auth-path`."""
    gradio_auth_path: Path | None
    api_auth: tuple[Login, ...] = field(repr=False)
    cors_allow_origins: tuple[str, ...]
    cors_allow_origins_regex: str | None
    tls_keyfile: Path | None
    """Either both TLS files are set or none."""
    tls_certfile: Path | None
    timeout_keep_alive: int
    """Seconds."""
    shutdown_timeout: int
    """Seconds."""
    api: bool
    nowebui: bool
    api_log: bool
    metrics: bool
    api_server_stop: bool

    autolaunch: bool
    theme: str | None
    """light or dark"""
    hide_ui_dir_config: bool
    freeze_settings: bool
    freeze_settings_in_sections: frozenset[str]
    freeze_specific_settings: frozenset[str]
    skip_load_model_at_start: bool
    no_prompt_history: bool
    disable_all_extensions: bool
    disable_extra_extensions: bool
    update_all_extensions: bool
    enable_insecure_extension_access: bool

    loglevel: str | None
    log_startup: bool
    exit: bool
    skip_install: bool
    skip_prepare_environment: bool
    skip_python_version_check: bool
    reinstall_torch: bool

    flags: Mapping[str, Json] = field(repr=False)
    """Every flag by its name in `/sdapi/v1/cmd-flags`, with passwords and tokens replaced by stars."""
    notes: tuple[str, ...] = ()
    """Lines to show at start: flags without effect and what was done instead."""

    @property
    def host(self) -> str:
        """Address to bind to."""
        return self.server_name or ("0.0.0.0" if self.listen else "127.0.0.1")

    @property
    def is_remote(self) -> bool:
        """Whether other machines can reach this server."""
        return self.listen or not (self.server_name is None or _is_loopback(self.server_name))


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of every flag; a flag that is not given leaves no attribute behind."""
    parser = argparse.ArgumentParser(
        prog="webui",
        usage="webui.sh [flags]",
        description="A Stable Diffusion web UI. Flags may also be given in the environment variable COMMANDLINE_ARGS.",
        argument_default=argparse.SUPPRESS,
    )
    for title, flags in GROUPS:
        group = parser.add_argument_group(title)
        for flag in flags:
            _add(group, flag)
    return parser


def parse(
    argv: Sequence[str], environ: Mapping[str, str], *, root: Path = ROOT, parser: argparse.ArgumentParser | None = None
) -> LaunchConfig:
    """Read the command line.

    Args:
        argv: arguments without the program's name.
        environ: `COMMANDLINE_ARGS` is split like a shell does and appended, `SD_WEBUI_LOG_LEVEL` stands in for
            `--loglevel`, `IGNORE_CMD_ARGS_ERRORS` makes unknown flags harmless, and `SD_WEBUI_RESTARTING` opens no second
            browser.
        root: program folder.
        parser: one made by `build_parser`, when somebody added flags to it.

    Raises:
        SystemExit: after `--help`, or with status 2 and a message on standard error for a wrong command line.
    """
    parser = parser or build_parser()
    try:
        arguments = [*argv, *split_arguments(environ.get("COMMANDLINE_ARGS", ""))]
    except ValueError as error:
        parser.error(f"COMMANDLINE_ARGS: {error}")
    known, unknown = parser.parse_known_args(arguments)
    notes = [f"{word}: unknown, ignored" for word in unknown]
    if unknown and "IGNORE_CMD_ARGS_ERRORS" not in environ:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    given = vars(known)
    for flag in FLAGS:
        if flag.dest in given and flag.status is Status.REFUSED:
            parser.error(f"{flag.name}: {flag.help}")
        is_own = parser.get_default(flag.dest) == argparse.SUPPRESS  # not one that an extension took over
        if flag.dest in given and flag.status is Status.PLANNED and is_own:
            notes.append(f"{flag.name}: not supported yet")
    values = _with_defaults(given, root)
    if values["loglevel"] is None:
        values["loglevel"] = environ.get("SD_WEBUI_LOG_LEVEL")
    if environ.get("SD_WEBUI_RESTARTING"):
        values["autolaunch"] = False
    _check(parser, values, notes)
    shown = {name: _shown(name, value) for name, value in {**_added(given), **values}.items()}
    return _config(parser, values, given, root, shown, notes)


def _added(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of flags that extensions added to the parser."""
    known = {flag.dest for flag in FLAGS}
    return {name: value for name, value in given.items() if name not in known}


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost"


def _add(group: Any, flag: Flag) -> None:
    names = [flag.name] if flag.alias is None else [flag.name, flag.alias]
    shape: dict[Kind, dict[str, Any]] = {
        Kind.SWITCH: {"action": "store_true"},
        Kind.TEXT: {},
        Kind.MAYBE: {"nargs": "?"},
        Kind.PATH: {"metavar": "PATH"},
        Kind.INT: {"type": int, "metavar": "N"},
        Kind.JSON: {"type": json.loads, "metavar": "JSON"},
        Kind.WORDS: {"nargs": "+", "metavar": "NAME"},
        Kind.PATHS: {"action": "append", "metavar": "PATH"},
    }
    about = flag.help + (" (not supported yet)" if flag.status is Status.PLANNED else "")
    choices = {} if flag.choices is None else {"choices": flag.choices}
    group.add_argument(*names, dest=flag.dest, help=about, **shape[flag.kind], **choices)


def split_arguments(text: str) -> list[str]:
    """Split like a POSIX shell, except that on Windows a backslash is part of a path."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    if os.name == "nt":
        lexer.escape = ""
    return list(lexer)


def _with_defaults(given: Mapping[str, Any], root: Path) -> dict[str, Any]:
    places = {"ROOT": root, "DATA": _absolute(given.get("data_dir", root))}
    places["MODELS"] = _absolute(given.get("models_dir", places["DATA"] / "models"))
    values: dict[str, Any] = {}
    for flag in FLAGS:
        value = given.get(flag.dest)
        if flag.kind is Kind.PATH:
            values[flag.dest] = _placed(flag.default, places) if value is None else _absolute(value)
        elif flag.kind is Kind.PATHS:
            defaults = flag.default if isinstance(flag.default, tuple) else ()
            values[flag.dest] = [*(_placed(d, places) for d in defaults), *map(_absolute, value or ())]
        elif flag.kind is Kind.WORDS:
            values[flag.dest] = [w.lower() for part in value or () for w in part.split(",") if w]
        else:
            values[flag.dest] = given.get(flag.dest, flag.default)
    values["ngrok_options"] = values["ngrok_options"] or {}
    return values


def _placed(default: Any, places: Mapping[str, Path]) -> Path | None:
    if default is None:
        return None
    first, _, rest = str(default).partition("/")
    return places[first] / rest if first in places else Path(default)


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def _check(parser: argparse.ArgumentParser, values: dict[str, Any], notes: list[str]) -> None:
    """Complete and cross-check values in place, so that what is shown is what is used."""
    if values["port"] is None:
        values["port"] = 7861 if values["nowebui"] else 7860
    if not 0 <= values["port"] <= 65535:
        parser.error(f"--port: {values['port']} is not between 0 and 65535")
    if values["precision"] == "half" and values["no_half"]:
        parser.error("--precision half and --no-half contradict each other; leave one out")
    for name in ("shutdown_timeout", "timeout_keep_alive"):
        if values[name] < 0:
            parser.error(f"--{name.replace('_', '-')}: seconds cannot be negative")
    if (values["tls_keyfile"] is None) != (values["tls_certfile"] is None):
        notes.append("--tls-keyfile and --tls-certfile: both are needed; serving without TLS")
        values["tls_keyfile"] = values["tls_certfile"] = None


def _shown(name: str, value: Any) -> Json:
    if value and any(flag.dest == name and flag.secret for flag in FLAGS):
        return _HIDDEN
    if isinstance(value, Path):
        return str(value)
    return [_shown("", item) for item in value] if isinstance(value, list) else value


def _config(
    parser: argparse.ArgumentParser,
    values: Mapping[str, Any],
    given: Mapping[str, Any],
    root: Path,
    shown: Mapping[str, Json],
    notes: Sequence[str],
) -> LaunchConfig:
    ckpt: Path = values["ckpt"]
    typed: dict[str, Any] = {item.name: values[item.name] for item in fields(LaunchConfig) if item.name in values}
    typed |= {
        "ckpt": ckpt if "ckpt" in given or ckpt.is_file() else None,
        "gradio_allowed_path": tuple(values["gradio_allowed_path"]),
        "styles_file": tuple(values["styles_file"]) or (values["data_dir"] / "styles.csv",),
        "use_cpu": frozenset(values["use_cpu"]),
        "gradio_auth": _logins(parser, "--gradio-auth", values["gradio_auth"] or "")
        + _logins(parser, "--gradio-auth-path", _text_of(parser, "--gradio-auth-path", values["gradio_auth_path"])),
        "api_auth": _logins(parser, "--api-auth", values["api_auth"] or ""),
        "cors_allow_origins": tuple(_names(values["cors_allow_origins"])),
        "freeze_settings_in_sections": frozenset(_names(values["freeze_settings_in_sections"])),
        "freeze_specific_settings": frozenset(_names(values["freeze_specific_settings"])),
    }
    return LaunchConfig(**typed, flags=shown, notes=tuple(notes))


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _text_of(parser: argparse.ArgumentParser, flag: str, path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        _fail(parser, f"{flag}: cannot read {path} ({error})")


def _logins(parser: argparse.ArgumentParser, flag: str, text: str) -> tuple[Login, ...]:
    logins: list[Login] = []
    for entry in _names(text.replace("\n", ",").replace("\r", ",")):
        user, colon, password = entry.partition(":")
        if not (colon and user and password):
            _fail(parser, f"{flag}: every login must be user:password (entry {len(logins) + 1} is not)")
        logins.append((user, password))
    return tuple(logins)


def _fail(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    parser.error(message)
