"""What goes wrong inside a job stays inside it: the next one makes the very same picture as if nothing had happened."""

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.modules import module as torch_modules

from modules.domain.errors import NumericalFault, OutOfMemory
from modules.domain.events import Noted
from modules.domain.request import BatchSpec, Generation, OutputSpec, SamplingSpec, SeedSpec, Size
from modules.domain.result import Outcome, Unfinished
from modules.engine.desk import Desk
from modules.engine.job import JobHandle, JobState, Owner
from modules.engine.ledger import Ledger
from modules.engine.local import LocalEngine
from modules.files import numbering
from modules.hooks.context import JobContext
from modules.imaging import save
from modules.pipeline.carry_out import carry_on
from modules.settings.snapshot import Snapshot
from tests.pipeline.workshop import Studio, open_studio

OWNER = Owner(source="api", client="127.0.0.1")
POINTS = 30
REQUEST = Generation(
    prompt="a (red:1.2) fox", size=Size(width=64, height=64), seed=SeedSpec(seed=1),
    sampling=SamplingSpec(sampler="Euler a", steps=3), batch=BatchSpec(size=2, count=1),
)  # fmt: skip
SAVING = Generation(
    prompt="saved", size=Size(width=64, height=64), seed=SeedSpec(seed=1), sampling=SamplingSpec(steps=2),
    output=OutputSpec(save_images=True),
)  # fmt: skip


