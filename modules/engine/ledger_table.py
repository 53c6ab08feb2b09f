"""The tables of the ledger, and how a file of an older version becomes one of today's."""

import sqlite3
from contextlib import closing
from pathlib import Path

_JOBS = """
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
_ADDED = (
    "host TEXT NOT NULL DEFAULT ''",
    "pid INTEGER NOT NULL DEFAULT 0",
    "born REAL NOT NULL DEFAULT 0",
    "form TEXT NOT NULL DEFAULT 'Generation'",
    "attended INTEGER NOT NULL DEFAULT 0",
    "place INTEGER NOT NULL DEFAULT 0",
)
"""Columns that the first version of the table did not have."""
_BESIDE = (
    "CREATE TABLE IF NOT EXISTS pictures (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS brings (job TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (job, sha256))",
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS jobs_by_place ON jobs (place)",
    "CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state)",
)
"""What requests brought along, each picture once; and single facts about the queue."""


def open_tables(path: Path) -> sqlite3.Connection:
    """Open the file, and make or extend its tables.

    Raises:
        sqlite3.OperationalError: the file cannot be opened.
        sqlite3.DatabaseError: the file is not a database.
    """
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
    try:
        db.row_factory = sqlite3.Row
        with closing(db.execute("PRAGMA journal_mode=WAL")):
            pass
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("BEGIN IMMEDIATE")
        db.execute(_JOBS)
        _extend(db)
        for statement in _BESIDE:
            db.execute(statement)
        db.execute("COMMIT")
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db


def _extend(db: sqlite3.Connection) -> None:
    known = {row["name"] for row in db.execute("PRAGMA table_info(jobs)")}
    for column in _ADDED:
        if column.split()[0] not in known:
            db.execute(f"ALTER TABLE jobs ADD COLUMN {column}")
