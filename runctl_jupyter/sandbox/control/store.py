"""What outlives the server process: keys, instances and S3 objects, in one SQLite file and a folder of bodies.

Write-ahead logging with ``synchronous=NORMAL``: what was committed survives the death of the process (also by
SIGKILL); the last moments before a power cut of the computer may be lost.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS instances (id TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT, key TEXT, body TEXT NOT NULL, attributes TEXT NOT NULL, PRIMARY KEY (bucket, key)
);
"""


@dataclass(frozen=True)
class StoredObject:
    """One S3 object: where its bytes lie and what else is known of it."""

    bucket: str
    key: str
    body: Path
    attributes: dict[str, Any]


class StateStore:
    """The state of one sandbox home. Safe to use from any thread."""

    def __init__(self, home: Path) -> None:
        self._bodies = home / "objects"
        self._bodies.mkdir(mode=0o700, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(home / "state.sqlite3", check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)
        (home / "state.sqlite3").chmod(0o600)

    def close(self) -> None:
        """Fold the log into the database file and close it."""
        with self._lock:
            self._database.close()

    def _run(self, statement: str, *values: str) -> list[tuple[str, ...]]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()

    def fact(self, name: str) -> Any:
        """Give a stored fact, or None."""
        rows = self._run("SELECT value FROM facts WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows else None

    def set_fact(self, name: str, value: Any) -> None:
        """Store a JSON value under a name."""
        self._run("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, json.dumps(value))

    def save_instance(self, instance_id: str, record: dict[str, Any]) -> None:
        """Store all there is to know about an instance."""
        self._run("INSERT OR REPLACE INTO instances VALUES (?, ?)", instance_id, json.dumps(record))

    def forget_instance(self, instance_id: str) -> None:
        """Remove an instance that is no longer describable."""
        self._run("DELETE FROM instances WHERE id = ?", instance_id)

    def instances(self) -> dict[str, dict[str, Any]]:
        """Give all stored instances by id, oldest first."""
        return {row[0]: json.loads(row[1]) for row in self._run("SELECT id, record FROM instances ORDER BY rowid")}

    def write_body(self, content: bytes) -> Path:
        """Write the bytes of an object to a file of their own."""
        name = uuid.uuid4().hex
        path = self._bodies / name[:2] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    def save_object(self, bucket: str, key: str, body: Path, attributes: dict[str, Any]) -> None:
        """Record that an object now has the bytes at `body`; the bytes that it had before are removed."""
        before = self._body_of(bucket, key)
        relative = str(body.relative_to(self._bodies))
        self._run("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", bucket, key, relative, json.dumps(attributes))
        if before is not None and before != body:
            before.unlink(missing_ok=True)

    def delete_object(self, bucket: str, key: str) -> None:
        """Remove an object and its bytes."""
        before = self._body_of(bucket, key)
        self._run("DELETE FROM objects WHERE bucket = ? AND key = ?", bucket, key)
        if before is not None:
            before.unlink(missing_ok=True)

    def objects(self) -> Iterator[StoredObject]:
        """Give all objects; those whose bytes are gone are skipped."""
        for bucket, key, body, attributes in self._run("SELECT bucket, key, body, attributes FROM objects"):
            path = self._bodies / body
            if path.exists():
                yield StoredObject(bucket, key, path, json.loads(attributes))

    def object_keys(self, bucket: str) -> list[str]:
        """Give the keys of a bucket's objects."""
        return [row[0] for row in self._run("SELECT key FROM objects WHERE bucket = ?", bucket)]

    def sweep_bodies(self) -> int:
        """Remove bytes that no object refers to (of writes that a crash cut off); gives how many files."""
        known = {row[0] for row in self._run("SELECT body FROM objects")}
        orphans = [path for path in self._bodies.glob("*/*") if str(path.relative_to(self._bodies)) not in known]
        for path in orphans:
            path.unlink(missing_ok=True)
        return len(orphans)

    def _body_of(self, bucket: str, key: str) -> Path | None:
        rows = self._run("SELECT body FROM objects WHERE bucket = ? AND key = ?", bucket, key)
        return self._bodies / rows[0][0] if rows else None