class Bench:
    """A real pipeline on the toy family behind a real engine; a test can disturb the worker while it runs a job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.studio: Studio = open_studio(folder)
        self.settings = Snapshot()
        self.ledger = Ledger(folder / "jobs.sqlite3")
        self.disturb: Callable[[], Any] = lambda: _calm()
        self.engine = LocalEngine(self.run, snapshot=lambda values: self.settings.with_overrides(values),
                                  ledger=self.ledger)  # fmt: skip
        self.desk = Desk(self.engine, lambda: self.settings, ledger=self.ledger)
        self.engine.start()

    def run(self, request: Any, ctx: JobContext) -> Outcome | Unfinished:
        with self.disturb():
            return carry_on(self.studio.shop, request, ctx)

    def job(self, disturb: Callable[[], Any] | None = None, request: Generation = REQUEST) -> JobHandle:
        """Run a job to its end, whatever that is."""
        self.disturb = disturb or (lambda: _calm())
        handle, over = self.desk.accept(request, OWNER), threading.Event()
        handle.when_done(over.set)
        assert over.wait(30)
        self.disturb = lambda: _calm()
        return handle

    def pictures(self) -> list[bytes]:
        """Return what an undisturbed job makes."""
        return [image.data for image in self.job().result().images]

    def is_clean(self) -> bool:
        """Tell whether nothing is left of the last job."""
        for _ in range(500):
            if not self.engine.active():
                return not self.desk.waiting()
            threading.Event().wait(0.01)
        return False


@contextmanager
def _calm() -> Iterator[None]:
    yield


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    assert made.engine.shutdown(10)
    made.ledger.close()


class Boom(Exception):
    """Raised somewhere."""


def test_pictures_are_encoded_and_saved_while_the_next_job_samples(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, gate, threads = save.encode, threading.Event(), set[str]()

    def slow(*args: Any, **more: Any) -> Any:
        threads.add(threading.current_thread().name)
        assert gate.wait(20)
        return encode(*args, **more)

    monkeypatch.setattr(save, "encode", slow)
    first, second = (bench.desk.accept(SAVING, OWNER) for _ in range(2))
    for _ in range(2000):
        if second.progress.fraction == 1.0:
            break
        threading.Event().wait(0.005)
    assert second.progress.fraction == 1.0
    assert not first.done
    gate.set()
    saved = [handle.wait(10).images[0].saved_as for handle in (first, second)]
    assert [path.name[:5] for path in saved if path] == ["00000", "00001"]
    assert "worker" not in threads


OURS = tuple(
    os.path.join("modules", room, "")
    for room in ("pipeline", "residency", "families", "sampling", "imaging", "prompting", "library", "nn", "hooks")
)


@contextmanager
def failing_at(number: int, counted: list[int]) -> Iterator[None]:
    """Raise at a call of our own code on this thread, counted from 1; 0 only counts."""
    calls = 0

    def watch(frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        # Generators are "called" at every step and when they are thrown away; the latter cannot raise.
        if (
            event != "call"
            or frame.f_code.co_flags & 0x20
            or not any(room in frame.f_code.co_filename for room in OURS)
        ):
            return
        calls += 1
        if calls == number:
            raise Boom(frame.f_code.co_qualname)

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)
        counted.append(calls)


def test_an_exception_at_any_point_of_a_job_leaves_nothing_behind(bench: Bench) -> None:
    expected, counted = bench.pictures(), list[int]()
    assert bench.job(lambda: failing_at(0, counted)).state is JobState.FINISHED
    total = counted[0]
    assert total > 500
    hit = 0
    for point in range(POINTS):
        number = 1 + point * (total - 1) // (POINTS - 1)
        handle = bench.job(lambda number=number: failing_at(number, counted))
        hit += handle.state is JobState.FAILED
        assert handle.state is JobState.FAILED or handle.result().images, number
        assert bench.is_clean()
        assert bench.pictures() == expected, number
    assert hit > POINTS // 2


@contextmanager
def at_layer(number: int, act: Callable[[Any], Any], *, ever_after: bool = False) -> Iterator[None]:
    """Do something with what the n-th call of a layer gives, on this thread."""
    calls, thread = 0, threading.get_ident()

    def after(_module: Any, _given: Any, output: Any) -> Any:
        nonlocal calls
        if threading.get_ident() != thread:
            return None
        calls += 1
        return act(output) if calls == number or (ever_after and calls > number) else None

    handle = torch_modules.register_module_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def full(_output: object) -> None:
    raise torch.OutOfMemoryError("no room for this test")


def not_a_number(output: object) -> object:
    return output * float("nan") if isinstance(output, Tensor) and output.is_floating_point() else None


LAYERS = (*range(1, 20, 2), *range(20, 61, 8))


def test_memory_that_runs_out_once_costs_at_most_its_job(bench: Bench) -> None:
    expected = bench.pictures()
    saved = 0
    for number in LAYERS:
        handle = bench.job(lambda number=number: at_layer(number, full))
        if handle.state is JobState.FAILED:
            assert isinstance(handle.error, OutOfMemory), number
            assert handle.error.__traceback__ is None
        else:
            saved += 1
            assert len(handle.result().images) == 2
        assert bench.pictures() == expected, number
    assert saved > len(LAYERS) // 2


def test_memory_that_stays_full_fails_the_job_by_name(bench: Bench) -> None:
    expected = bench.pictures()
    for number in (1, 9, 40):
        handle = bench.job(lambda number=number: at_layer(number, full, ever_after=True))
        assert isinstance(handle.error, OutOfMemory)
        assert bench.ledger.entries()[0].error.startswith("OutOfMemory: ")
        assert bench.pictures() == expected


def test_nan_is_never_passed_off_as_a_picture(bench: Bench) -> None:
    expected, failed = bench.pictures(), 0
    for number in LAYERS:
        handle = bench.job(lambda number=number: at_layer(number, not_a_number))
        if handle.state is JobState.FAILED:
            failed += 1
            assert isinstance(handle.error, NumericalFault), number
        else:
            told = [event.text for event in handle.events() if isinstance(event, Noted)]
            same = [image.data for image in handle.result().images] == expected
            assert same or any("NaN" in text for text in told), number
        assert bench.pictures() == expected, number
    assert failed


def outputs(bench: Bench) -> list[Path]:
    return [path for path in (bench.folder / "outputs").rglob("*") if path.is_file()]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_disk_costs_the_file_and_not_the_picture(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", refuse)
        outcome = bench.job(request=SAVING).result()
        assert outcome.images[0].data.startswith(b"\x89PNG")
        assert outcome.images[0].saved_as is None
        assert outcome.save_error
        assert "could not be written" in outcome.save_error
        assert outputs(bench) == []
        assert "could not be written" in bench.ledger.entries()[0].error
    assert bench.job(request=SAVING).result().save_error is None
    assert [path.suffix for path in outputs(bench)] == [".png"]


def test_a_folder_that_cannot_be_made_costs_the_file_and_not_the_picture(bench: Bench) -> None:
    bench.folder.joinpath("outputs").write_text("a file is in the way")
    outcome = bench.job(request=SAVING).result()
    assert outcome.images[0].data
    assert outcome.save_error
    assert "in the way" in outcome.save_error or "not a folder" in outcome.save_error
    bench.folder.joinpath("outputs").unlink()
    assert bench.job(request=SAVING).result().save_error is None


def test_a_crash_while_saving_leaves_no_half_picture(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_args: object, **_more: object) -> None:
        raise Boom

    with monkeypatch.context() as patch:
        patch.setattr(numbering.Reservation, "publish", crash)
        assert bench.job(request=SAVING).state is JobState.FAILED
    assert outputs(bench) == []
    bench.job(request=SAVING)
    assert len(outputs(bench)) == 1
