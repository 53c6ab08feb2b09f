"""Several processes on one data folder: each leaves the live jobs of the others alone."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modules.domain.errors import StorageFault
from modules.domain.events import Noted
from modules.domain.request import Generation
from modules.engine.job import Job, JobState, Owner
from modules.engine.ledger import Ledger
from modules.engine.local import LocalEngine
from modules.engine.origin import this_process
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import PlanMade
from modules.settings.snapshot import Snapshot
from tests.engine.fakes import FakeRunner, plan_of

OWNER = Owner(source="api")
LIVES = """
import sys, time
from pathlib import Path
from modules.domain.request import Generation
from modules.engine.job import Job, Owner
from modules.engine.ledger import Ledger

ledger = Ledger(Path(sys.argv[1]))
for name in ("runs", "waits"):
    ledger.accept(Job(id=name, kind="txt2img", payload=Generation(), owner=Owner(source="api"), accepted_at=1.0, task_id=""))
ledger.claim("runs", 2.0)
print("ready", flush=True)
sys.stdin.read()
"""


def job(name: str) -> Job:
    return Job(id=name, kind="txt2img", payload=Generation(), owner=OWNER, accepted_at=time.time(), task_id=name)


def states(ledger: Ledger) -> dict[str, str]:
    return {entry.id: entry.state.value for entry in ledger.entries()}


def test_jobs_of_a_living_process_are_left_alone_until_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    command = [sys.executable, "-c", LIVES, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        ledger = Ledger(path)
        assert ledger.recover().marked == 0
        assert states(ledger) == {"runs": "running", "waits": "queued"}
        other.stdin.close()
        other.wait(10)
    assert ledger.recover().marked == 2
    assert states(ledger) == {"runs": "interrupted", "waits": "not run"}
    ledger.close()


def noted_by(path: Path, **origin: object) -> Ledger:
    """Write a job, and then change which process it seems to belong to."""
    ledger = Ledger(path)
    ledger.accept(job("one"))
    with sqlite3.connect(path) as db:
        for column, value in origin.items():
            db.execute(f"UPDATE jobs SET {column}=?", (value,))
    db.close()
    return ledger


def test_a_process_number_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    ledger = noted_by(tmp_path / "jobs.sqlite", pid=os.getppid(), born=12345.0)
    assert ledger.recover().marked == 1
    ledger.close()


@pytest.mark.parametrize(("alone", "marked"), [(True, 1), (False, 0)])
def test_another_machine_is_believed_while_it_may_use_the_folder(tmp_path: Path, alone: bool, marked: int) -> None:
    path = tmp_path / "jobs.sqlite"
    noted_by(path, host="elsewhere").close()
    ledger = Ledger(path, alone=alone)
    assert ledger.recover().marked == marked
    ledger.close()


def test_a_table_of_the_first_version_is_extended(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    ledger = noted_by(path)
    ledger.close()
    with sqlite3.connect(path) as db:
        for column in ("host", "pid", "born"):
            db.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
    db.close()
    ledger = Ledger(path, alone=False)
    assert ledger.recover().marked == 1
    ledger.accept(job("two"))
    assert states(ledger) == {"one": "not run", "two": "queued"}
    ledger.close()


def test_a_table_that_cannot_be_opened_is_named_and_stays(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").mkdir()
    with pytest.raises(StorageFault, match=r"jobs\.sqlite cannot be opened"):
        Ledger(tmp_path / "jobs.sqlite")
    assert (tmp_path / "jobs.sqlite").is_dir()


def test_this_process_is_found_again() -> None:
    assert this_process() == this_process()
    assert this_process().pid == os.getpid()


def test_a_handler_that_fails_is_noted_in_the_job(tmp_path: Path) -> None:
    def fail(payload: PlanMade) -> None:
        raise ValueError("broken extension")

    ledger, runner = Ledger(tmp_path / "jobs.sqlite"), FakeRunner()
    engine = LocalEngine(
        runner, snapshot=lambda overrides: Snapshot().with_overrides(overrides), ledger=ledger,
        hooks=Hooks([Handler(name="mine", hook=PlanMade, call=fail)]),
    )  # fmt: skip
    runner.before_step = lambda step: runner.contexts[0].hooks.run(PlanMade(plan=plan_of(Generation()))) and None
    engine.start()
    handle = engine.submit(job("one"))
    handle.wait(5)
    notes = [event.text for event in handle.events() if isinstance(event, Noted)]
    assert notes[0] == "mine failed at PlanMade: broken extension"
    assert handle.state is JobState.FINISHED
    engine.shutdown(5)
    ledger.close()
