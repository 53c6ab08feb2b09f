"""The yaml beside a checkpoint is read kindly and refused clearly."""

from pathlib import Path

import pytest

from modules.domain.errors import BrokenFile
from modules.families.sidecar import read_sidecar, section


def test_absent_and_empty_files_say_nothing(tmp_path: Path):
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing\n")
    assert read_sidecar(None) == {}
    assert read_sidecar(empty) == {}


def test_sections_are_empty_where_a_level_is_absent_or_something_else(tmp_path: Path):
    path = tmp_path / "model.yaml"
    path.write_text("model:\n  params:\n    scale_factor: 0.5\n    unet_config: none\n")
    config = read_sidecar(path)
    assert section(config, "model", "params")["scale_factor"] == 0.5
    assert section(config, "model", "params", "unet_config", "params") == {}
    assert section(config, "nothing", "at", "all") == {}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"model: [", "not valid yaml"),
        (b"\xff\xfe\x00", "not valid yaml"),
        (b"- a list", "not a yaml mapping"),
        (b"a: !!python/object/apply:os.system ['true']", "not valid yaml"),
        (b"#" * (1 << 20) + b"\na: 1", "over a megabyte"),
    ],
)
def test_anything_else_is_refused_with_the_reason(tmp_path: Path, content: bytes, complaint: str):
    path = tmp_path / "model.yaml"
    path.write_bytes(content)
    with pytest.raises(BrokenFile, match=rf"model\.yaml: .*{complaint}"):
        read_sidecar(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(BrokenFile, match=r"gone\.yaml: cannot be read"):
        read_sidecar(tmp_path / "gone.yaml")
