"""The command line as somebody types it, and as `/sdapi/v1/cmd-flags` shows it."""

import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from modules import cli
from modules.cli_flags import FLAGS, Kind, Status

ROOT = Path(__file__).resolve().parents[2]


def parse(*argv: str, root: Path = ROOT, **environ: Any) -> cli.LaunchConfig:
    return cli.parse(argv, environ, root=root)


def refused(capsys: pytest.CaptureFixture[str], *argv: str, **environ: Any) -> str:
    with pytest.raises(SystemExit) as stop:
        parse(*argv, **environ)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_defaults_are_those_of_a1111():
    config = parse()
    assert (config.host, config.port, config.is_remote) == ("127.0.0.1", 7860, False)
    assert (config.data_dir, config.models_dir) == (ROOT, ROOT / "models")
    assert config.ui_settings_file == ROOT / "config.json"
    assert config.styles_file == (ROOT / "styles.csv",)
    assert (config.precision, config.sub_quad_q_chunk_size, config.timeout_keep_alive) == ("autocast", 1024, 30)
    assert config.notes == ()


def test_config_is_frozen():
    with pytest.raises(FrozenInstanceError):
        parse().port = 1  # type: ignore[misc]


def test_port_without_interface_is_another_one():
    assert parse("--nowebui").port == 7861
    assert parse("--nowebui", "--port", "80").port == 80


def test_arguments_of_the_environment_come_last_and_are_split_like_a_shell():
    config = parse("--port", "1", COMMANDLINE_ARGS='--port 2 --ckpt-dir "/my models/x"')
    assert (config.port, config.ckpt_dir) == (2, Path("/my models/x"))


def test_broken_quotes_in_the_environment_are_named(capsys: pytest.CaptureFixture[str]):
    assert "COMMANDLINE_ARGS: No closing quotation" in refused(capsys, COMMANDLINE_ARGS="--ckpt 'a")


def test_unknown_flags_stop_the_program_unless_told_otherwise(capsys: pytest.CaptureFixture[str]):
    assert "--sahre" in refused(capsys, "--sahre")
    config = parse("--sahre", "--api", IGNORE_CMD_ARGS_ERRORS="")
    assert config.api
    assert config.notes == ("--sahre: unknown, ignored",)


@pytest.mark.parametrize("flag", [f for f in FLAGS if f.kind is Kind.SWITCH], ids=lambda f: f.name)
def test_every_switch_does_what_its_status_says(flag, capsys: pytest.CaptureFixture[str]):
    if flag.status is Status.REFUSED:
        assert flag.name in refused(capsys, flag.name)
        return
    config = parse(flag.name)
    expected = (f"{flag.name}: not supported yet",) if flag.status is Status.PLANNED else ()
    assert config.notes == expected
    assert config.flags[flag.dest] is True


def test_config_has_a_field_for_every_flag_that_works_and_no_other():
    working = {flag.dest for flag in FLAGS if flag.status is Status.WORKS}
    assert {item.name for item in fields(cli.LaunchConfig)} - {"flags", "notes"} == working


def test_flags_are_those_of_the_reference(shared_dir: Path):
    text = (shared_dir / "spec" / "cli.md").read_text(encoding="utf-8").split("## 7.")[0]
    rows = re.findall(r"^\| (-.+?) \|", text, re.M)
    named = {name for row in rows for name in re.findall(r"--?[\w-]+", row)}
    named |= set(re.findall(r"--[\w-]+", text[text.index("AMD fork only:") :].splitlines()[0]))
    known = {flag.name for flag in FLAGS} | {flag.alias for flag in FLAGS}
    assert len(named) > 126
    assert named <= known


def test_folders_follow_the_data_folder(tmp_path: Path):
    flags = parse("--data-dir", str(tmp_path)).flags
    assert flags["models_dir"] == str(tmp_path / "models")
    assert flags["lora_dir"] == str(tmp_path / "models" / "Lora")
    assert flags["ui_settings_file"] == str(tmp_path / "config.json")
    assert flags["gradio_allowed_path"] == [str(tmp_path)]
    assert parse("--data-dir", str(tmp_path), "--models-dir", "/m").flags["lora_dir"] == str(Path("/m/Lora"))


def test_checkpoint_in_the_program_folder_counts_only_when_it_is_there(tmp_path: Path):
    assert parse(root=tmp_path).ckpt is None
    (tmp_path / "model.ckpt").touch()
    assert parse(root=tmp_path).ckpt == tmp_path / "model.ckpt"
    assert parse("--ckpt", "/no/such").ckpt == Path("/no/such")


