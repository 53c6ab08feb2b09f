"""The book of jobs on disk, so that a restart can tell what ran, what was cut off and what never started."""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from modules.engine.job import Job, JobState, Owner
from modules.engine.serialise import to_json

logger = logging.getLogger(__name__)
T = TypeVar("T")

_KEEP = 1000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT UNIQUE NOT NULL,
    task_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    source TEXT NOT NULL,
    client TEXT NOT NULL,
    user TEXT,
    state TEXT NOT NULL,
    accepted_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    files TEXT NOT NULL DEFAULT '[]',
    error TEXT NOT NULL DEFAULT ''
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger knows about one job."""

    id: str
    task_id: str
    kind: str
    payload: Any
    """JSON form of the request."""
    owner: Owner
    state: JobState
    accepted_at: float
    started_at: float | None
    ended_at: float | None
    files: tuple[Path, ...]
    error: str


class Ledger:
    """SQLite table of jobs. Thread-safe. A disk that cannot be written is logged, it never stops a job.

    Args:
        path: database file; its folder exists. A file that is not a database is moved aside.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._path = path
        try:
            self._db = _open(path)
        except sqlite3.DatabaseError as error:
            aside = path.with_name(f"{path.name}.bad-{time.time_ns()}")
            path.replace(aside)
            logger.warning("%s is not readable (%s); it was moved to %s", path.name, error, aside.name)
            self._db = _open(path)

    def recover(self) -> int:
        """Mark what the previous run left over: running jobs as interrupted, waiting ones as not run.

        Returns:
            The number of jobs marked.
        """

        def write(db: sqlite3.Connection) -> int:
            now = time.time()
            marked = 0
            for old, new in ((JobState.RUNNING, JobState.INTERRUPTED), (JobState.QUEUED, JobState.NOT_RUN)):
                done = db.execute("UPDATE jobs SET state=?, ended_at=? WHERE state=?", (new.value, now, old.value))
                marked += done.rowcount
            db.execute("DELETE FROM jobs WHERE number <= (SELECT max(number) FROM jobs) - ?", (_KEEP,))
            return marked

        return self._do(write, 0)

    def accept(self, job: Job) -> None:
        """Write a job that now waits."""
        payload = json.dumps(to_json(job.payload))
        row = (
            job.id, job.task_id, job.kind, payload, job.owner.source, job.owner.client, job.owner.user,
            JobState.QUEUED.value, job.accepted_at,
        )  # fmt: skip
        self._do(
            lambda db: db.execute(
                "INSERT INTO jobs (id, task_id, kind, payload, source, client, user, state, accepted_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            ),
            None,
        )

    def claim(self, job_id: str, at: float) -> bool:
        """Mark a waiting job as running; False when it does not wait any more, so that no job runs twice."""
        return self._do(
            lambda db: db.execute(
                "UPDATE jobs SET state=?, started_at=? WHERE id=? AND state=?",
                (JobState.RUNNING.value, at, job_id, JobState.QUEUED.value),
            ).rowcount == 1,
            True,
        )  # fmt: skip

    def end(self, job_id: str, state: JobState, at: float, files: Sequence[Path] = (), error: str = "") -> None:
        """Write how a job ended and which files it left."""
        row = (state.value, at, json.dumps([str(path) for path in files]), error[:2000], job_id)
        self._do(lambda db: db.execute("UPDATE jobs SET state=?, ended_at=?, files=?, error=? WHERE id=?", row), None)

    def entries(self, count: int = 100) -> list[Entry]:
        """Return the newest jobs, newest first."""
        rows = self._do(
            lambda db: db.execute("SELECT * FROM jobs ORDER BY number DESC LIMIT ?", (count,)).fetchall(),
            list[sqlite3.Row](),
        )
        return [_entry(row) for row in rows]

    def close(self) -> None:
        """Close the file; later writes are logged and dropped."""
        with self._lock:
            self._db.close()

    def _do(self, call: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self._lock:
            try:
                return call(self._db)
            except (sqlite3.Error, UnicodeError) as error:
                logger.warning("the list of jobs (%s) could not be used: %s", self._path.name, error)
                return otherwise


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
    try:
        db.row_factory = sqlite3.Row
        with closing(db.execute("PRAGMA journal_mode=WAL")):
            pass
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(_SCHEMA)
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        id=row["id"], task_id=row["task_id"], kind=row["kind"], payload=json.loads(row["payload"]),
        owner=Owner(source=row["source"], client=row["client"], user=row["user"]), state=JobState(row["state"]),
        accepted_at=row["accepted_at"], started_at=row["started_at"], ended_at=row["ended_at"],
        files=tuple(Path(name) for name in json.loads(row["files"])), error=row["error"],
    )  # fmt: skip
