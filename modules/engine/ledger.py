"""The book of jobs on disk, so that a restart can tell what ran, what was cut off and what never started."""

import json
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from modules.domain.errors import StorageFault
from modules.engine.job import Job, JobState, Owner
from modules.engine.ledger_table import open_tables
from modules.engine.origin import Origin, this_process
from modules.engine.serialise import pictures_in, to_json
from modules.files import atomic

logger = logging.getLogger(__name__)
T = TypeVar("T")

KEEP = 1000
"""Ended jobs that are remembered."""
KEEP_PICTURE_BYTES = 256 << 20
"""Pictures that ended jobs brought along are forgotten, oldest first, once they take more."""
_LIVE = (JobState.RUNNING.value, JobState.QUEUED.value)
_OF_ORIGIN = "state IN (?, ?) AND host=? AND pid=? AND born=?"
_PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger knows about one job."""

    number: int
    """Grows with each job; entries are listed from the largest."""
    id: str
    task_id: str
    kind: str
    form: str
    """Class of the request."""
    payload: Any
    """JSON form of the request."""
    owner: Owner
    state: JobState
    accepted_at: float
    started_at: float | None
    ended_at: float | None
    files: tuple[Path, ...]
    error: str
    attended: bool
    """Its client waited for the answer on an open connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What an earlier run of the program left over."""

    marked: int
    """Jobs that were running or waiting."""
    waiting: tuple[str, ...]
    """Ids of those that waited, the next one first."""


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
            self._db = open_tables(path)
        except sqlite3.OperationalError as error:  # locked, read-only, full: nothing is wrong with its content
            raise StorageFault(f"{path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            aside = path.with_name(f"{path.name}.bad-{time.time_ns()}")
            path.replace(aside)
            logger.warning("%s is not readable (%s); it was moved to %s", path.name, error, aside.name)
            self._db = open_tables(path)

    def recover(self) -> Left:
        """Mark what earlier runs left over: running jobs as interrupted, waiting ones as not run.

        Jobs of a process that still runs are its own business. Call it before jobs are accepted.
        """
        ended = f"UPDATE jobs SET ended_at=?, state=CASE state WHEN ? THEN ? ELSE ? END WHERE {_OF_ORIGIN}"
        states = (JobState.RUNNING.value, JobState.INTERRUPTED.value, JobState.NOT_RUN.value)

        def write(db: sqlite3.Connection) -> Left:
            now, marked = time.time(), 0
            waiting: list[tuple[int, str]] = []
            for origin in self._gone(db):
                whose = (*_LIVE, origin.host, origin.pid, origin.born)
                rows = db.execute(f"SELECT place, id FROM jobs WHERE state=? AND {_OF_ORIGIN}", (_LIVE[1], *whose))
                waiting += [(row["place"], row["id"]) for row in rows]
                marked += db.execute(ended, (now, *states, *whose)).rowcount
            _forget_old(db)
            return Left(marked=marked, waiting=tuple(name for _, name in sorted(waiting)))

        return self._change(write, Left(marked=0, waiting=()))

    def accept(self, job: Job) -> None:
        """Write a job that now waits, with the pictures that it brings along."""
        payload = json.dumps(to_json(job.payload))
        row = (
            job.id, job.task_id, job.kind, type(job.payload).__name__, payload, job.owner.source, job.owner.client,
            job.owner.user, JobState.QUEUED.value, job.accepted_at, job.attended, self._origin.host, self._origin.pid,
            self._origin.born,
        )  # fmt: skip
        pictures = pictures_in(job.payload)

        def write(db: sqlite3.Connection) -> None:
            if pictures:
                db.executemany("INSERT OR IGNORE INTO pictures VALUES (?, ?)", pictures.items())
                db.executemany("INSERT OR IGNORE INTO brings VALUES (?, ?)", [(job.id, name) for name in pictures])
            db.execute(
                "INSERT INTO jobs (id, task_id, kind, form, payload, source, client, user, state, accepted_at, attended,"
                " host, pid, born, place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                " (SELECT COALESCE(MAX(place), 0) + 1 FROM jobs))",
                row,
            )

        self._change(write, None)

    def claim(self, job_id: str, at: float) -> bool:
        """Mark a waiting job as running; False when it does not wait any more, so that no job runs twice."""
        return self._do(
            lambda db: db.execute(
                "UPDATE jobs SET state=?, started_at=? WHERE id=? AND state=?",
                (JobState.RUNNING.value, at, job_id, JobState.QUEUED.value),
            ).rowcount == 1,
            True,
        )  # fmt: skip

    def requeue(self, job_id: str) -> bool:
        """Let a job that never ran wait again, for this process; False when it is not one."""
        origin = (self._origin.host, self._origin.pid, self._origin.born)
        return self._do(
            lambda db: db.execute(
                "UPDATE jobs SET state=?, ended_at=NULL, error='', host=?, pid=?, born=? WHERE id=? AND state=?",
                (JobState.QUEUED.value, *origin, job_id, JobState.NOT_RUN.value),
            ).rowcount == 1,
            False,
        )  # fmt: skip

    def order(self, job_ids: Sequence[str]) -> None:
        """Write the order in which these jobs wait."""

        def write(db: sqlite3.Connection) -> None:
            marks = ", ".join("?" * len(job_ids))
            rows = db.execute(f"SELECT place FROM jobs WHERE id IN ({marks}) ORDER BY place", tuple(job_ids)).fetchall()
            pairs = zip((row["place"] for row in rows), job_ids, strict=False)
            db.executemany("UPDATE jobs SET place=? WHERE id=?", list(pairs))

        self._change(write, None)

    def saved(self, job_id: str, files: Sequence[Path]) -> None:
        """Write which files a running job has left so far."""
        names = json.dumps([str(path) for path in files])
        self._do(lambda db: db.execute("UPDATE jobs SET files=? WHERE id=?", (names, job_id)), None)

    def end(self, job_id: str, state: JobState, at: float, files: Sequence[Path] = (), error: str = "") -> None:
        """Write how a job ended and which files it left."""
        row = (state.value, at, json.dumps([str(path) for path in files]), error[:2000], job_id)

        def write(db: sqlite3.Connection) -> None:
            db.execute("UPDATE jobs SET state=?, ended_at=?, files=?, error=? WHERE id=?", row)
            _forget_old(db)

        self._change(write, None)

    def forget(self, job_id: str) -> bool:
        """Take an ended job out of the list; its files stay. False when there is none."""

        def write(db: sqlite3.Connection) -> bool:
            gone = db.execute("DELETE FROM jobs WHERE id=? AND state NOT IN (?, ?)", (job_id, *_LIVE)).rowcount == 1
            _forget_pictures(db)
            return gone

        return self._change(write, False)

    def entries(
        self, count: int = 100, *, before: int | None = None, states: Sequence[JobState] = (), user: str | None = None,
        whose: bool = False,
    ) -> list[Entry]:  # fmt: skip
        """Return the newest jobs, newest first.

        Args:
            count: at most so many.
            before: only those with a smaller number.
            states: only those in one of these; all when empty.
            user: whose, when `whose` is set; None is nobody's in particular.
            whose: only the jobs of this user.
        """
        wanted = [state.value for state in states]
        conditions = [
            *(["number < ?"] if before is not None else []),
            *([f"state IN ({', '.join('?' * len(wanted))})"] if wanted else []),
            *(["user IS ?"] if whose else []),
        ]
        values = [*([before] if before is not None else []), *wanted, *([user] if whose else []), count]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        rows = self._do(
            lambda db: db.execute(f"SELECT * FROM jobs {where} ORDER BY number DESC LIMIT ?", values).fetchall(),
            list[sqlite3.Row](),
        )
        return [_entry(row) for row in rows]

    def find(self, name: str) -> Entry | None:
        """Return the newest job with this id or task id."""
        row = self._do(
            lambda db: db.execute(
                "SELECT * FROM jobs WHERE id=? OR task_id=? ORDER BY number DESC LIMIT 1", (name, name)
            ).fetchone(),
            None,
        )
        return None if row is None else _entry(row)

    def picture(self, sha256: str) -> bytes | None:
        """Return a picture that a job brought along, None when it is no longer kept."""
        row = self._do(lambda db: db.execute("SELECT data FROM pictures WHERE sha256=?", (sha256,)).fetchone(), None)
        return None if row is None else row["data"]

    @property
    def paused(self) -> bool:
        """Whether the queue was paused when this was last written."""
        row = self._do(lambda db: db.execute("SELECT value FROM facts WHERE name=?", (_PAUSED,)).fetchone(), None)
        return row is not None and row["value"] == "yes"

    @paused.setter
    def paused(self, value: bool) -> None:
        fact = (_PAUSED, "yes" if value else "no")
        self._do(lambda db: db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", fact), None)

    def fault(self) -> str:
        """Return why nothing can be written beside this file; empty when it can."""
        probe = self._path.with_name(f".{secrets.token_hex(6)}.tmp")
        try:
            atomic.write(probe, b"\0" * 4096)
            probe.unlink()
        except StorageFault as fault:
            return str(fault)
        except OSError as error:
            return str(atomic.storage_fault(probe, error))
        return ""

    def close(self) -> None:
        """Close the file; later writes are logged and dropped."""
        with self._lock:
            self._db.close()

    def _gone(self, db: sqlite3.Connection) -> list[Origin]:
        """Return the processes with unfinished jobs that do not run any more."""
        found = db.execute("SELECT DISTINCT host, pid, born FROM jobs WHERE state IN (?, ?)", _LIVE).fetchall()
        origins = [Origin(host=row["host"], pid=row["pid"], born=row["born"]) for row in found]
        return [origin for origin in origins if not origin.host or origin.is_gone(alone=self._alone)]

    def _change(self, write: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Do several things as a whole or not at all."""

        def whole(db: sqlite3.Connection) -> T:
            db.execute("BEGIN IMMEDIATE")
            try:
                result = write(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return result

        return self._do(whole, otherwise)

    def _do(self, call: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self._lock:
            try:
                return call(self._db)
            except (sqlite3.Error, UnicodeError) as error:
                logger.warning("the list of jobs (%s) could not be used: %s", self._path.name, error)
                return otherwise


def _forget_old(db: sqlite3.Connection) -> None:
    """Forget ended jobs beyond the newest ones."""
    gone = db.execute(
        "DELETE FROM jobs WHERE number <= (SELECT MAX(number) FROM jobs) - ? AND state NOT IN (?, ?)", (KEEP, *_LIVE)
    ).rowcount
    if gone:
        _forget_pictures(db)


def _forget_pictures(db: sqlite3.Connection) -> None:
    """Forget the pictures of forgotten jobs, and those of the oldest ended ones when they take too much room."""
    db.execute("DELETE FROM brings WHERE job NOT IN (SELECT id FROM jobs)")
    rows = db.execute(
        "SELECT brings.job, SUM(LENGTH(data)) AS size, MAX(state IN (?, ?)) AS live FROM brings"
        " JOIN pictures USING (sha256) JOIN jobs ON jobs.id = brings.job GROUP BY brings.job ORDER BY MAX(number) DESC",
        _LIVE,
    ).fetchall()
    total = 0
    for row in rows:
        total += row["size"]
        if total > KEEP_PICTURE_BYTES and not row["live"]:
            db.execute("DELETE FROM brings WHERE job=?", (row["job"],))
    db.execute("DELETE FROM pictures WHERE sha256 NOT IN (SELECT sha256 FROM brings)")


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        number=row["number"], id=row["id"], task_id=row["task_id"], kind=row["kind"], form=row["form"],
        payload=json.loads(row["payload"]),
        owner=Owner(source=row["source"], client=row["client"], user=row["user"]), state=JobState(row["state"]),
        accepted_at=row["accepted_at"], started_at=row["started_at"], ended_at=row["ended_at"],
        files=tuple(Path(name) for name in json.loads(row["files"])), error=row["error"],
        attended=bool(row["attended"]),
    )  # fmt: skip
