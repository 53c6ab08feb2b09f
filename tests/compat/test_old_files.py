"""`/file=`: what page scripts get by its place on disk, and what nobody gets."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from modules.compat import old_files
from modules.web.ui.loops import make_no_loops
from tests.compat.zoo_house import ZooHouse, zoo_house

pytestmark = pytest.mark.slow

OPEN = {
    "tags/words.csv": b"a,b", "tags/list.json": b"{}", "html/page.html": b"<p>", "keyboard.txt": b"words",
}  # fmt: skip
CLOSED = {
    "scripts/code.py": b"x = 1", ".git/notes.txt": b"x", "config.json": b"{}", "civitai_api_key.txt": b"x",
    "tags/.hidden.csv": b"x", "store.sqlite": b"x", "secrets.yaml": b"x", "noending": b"x",
}  # fmt: skip


Opened = tuple[ZooHouse, Path, TestClient]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    extensions = tmp_path_factory.mktemp("zoo")
    folder = extensions / "filer"
    for name, data in {**OPEN, **CLOSED}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (extensions / "outside.txt").write_text("outside")
    (folder / "way-out.txt").symlink_to(extensions / "outside.txt")
    (folder / "scripts" / "code.py").write_text("from modules import script_callbacks\n")
    make_no_loops()
    data = tmp_path_factory.mktemp("data")
    with zoo_house(data, zoo=extensions) as found:
        app = FastAPI()
        app.include_router(old_files.router())
        with TestClient(app) as client:
            yield found, folder, client


def test_files_of_extensions_that_page_scripts_read(zoo: Opened):
    _, folder, client = zoo
    for name, content in OPEN.items():
        answer = client.get(f"/file={folder}/{name}?12345")
        assert (answer.status_code, answer.content) == (200, content), name
    assert client.get(f"/file={folder}/tags/words.csv").headers["content-type"].startswith("text/csv")


def test_files_that_extensions_leave_for_their_page_scripts(zoo: Opened):
    house, _, client = zoo
    tmp = house.host.layout.tmp
    tmp.mkdir(exist_ok=True)
    (tmp / "paths.txt").write_text("where")
    assert client.get("/file=tmp/paths.txt?1").text == "where"


def test_pictures_of_output_folders(zoo: Opened):
    house, _, client = zoo
    layout = house.host.layout
    layout.txt2img_samples.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(layout.txt2img_samples / "my picture.png")
    (layout.txt2img_samples / "notes.txt").write_text("x")
    near = (layout.txt2img_samples / "my picture.png").relative_to(layout.data)
    assert client.get(f"/file={quote(str(near))}").headers["content-type"] == "image/png"
    assert client.get(f"/file={near.parent}/notes.txt").status_code == 404


def test_everything_else_is_not_found_whether_it_is_there_or_not(zoo: Opened):
    _, folder, client = zoo
    tries = [*(f"{folder}/{name}" for name in CLOSED), f"{folder}/way-out.txt", f"{folder}/../outside.txt"]
    tries += ["config.json", "/etc/passwd", "http://127.0.0.1/x.png", f"{folder}/missing.txt", f"{folder}/tags"]
    tries += [f"{folder}/%2e%2e/outside.txt", f"{folder}/tags%5cwords.csv", f"{folder}/tags/words.csv%00.txt", ""]
    answers = {client.get(f"/file={one}").text for one in tries}
    statuses = {client.get(f"/file={one}").status_code for one in tries}
    assert statuses == {404}
    assert len(answers) == 1
