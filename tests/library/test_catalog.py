"""The list of checkpoints and every way to name one."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import safetensors.torch
import torch

from modules.domain.errors import UnknownName
from modules.library.catalog import Catalog, Sources
from modules.library.hashes import HashCache
from modules.library.header import Header
from modules.library.scan import natural_key, scan_files


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[HashCache]:
    with HashCache(tmp_path / "hashes.db") as opened:
        yield opened


def put(path: Path, content: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content or path.name)
    return path


def identify(header: Header) -> str | None:
    return "toy" if "unet" in header.tensors else None


def catalog(cache: HashCache, *folders: Path, **rest: object) -> Catalog[str]:
    made = Catalog(Sources(folders=folders, **rest), cache, identify)  # pyright: ignore[reportArgumentType]
    made.refresh()
    return made


def names(listed: Catalog[str]) -> list[str]:
    return [entry.name for entry in listed.entries]


def test_checkpoints_are_listed_in_natural_order_without_vaes(tmp_path: Path, cache: HashCache) -> None:
    models = tmp_path / "models"
    for name in ("v10.safetensors", "V2.ckpt", "sub/deep/a.SAFETENSORS", ".hidden/b.ckpt", ".dot.ckpt"):
        put(models / name)
    for name in ("v2.vae.ckpt", "v2.vae.safetensors", "v2.vae.pt", "v2.yaml", "v2.png", "x.pt", "ckpt"):
        put(models / name)
    expected = [".dot.ckpt", ".hidden/b.ckpt", "sub/deep/a.SAFETENSORS", "V2.ckpt", "v10.safetensors"]
    assert names(catalog(cache, models)) == expected
    assert names(catalog(cache, models, hidden=False)) == [n for n in expected if n != ".hidden/b.ckpt"]
    assert names(catalog(cache, tmp_path / "missing")) == []


def test_links_are_followed_once_and_broken_ones_skipped(tmp_path: Path, cache: HashCache) -> None:
    models, disk = tmp_path / "models", tmp_path / "other disk"
    put(models / "a.ckpt")
    put(disk / "b.ckpt")
    put(models / "z" / "c.ckpt")
    (models / "disk").symlink_to(disk)
    (disk / "back").symlink_to(models)
    (models / "loop").symlink_to(".")
    (models / "alias-of-z").symlink_to("z")
    (models / "gone.ckpt").symlink_to("nowhere.ckpt")
    (models / "self.ckpt").symlink_to("self.ckpt")
    (models / "linked.ckpt").symlink_to(disk / "b.ckpt")
    (models / "folder.ckpt").mkdir()
    assert names(catalog(cache, models)) == ["a.ckpt", "disk/b.ckpt", "linked.ckpt", "z/c.ckpt"]


def test_several_folders_make_one_list(tmp_path: Path, cache: HashCache) -> None:
    put(tmp_path / "one" / "b.ckpt")
    put(tmp_path / "one" / "same.ckpt", "first")
    put(tmp_path / "two" / "a.ckpt")
    put(tmp_path / "two" / "same.ckpt", "second")
    listed = catalog(cache, tmp_path / "one", tmp_path / "two")
    assert names(listed) == ["a.ckpt", "b.ckpt", "same.ckpt"]
    assert listed.get("same.ckpt").path == tmp_path / "one" / "same.ckpt"


@pytest.mark.parametrize(("relative", "name"), [("z.ckpt", "z.ckpt"), ("models/z/q.ckpt", "z/q.ckpt")])
def test_the_file_of_the_flag_comes_first_and_once(tmp_path: Path, cache: HashCache, relative: str, name: str) -> None:
    put(tmp_path / "models" / "a.ckpt")
    first = put(tmp_path / relative)
    assert names(catalog(cache, tmp_path / "models", first=first)) == [name, "a.ckpt"]
    assert names(catalog(cache, tmp_path / "models", first=tmp_path / "gone.ckpt"))[0] == "a.ckpt"


def test_a_checkpoint_has_the_names_of_a1111(tmp_path: Path, cache: HashCache) -> None:
    path = put(tmp_path / "sub" / "dream v1.5.safetensors")
    put(tmp_path / "sub" / "dream v1.5.yaml")
    listed = catalog(cache, tmp_path)
    entry = listed.entries[0]
    assert (entry.name, entry.model_name, entry.base) == (
        "sub/dream v1.5.safetensors",
        "sub_dream v1.5",
        "dream v1.5",
    )
    assert (entry.title, entry.short_title, entry.short_hash) == (entry.name, entry.base, "")
    assert entry.config == tmp_path / "sub" / "dream v1.5.yaml"
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    hashed = listed.hash(entry)
    assert hashed.title == f"sub/dream v1.5.safetensors [{digits}]"
    assert hashed.short_title == f"dream v1.5 [{digits}]"
    assert listed.entries == (hashed,)
    assert catalog(cache, tmp_path).entries == (hashed,)


def stocked(folder: Path, cache: HashCache) -> Catalog[str]:
    for name in ("anime/soft.safetensors", "anime/soft-inpainting.safetensors", "real.ckpt", "real-v2.ckpt"):
        put(folder / name)
    listed = catalog(cache, folder)
    for entry in listed.entries[:2]:
        listed.hash(entry)
    return listed


SOFT = hashlib.sha256(b"soft.safetensors").hexdigest()
EMPTY_OLD = hashlib.sha256(b"").hexdigest()[:8]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("anime/soft.safetensors", "anime/soft.safetensors"),
        ("anime\\soft.safetensors", "anime/soft.safetensors"),
        (f"anime/soft.safetensors [{SOFT[:10]}]", "anime/soft.safetensors"),
        (f"soft [{SOFT[:10]}]", "anime/soft.safetensors"),
        ("anime_soft", "anime/soft.safetensors"),
        ("soft", "anime/soft.safetensors"),
        (SOFT, "anime/soft.safetensors"),
        (SOFT[:10], "anime/soft.safetensors"),
        (" soft ", "anime/soft.safetensors"),
        ("inpaint", "anime/soft-inpainting.safetensors"),
        ("real", "real.ckpt"),
        ("real-v", "real-v2.ckpt"),
        ("eal", "real.ckpt"),
        ("real-v2 [0123456789]", "real-v2.ckpt"),
        ("real-v2.ckpt [0123456789]", "real-v2.ckpt"),
        (f"real-v2.ckpt [{EMPTY_OLD}]", "real-v2.ckpt"),
        (EMPTY_OLD, "anime/soft-inpainting.safetensors"),
        ("nothing like it", None),
        ("deadbeef", None),
        ("", None),
        ("  ", None),
        ("[0123456789]", None),
        ("../../etc/passwd", None),
    ],
)
def test_every_way_to_name_a_checkpoint(tmp_path: Path, cache: HashCache, text: str, expected: str | None) -> None:
    found = stocked(tmp_path, cache).find(text)
    assert (found and found.name) == expected


def test_a_missing_checkpoint_is_told_with_what_there_is(tmp_path: Path, cache: HashCache) -> None:
    listed = stocked(tmp_path, cache)
    with pytest.raises(UnknownName, match=r"sd_model_checkpoint: checkpoint 'zzz' not found; known: .*real\.ckpt"):
        listed.get("zzz", field="sd_model_checkpoint")
    assert listed.default() == listed.entries[0]
    assert catalog(cache, tmp_path / "empty").default() is None


def test_nothing_is_hashed_when_hashing_is_off(tmp_path: Path, cache: HashCache) -> None:
    put(tmp_path / "a.ckpt")
    known = catalog(cache, tmp_path)
    known.hash(known.entries[0])
    listed = catalog(cache, tmp_path, hashing=False)
    assert listed.entries[0].title == "a.ckpt"
    assert listed.hash(listed.entries[0]) == listed.entries[0]
    assert listed.find(EMPTY_OLD) is None


def test_a_replaced_file_loses_its_hash(tmp_path: Path, cache: HashCache) -> None:
    path = put(tmp_path / "a.ckpt", "one")
    listed = catalog(cache, tmp_path)
    listed.hash(listed.entries[0])
    put(path, "another")
    assert listed.refresh()[0].title == "a.ckpt"


def test_a_cancelled_hash_changes_nothing(tmp_path: Path, cache: HashCache) -> None:
    put(tmp_path / "a.ckpt")
    listed = catalog(cache, tmp_path)
    assert listed.hash(listed.entries[0], lambda: True) == listed.entries[0]


def test_files_are_classified_when_asked_and_broken_ones_flagged(tmp_path: Path, cache: HashCache) -> None:
    safetensors.torch.save_file({"unet": torch.zeros(1)}, tmp_path / "a.safetensors", metadata={"k": "v"})
    safetensors.torch.save_file({"lora": torch.zeros(1)}, tmp_path / "b.safetensors")
    put(tmp_path / "c.safetensors", "<html>")
    put(tmp_path / "d.ckpt", "short")
    listed = catalog(cache, tmp_path)
    inside = [listed.inspect(entry) for entry in listed.entries]
    assert [i.match for i in inside] == ["toy", None, None, None]
    assert [bool(i.fault) for i in inside] == [False, False, True, True]
    assert inside[0].metadata == {"k": "v"}
    assert inside[2].fault.startswith("c.safetensors: ")
    assert listed.inspect(listed.entries[0]) is inside[0]
    broken = listed.entries[2]
    safetensors.torch.save_file({"unet": torch.zeros(1)}, broken.path)
    assert listed.inspect(broken).match == "toy"
    broken.path.unlink()
    assert "cannot be read" in listed.inspect(broken).fault


def test_without_a_choice_the_first_that_can_be_used_is_used(tmp_path: Path, cache: HashCache) -> None:
    put(tmp_path / "a.ckpt", "torn")
    safetensors.torch.save_file({"lora": torch.zeros(1)}, tmp_path / "b.safetensors")
    listed = catalog(cache, tmp_path)
    assert listed.default() == listed.entries[0]
    safetensors.torch.save_file({"unet": torch.zeros(1)}, tmp_path / "c.safetensors")
    listed.refresh()
    assert listed.default() == listed.entries[2]


def test_readers_never_see_half_a_list(tmp_path: Path, cache: HashCache) -> None:
    for n in range(20):
        put(tmp_path / f"{n}.ckpt")
    listed, stop, faults = catalog(cache, tmp_path), threading.Event(), list[Sequence[str]]()

    def read() -> None:
        while not stop.is_set():
            seen = names(listed)
            if len(seen) != 20 or listed.find("7.ckpt") is None:
                faults.append(seen)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for entry in listed.entries:
        listed.hash(entry)
        listed.refresh()
    stop.set()
    for reader in readers:
        reader.join(20)
    assert faults == []
    assert all(entry.sha256 for entry in listed.entries)


def test_natural_order() -> None:
    texts = ["b", "a10", "a2", "A1", "10", "9", "a2b", "²", "a" + "9" * 5000]
    assert sorted(texts, key=natural_key) == ["9", "10", "A1", "a2", "a2b", "a10", "a" + "9" * 5000, "b", "²"]


@pytest.mark.skipif(os.name == "nt", reason="names on Windows are text")
def test_a_name_that_is_not_text_does_not_stop_the_list(tmp_path: Path, cache: HashCache) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.ckpt", "wb"):
        pass
    listed = catalog(cache, tmp_path)
    assert len(listed.hash(listed.entries[0]).short_hash) == 10
    assert len(scan_files(tmp_path, {".ckpt"})) == 1


def test_hashes_that_a1111_computed_are_shown_at_once(tmp_path: Path, cache: HashCache) -> None:
    put(tmp_path / "models" / "sub" / "one.safetensors", "x")
    listed = catalog(cache, tmp_path / "models")
    entry = {"mtime": (tmp_path / "models" / "sub" / "one.safetensors").stat().st_mtime, "sha256": "ab" * 32}
    (tmp_path / "cache.json").write_text(json.dumps({"hashes": {"checkpoint/sub\\one.safetensors": entry}}))
    assert listed.import_hashes(tmp_path / "cache.json") == 1
    assert [one.title for one in listed.entries] == ["sub/one.safetensors [ababababab]"]
    assert listed.import_hashes(tmp_path / "cache.json") == 0
    unhashed = Catalog(Sources(folders=[tmp_path / "models"], hashing=False), cache, identify)
    assert unhashed.import_hashes(tmp_path / "cache.json") == 0
