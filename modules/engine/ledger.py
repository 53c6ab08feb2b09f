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

from modules.domain.errors import StorageFault
from modules.engine.job import Job, JobState, Owner
from modules.engine.origin import Origin, this_process
from modules.engine.serialise import to_json

logger = logging.getLogger(__name__)
T = TypeVar("T")

_KEEP = 1000
_LIVE = (JobState.RUNNING.value, JobState.QUEUED.value)
_OF_ORIGIN = "state IN (?, ?) AND host=? AND pid=? AND born=?"
_ADDED = ("host TEXT NOT NULL DEFAULT ''", "pid INTEGER NOT NULL DEFAULT 0", "born REAL NOT NULL DEFAULT 0")
"""Columns that the first version of the table did not have."""
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
    error TEXT NOT NULL DEFAULT '',
    host TEXT NOT NULL DEFAULT '',
    pid INTEGER NOT NULL DEFAULT 0,
    born REAL NOT NULL DEFAULT 0
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
        alone: no other process uses the data folder.

    Raises:
        StorageFault: the file cannot be opened.
    """

    def __init__(self, path: Path, *, alone: bool = True) -> None:
        self._lock = threading.Lock()
        self._path, self._alone, self._origin = path, alone, this_process()
        try:
            self._db = _open(path)
        except sqlite3.OperationalError as error:  # locked, read-only, full: nothing is wrong with its content
            raise StorageFault(f"{path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            aside = path.with_name(f"{path.name}.bad-{time.time_ns()}")
            path.replace(aside)
            logger.warning("%s is not readable (%s); it was moved to %s", path.name, error, aside.name)
            self._db = _open(path)

    def recover(self) -> int:
        """Mark what earlier runs left over: running jobs as interrupted, waiting ones as not run.

        Jobs of a process that still runs are its own business. Call it before jobs are accepted.

        Returns:
            The number of jobs marked.
        """
        ended = f"UPDATE jobs SET ended_at=?, state=CASE state WHEN ? THEN ? ELSE ? END WHERE {_OF_ORIGIN}"
        states = (JobState.RUNNING.value, JobState.INTERRUPTED.value, JobState.NOT_RUN.value)

        def write(db: sqlite3.Connection) -> int:
            found = db.execute("SELECT DISTINCT host, pid, born FROM jobs WHERE state IN (?, ?)", _LIVE).fetchall()
            origins = [Origin(host=row["host"], pid=row["pid"], born=row["born"]) for row in found]
            gone = [origin for origin in origins if not origin.host or origin.is_gone(alone=self._alone)]
            now = time.time()
            marked = sum(
                db.execute(ended, (now, *states, *_LIVE, one.host, one.pid, one.born)).rowcount for one in gone
            )
            db.execute("DELETE FROM jobs WHERE number <= (SELECT max(number) FROM jobs) - ?", (_KEEP,))
            return marked

        return self._do(write, 0)

    def accept(self, job: Job) -> None:
        """Write a job that now waits."""
        payload = json.dumps(to_json(job.payload))
        row = (
            job.id, job.task_id, job.kind, payload, job.owner.source, job.owner.client, job.owner.user,
            JobState.QUEUED.value, job.accepted_at, self._origin.host, self._origin.pid, self._origin.born,
        )  # fmt: skip
        self._do(
            lambda db: db.execute(
                "INSERT INTO jobs (id, task_id, kind, payload, source, client, user, state, accepted_at, host, pid, born)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
        db.execute("BEGIN IMMEDIATE")
        db.execute(_SCHEMA)
        known = {row["name"] for row in db.execute("PRAGMA table_info(jobs)")}
        for column in _ADDED:
            if column.split()[0] not in known:
                db.execute(f"ALTER TABLE jobs ADD COLUMN {column}")
        db.execute("COMMIT")
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