def test_lists_take_blanks_commas_and_repetition():
    assert parse("--use-cpu", "SD", "interrogate").use_cpu == {"sd", "interrogate"}
    assert parse("--use-cpu", "all,sd").use_cpu == {"all", "sd"}
    assert parse("--styles-file", "/a.csv", "--styles-file", "/b*.csv").styles_file == (Path("/a.csv"), Path("/b*.csv"))
    assert parse("--freeze-specific-settings", "a, b,").freeze_specific_settings == {"a", "b"}
    assert parse("--cors-allow-origins", "http://a,http://b").cors_allow_origins == ("http://a", "http://b")


def test_logins_come_from_flag_and_file_and_are_never_shown(tmp_path: Path):
    file = tmp_path / "logins"
    file.write_text("u2:p2, u3:p:3\nu4:p4\n", encoding="utf-8")
    config = parse("--gradio-auth", "u1:topsecret", "--gradio-auth-path", str(file), "--api-auth", "a:hushhush")
    assert config.gradio_auth == (("u1", "topsecret"), ("u2", "p2"), ("u3", "p:3"), ("u4", "p4"))
    assert config.api_auth == (("a", "hushhush"),)
    for shown in (repr(config), repr(config.flags)):
        assert "topsecret" not in shown
        assert "hushhush" not in shown
    assert config.flags["api_auth"] == "***"


def test_a_login_without_password_is_refused_without_showing_it(capsys: pytest.CaptureFixture[str]):
    message = refused(capsys, "--api-auth", "u1:p1,onlyuser")
    assert "--api-auth: every login must be user:password (entry 2 is not)" in message
    assert "onlyuser" not in message


def test_missing_login_file_is_named(capsys: pytest.CaptureFixture[str]):
    assert "/no/such/file" in refused(capsys, "--gradio-auth-path", "/no/such/file")


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (("--port", "70000"), "--port: 70000"),
        (("--port", "x"), "--port"),
        (("--precision", "half", "--no-half"), "contradict"),
        (("--timeout-keep-alive", "-1"), "negative"),
        (("--theme", "pink"), "--theme"),
        (("--share",), "--listen with --gradio-auth"),
        (("--ngrok", "tok3n"), "tunnel"),
    ],
)
def test_wrong_values_stop_the_program(argv: tuple[str, ...], part: str, capsys: pytest.CaptureFixture[str]):
    message = refused(capsys, *argv)
    assert part in message
    assert "tok3n" not in message


def test_tls_needs_both_files():
    config = parse("--tls-keyfile", "/k")
    assert (config.tls_keyfile, config.tls_certfile) == (None, None)
    assert "serving without TLS" in config.notes[0]
    assert parse("--tls-keyfile", "/k", "--tls-certfile", "/c").tls_certfile == Path("/c")


@pytest.mark.parametrize(
    ("argv", "host", "remote"),
    [
        (("--listen",), "0.0.0.0", True),
        (("--server-name", "localhost"), "localhost", False),
        (("--server-name", "127.0.0.2"), "127.0.0.2", False),
        (("--server-name", "192.168.1.4"), "192.168.1.4", True),
        (("--server-name", "127.evil.example"), "127.evil.example", True),
        (("--listen", "--server-name", "localhost"), "localhost", True),
    ],
)
def test_remote_means_that_others_can_connect(argv: tuple[str, ...], host: str, remote: bool):
    config = parse(*argv)
    assert (config.host, config.is_remote) == (host, remote)


def test_log_level_falls_back_to_the_environment():
    assert parse(SD_WEBUI_LOG_LEVEL="DEBUG").loglevel == "DEBUG"
    assert parse("--loglevel", "ERROR", SD_WEBUI_LOG_LEVEL="DEBUG").loglevel == "ERROR"


def test_help_and_exit_need_nothing_but_the_standard_library():
    for flag in ("--help", "--exit"):
        command = [sys.executable, "-I", "-S", "webui.py", flag]
        command[3:4] = ["-c", "import sys; sys.path.insert(0, '.'); import webui; sys.exit(webui.main(sys.argv[1:]))"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)
        assert ended.returncode == 0, ended.stderr
    assert (
        "usage: webui.sh"
        in subprocess.run(
            [sys.executable, "webui.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20
        ).stdout
    )
