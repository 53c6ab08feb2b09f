"""What gradio's own routes take from a browser: uploads, ranges, calls of components."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from modules import cli
from modules.web.server import attach_services, create_app
from modules.web.ui.context import UiContext
from modules.web.ui.interface import Interface
from modules.web.ui.page import Page
from tests.engine.fakes import png
from tests.web.rest_house import ORIGIN, rest_house
from tests.web.ui_house import ui_context

PRIVATE = b"nobody else may read this"


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


def built(context: UiContext, logins: Sequence[cli.Login]) -> Page:
    from modules.web.ui.build import application

    return application(context, logins)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, uploads: Path) -> Iterator[TestClient]:
    """Serve the page as the program does."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch, rest_house(folder) as house:
        patch.setenv("GRADIO_TEMP_DIR", str(uploads))
        app = create_app(cli.parse([], {}, root=folder))
        interface = Interface(app)
        attach_services(app, house.services)
        with TestClient(app, base_url=ORIGIN, raise_server_exceptions=False) as client:
            interface.load(ui_context(house, uploads), built)
            yield client


def sent(client: TestClient, name: str, count: int = 1) -> Any:
    files = [("files", (name, png(4, 4, ""), "image/png"))] * count
    return client.post("/gradio_api/upload", files=files)


@pytest.mark.parametrize("name", ["../../x.png", "/etc/x.png", "..\\..\\x.png", "a/../../../x.png", "x.png"])
def test_an_upload_stays_in_its_folder(served: TestClient, uploads: Path, name: str) -> None:
    answer = sent(served, name)
    assert answer.status_code == 200
    for path in answer.json():
        assert Path(path).resolve().is_relative_to(uploads.resolve())
        assert Path(path).is_file()


def test_a_link_in_the_outputs_is_not_followed(served: TestClient, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    (tmp_path / "private.txt").write_bytes(PRIVATE)
    (outputs / "link.png").symlink_to(tmp_path / "private.txt")
    for path in (outputs / "link.png", tmp_path / "private.txt"):
        answer = served.get(f"/gradio_api/file={path}")
        assert answer.status_code in (403, 404)
        assert PRIVATE not in answer.content


def test_a_link_among_uploads_does_not_lead_out(served: TestClient, uploads: Path, tmp_path: Path) -> None:
    (tmp_path / "private.txt").write_bytes(PRIVATE)
    (uploads / "link.txt").symlink_to(tmp_path / "private.txt")
    answer = served.get(f"/gradio_api/file={uploads / 'link.txt'}")
    assert PRIVATE not in answer.content


def quick(call: Any, *args: Any, **more: Any) -> Any:
    began = time.monotonic()
    answer = call(*args, **more)
    assert time.monotonic() - began < 3
    return answer


def test_many_parts_are_refused(served: TestClient) -> None:
    assert 400 <= quick(sent, served, "x.png", 3000).status_code < 500


@pytest.mark.parametrize(
    ("boundary", "body"),
    [
        ("a" * 200_000, b"--" + b"a" * 200_000 + b"\r\n"),
        ("a" * 2000, b"--" + b"a" * 2000 + b"\r\n"),
        ("b", b"--b" + b"\r\n" * 100_000),
        ("b", b"\r\n" + b"x" * 200_000),
        ("b", b"--b\r\n" + b"x" * 200_000),
        ("", b"--\r\n\r\n"),
    ],
)
def test_hostile_boundaries_end_at_once(served: TestClient, boundary: str, body: bytes) -> None:
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    answer = quick(served.post, "/gradio_api/upload", content=body, headers=headers)
    assert (answer.status_code == 200 and answer.json() == []) or 400 <= answer.status_code < 500


def test_many_ranges_do_no_harm(served: TestClient) -> None:
    (path,) = sent(served, "ranged.png").json()
    for count, status in ((1, 206), (2, 200), (1000, 200), (20_000, 431)):
        ranges = "bytes=" + ",".join(f"{at}-{at}" for at in range(count))
        answer = quick(served.get, f"/gradio_api/file={path}", headers={"range": ranges})
        assert answer.status_code == status
        assert len(answer.content) < 10_000


@pytest.mark.parametrize("name", ["__init__", "_private", "postprocess", "__class__", ""])
def test_components_answer_to_no_private_call(served: TestClient, name: str) -> None:
    config = served.get("/config").json()
    for component in config["components"][:40:10]:
        body = {"data": [], "session_hash": "x", "component_id": component["id"], "fn_name": name}
        answer = served.post("/gradio_api/component_server", json=body)
        assert 400 <= answer.status_code < 500, answer.text
