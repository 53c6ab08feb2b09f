"""Hashes against hashlib and safetensors, and the cache that keeps them."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import safetensors.torch
import torch

from modules.domain.errors import BrokenFile
from modules.library import hashes
from modules.library.hashes import HashCache, file_sha256, header_bytes, old_hash


@pytest.mark.parametrize("size", [0, 5, 1 << 20, (1 << 20) + 1, 0x110001])
def test_hashes_follow_their_formulas(tmp_path: Path, size: int) -> None:
    data = bytes(n * 7 % 251 for n in range(1000)) * (size // 1000 + 1)
    path = tmp_path / "m.ckpt"
    path.write_bytes(data[:size])
    whole = hashlib.sha256(data[:size]).hexdigest()
    with HashCache(tmp_path / "h.db") as cache:
        assert cache.sha256(path) == whole
        assert cache.short_hash(path) == whole[:10]
        assert cache.lora_hash(path, {}) == whole[:12]
    assert old_hash(path) == hashlib.sha256(data[:size][0x100000:0x110000]).hexdigest()[:8]


def test_the_lora_hash_ignores_the_header(tmp_path: Path) -> None:
    one, two = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    weights = {"w": torch.arange(10.0)}
    safetensors.torch.save_file(weights, one, metadata={"title": "one"})
    safetensors.torch.save_file(weights, two, metadata={"title": "another, longer title"})
    weights_only = hashlib.sha256(weights["w"].numpy().tobytes()).hexdigest()
    with HashCache(tmp_path / "h.db") as cache:
        assert cache.lora_hash(one, {}) == cache.lora_hash(two, {}) == weights_only[:12]
        assert cache.sha256(one) != cache.sha256(two)
        assert cache.lora_hash(one, {"sshs_model_hash": "f" * 64}) == "f" * 12


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 8, bytes(8)])
def test_a_broken_header_hides_nothing_from_the_hash(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    assert header_bytes(path) == 0
    with HashCache(tmp_path / "h.db") as cache:
        assert cache.lora_hash(path, {}) == hashlib.sha256(data).hexdigest()[:12]


def test_a_hash_is_computed_once_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, reads = tmp_path / "m.ckpt", list[Path]()
    path.write_bytes(b"one")

    def counted(path: Path, **rest: object) -> str | None:
        reads.append(path)
        return file_sha256(path)

    monkeypatch.setattr(hashes, "file_sha256", counted)
    for _ in range(2):
        with HashCache(tmp_path / "h.db") as cache:
            assert cache.known_sha256(path) in (None, hashlib.sha256(b"one").hexdigest())
            assert cache.sha256(path) == hashlib.sha256(b"one").hexdigest()
    assert len(reads) == 1
    status = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with HashCache(tmp_path / "h.db") as cache:
        assert cache.known_sha256(path) is None
        assert cache.sha256(path) == hashlib.sha256(b"two").hexdigest()


def test_a_cancelled_hash_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    path.write_bytes(bytes(3 << 20))
    answers = iter([False, True])
    with HashCache(tmp_path / "h.db") as cache:
        assert cache.short_hash(path, lambda: next(answers)) is None
        assert cache.known_sha256(path) is None
        assert cache.short_hash(path) == hashlib.sha256(bytes(3 << 20)).hexdigest()[:10]


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    path.write_bytes(b"one")

    def meanwhile() -> bool:
        path.write_bytes(b"longer now")
        return False

    with HashCache(tmp_path / "h.db") as cache:
        cache.sha256(path, meanwhile)
        assert cache.known_sha256(path) is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with HashCache(tmp_path / "h.db") as cache:
        for ask in (cache.sha256, cache.short_hash, cache.old_hash):
            with pytest.raises(BrokenFile, match=r"gone\.ckpt"):
                ask(tmp_path / "gone.ckpt")
        assert cache.known_sha256(tmp_path / "gone.ckpt") is None


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_cache_is_replaced(tmp_path: Path, content: bytes) -> None:
    database, path = tmp_path / "h.db", tmp_path / "m.ckpt"
    database.write_bytes(content)
    path.write_bytes(b"x")
    with HashCache(database) as cache:
        cache.sha256(path)
    with HashCache(database) as cache:
        assert cache.known_sha256(path) == hashlib.sha256(b"x").hexdigest()


def test_a_cache_that_cannot_be_kept_still_works(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    path.write_bytes(b"x")
    with HashCache(tmp_path / "missing" / "h.db") as cache:
        cache.sha256(path)
        assert cache.known_sha256(path) == hashlib.sha256(b"x").hexdigest()


def test_threads_and_two_caches_share_a_database(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.ckpt" for n in range(20)]
    for path in paths:
        path.write_text(path.name)
    with HashCache(tmp_path / "h.db") as one, HashCache(tmp_path / "h.db") as two, ThreadPoolExecutor(8) as pool:
        both = list(pool.map(lambda n: (one if n % 2 else two).sha256(paths[n % 20]), range(80)))
        assert both == [hashlib.sha256(paths[n % 20].name.encode()).hexdigest() for n in range(80)]
        assert all(one.known_sha256(path) and two.known_sha256(path) for path in paths)


def test_hashes_of_a1111_are_taken_over_when_still_true(tmp_path: Path) -> None:
    files, entries = {}, {}
    for n, name in enumerate(("good", "newer", "short", "number", "strange")):
        path = tmp_path / f"{name}.ckpt"
        path.write_text(name)
        files[f"checkpoint/{name}.ckpt"] = path
        entries[f"checkpoint/{name}.ckpt"] = {"mtime": path.stat().st_mtime, "sha256": str(n) * 64}
    entries["checkpoint/newer.ckpt"]["mtime"] -= 10
    entries["checkpoint/short.ckpt"]["sha256"] = "abc"
    entries["checkpoint/number.ckpt"]["sha256"] = 5
    entries["checkpoint/strange.ckpt"] = ["x"]
    files["checkpoint/gone.ckpt"] = tmp_path / "gone.ckpt"
    entries["checkpoint/gone.ckpt"] = {"mtime": 9e9, "sha256": "a" * 64}
    cache_json = tmp_path / "cache.json"
    cache_json.write_text(json.dumps({"hashes": entries, "safetensors-metadata": {}}))
    with HashCache(tmp_path / "h.db") as cache:
        assert cache.import_cache_json(cache_json, files) == 1
        assert cache.import_cache_json(cache_json, files) == 0
        assert cache.known_sha256(files["checkpoint/good.ckpt"]) == "0" * 64
        assert cache.known_sha256(files["checkpoint/newer.ckpt"]) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"hashes": 5}', '{"hashes": null}', "\ufeff", "[" * 100_000])
def test_a_broken_cache_json_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "cache.json").write_text(text, encoding="utf-8")
    with HashCache(tmp_path / "h.db") as cache:
        assert cache.import_cache_json(tmp_path / "cache.json", {"checkpoint/a": tmp_path / "a"}) == 0


def test_a_lora_hash_is_known_without_reading_once_it_was_computed_or_stored(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"w": torch.arange(10.0)}, path)
    with HashCache(tmp_path / "h.db") as cache:
        assert cache.known_lora_hash(path, {}) is None
        assert cache.known_lora_hash(path, {"sshs_model_hash": "0123456789abcdef"}) == "0123456789ab"
        computed = cache.lora_hash(path, {})
        assert cache.known_lora_hash(path, {}) == computed
        safetensors.torch.save_file({"w": torch.arange(12.0)}, path)
        assert cache.known_lora_hash(path, {}) is None
        assert cache.known_lora_hash(tmp_path / "absent.safetensors", {}) is None
