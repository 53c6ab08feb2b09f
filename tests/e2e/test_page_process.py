"""The page as people start it behind a proxy, over TLS, with logins."""

import os
import shutil
import stat
import subprocess
import time
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.e2e.process import Program, data_folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the browser that is opened is a shell script")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Make a key and a certificate that it signed itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, crt = tmp_path / "key.pem", tmp_path / "crt.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(crt)], check=True, capture_output=True)
    return key, crt


def recorder(folder: Path) -> tuple[Path, Path]:
    """Make a browser that only writes down what it is asked to open."""
    opened, script = folder / "opened.txt", folder / "browser.sh"
    script.write_text(f'#!/bin/sh\necho "$1" > {opened}\n', encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return opened, script


def log_in(page: Program, user: str, password: str) -> tuple[int, str]:
    """Fill in gradio's login form; return the status and the cookies to send from then on."""
    connection = page._connect()
    form = urlencode({"username": user, "password": password})
    headers = {"content-type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/deep/login", form, headers)
    answer = connection.getresponse()
    cookies = SimpleCookie("; ".join(answer.headers.get_all("set-cookie") or []))
    connection.close()
    return answer.status, "; ".join(f"{name}={one.value}" for name, one in cookies.items())


def answer_to(page: Program, path: str, cookies: str) -> tuple[int, bytes]:
    connection = page._connect()
    connection.request("GET", path, headers={"cookie": cookies})
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


def test_logins_tls_subpath_theme_and_browser(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    opened, browser = recorder(tmp_path)
    key, crt = certificate
    argv = ["--subpath", "/deep", "--gradio-auth", "ann:secret", "--theme", "dark", "--autolaunch"]
    argv += ["--tls-keyfile", str(key), "--tls-certfile", str(crt), "--skip-load-model-at-start"]
    page = Program(data_folder(tmp_path, "toy.safetensors"), *argv, environ={"BROWSER": f"{browser} %s"})
    try:
        page.wait("/deep/internal/ping")
        deadline = time.monotonic() + 90
        while not opened.exists() and time.monotonic() < deadline:
            assert page.process.poll() is None, page.told()
            time.sleep(0.1)
        address = f"https://127.0.0.1:{page.port}/deep"
        assert opened.read_text().strip() == address
        assert f"Open {address} in a browser" in page.told()

        assert page.ask("GET", "/deep/")[0] == 200
        for path in ("/deep/internal/jobs", "/internal/jobs", "/deep/internal/ui/settings", "/internal/ui/settings"):
            assert page.ask("GET", path)[0] == 401, path
            assert page.ask("GET", path, login="ann:secret")[0] == 200, path
        assert page.ask("GET", "/deep/internal/ui/assets/main.js")[0] == 200
        assert log_in(page, "ann", "wrong")[0] == 400
        status, cookies = log_in(page, "ann", "secret")
        assert status == 200
        assert answer_to(page, "/deep/internal/jobs", cookies)[0] == 200
        assert answer_to(page, "/deep/internal/jobs", "")[0] == 401
        assert b'"__theme", "dark"' in answer_to(page, "/deep/", cookies)[1].replace(b'\\"', b'"')
        assert "Traceback" not in page.told()
        assert "secret" not in page.told()
    finally:
        page.process.kill()
        page.process.wait(10)
