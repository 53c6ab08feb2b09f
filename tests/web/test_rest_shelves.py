"""Lists of networks and extensions, the start, the report on this machine, ending the server."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from modules.web import adapters
from modules.web.start_profile import StartProfile
from modules.web.stopping import Stopping
from tests.web.rest_house import rest_house


def test_embeddings_are_sorted_by_whether_they_fit(tmp_path: Path) -> None:
    from modules.adapters.textual_inversion.folder import EmbeddingFolder

    save_file({"emb_params": np.zeros((3, 768), np.float32)}, tmp_path / "one.safetensors")
    two = {"clip_l": np.zeros((2, 768), np.float32), "clip_g": np.zeros((2, 1280), np.float32)}
    save_file(two, tmp_path / "two.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    listing = EmbeddingFolder([tmp_path]).listing()
    lists = adapters.embedding_lists(listing, {"clip_l": 768, "clip_g": 1280})
    assert {name: (one.shape, one.vectors) for name, one in lists.loaded.items()} == {"two": (2048, 2)}
    assert {name: (one.shape, one.vectors) for name, one in lists.skipped.items()} == {"one": (768, 3)}
    assert set(adapters.embedding_lists(listing, None).loaded) == {"one", "two"}


def test_loras_tell_their_metadata(tmp_path: Path) -> None:
    (tmp_path / "Lora" / "sub").mkdir(parents=True)
    told = {"ss_output_name": "ink", "ss_tag_frequency": '{"a": {"b": 3}}', "ss_broken": "{no"}
    save_file({"a.lora_up.weight": np.zeros((4, 1), np.float32)}, tmp_path / "Lora" / "sub" / "x.safetensors", told)
    (tmp_path / "Lora" / "broken.safetensors").write_bytes(b"no")
    with rest_house(tmp_path) as house:
        broken, good = house.get("/loras").json()
    assert (broken["name"], broken["alias"], broken["metadata"]) == ("broken", "broken", {})
    assert (good["name"], good["alias"], good["path"]) == ("x", "ink", str(tmp_path / "Lora" / "sub" / "x.safetensors"))
    assert good["metadata"] == {"ss_output_name": "ink", "ss_tag_frequency": {"a": {"b": 3}}, "ss_broken": "{no"}


def test_the_start_is_measured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 10.0
    profile = StartProfile(log=True, clock=lambda: now)
    mark, other = profile.timer(), profile.timer()
    now = 12.0
    mark("one")
    now = 15.0
    mark("two")
    other("beside")
    assert profile.dump() == {"total": 5.0, "records": {"one": 2.0, "two": 3.0, "beside": 5.0}}
    assert "start: two took 3.00 s" in caplog.text


def test_the_report_tells_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMANDLINE_ARGS", "--api-auth env:veiled7")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with rest_house(tmp_path, "--api-auth", "ann:sesame7", "--api-log") as house:
        login: Any = {"auth": ("ann", "sesame7")}
        shown: Any = house.client.get("/internal/sysinfo", **login)
        report = json.loads(shown.text)
        assert report["Commandline"]["api_log"] is True
        assert report["Commandline"]["api_auth"] == "***"
        assert report["Environment"]["OMP_NUM_THREADS"] == "1"
        assert any(line.startswith("fastapi==") for line in report["Packages"])
        assert report["Config"]["jpeg_quality"] == 80
        assert "sesame7" not in shown.text
        assert "veiled7" not in shown.text
        assert "content-disposition" not in shown.headers
        saved: Any = house.client.get("/internal/sysinfo-download", **login)
        assert saved.headers["content-disposition"].startswith('attachment; filename="sysinfo-')
        assert house.client.get("/internal/sysinfo").status_code == 401


def test_the_server_ends_only_where_that_is_allowed(tmp_path: Path) -> None:
    asked: list[tuple[bool, bool]] = []

    def end(*, finish_running: bool, again: bool = False) -> None:
        asked.append((finish_running, again))

    with rest_house(tmp_path, "--api-server-stop") as house:
        assert house.post("/server-stop").status_code == 501
        house.app.state.stopping = Stopping(end=end)
        assert house.post("/server-stop").text == "Stopping."
        assert house.post("/server-kill").status_code == 200
        assert house.post("/server-restart").status_code == 200
        assert asked == [(True, False), (False, False), (False, True)]
        foreign = house.post("/server-kill", headers={"origin": "http://evil.example"})
        assert (foreign.status_code, len(asked)) == (403, 3)
    (tmp_path / "other").mkdir()
    with rest_house(tmp_path / "other") as house:
        house.app.state.stopping = Stopping(end=end)
        assert house.post("/server-kill").status_code == 404
        assert len(asked) == 3
