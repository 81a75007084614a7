"""The queue of profiles that are to be written, on disk: what was accepted is still there after a crash."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Sequence

from bluerec.store.database import Database
from bluerec.store.records import JOB_COLUMNS, StoredJob
from bluerec.store.transactions import NO_HISTORY, find_user

_FROM = f"SELECT {JOB_COLUMNS} FROM jobs JOIN users USING (user_row)"


class JobQueue:
    """First come, first served; a user waits at most once, and of what is finished only the user's latest is kept."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, writer: sqlite3.Connection, user_row: int) -> StoredJob:
        """The job of a user that waits already, or a new one."""
        waiting = writer.execute(f"{_FROM} WHERE user_row = ? AND state = 'queued'", (user_row,)).fetchone()
        if waiting:
            return StoredJob(*waiting)
        writer.execute("DELETE FROM jobs WHERE user_row = ? AND state IN ('done', 'failed')", (user_row,))
        job_id = secrets.token_hex(8)
        writer.execute(
            "INSERT INTO jobs (job_id, user_row, state, created_at) VALUES (?, ?, 'queued', ?)",
            (job_id, user_row, time.time()),
        )
        return StoredJob(*writer.execute(f"{_FROM} WHERE job_id = ?", (job_id,)).fetchone())

    def take(self) -> StoredJob | None:
        """The oldest job that is not finished, now running; one that a dead process left running comes first.

        It remembers which history its writer is going to see.
        """
        if not self.count_open():
            return None
        with self._database.writing() as writer:
            oldest = writer.execute(
                "SELECT job_row FROM jobs WHERE state IN ('queued', 'running') ORDER BY job_row LIMIT 1"
            ).fetchone()
            if oldest is None:
                return None
            writer.execute(
                "UPDATE jobs SET state = 'running', history_digest = "
                "(SELECT history_digest FROM users WHERE users.user_row = jobs.user_row) WHERE job_row = ?",
                oldest,
            )
            return StoredJob(*writer.execute(f"{_FROM} WHERE job_row = ?", oldest).fetchone())

    def finish(self, job_id: str, error: str | None) -> None:
        """Close a job; one that others have closed stays as it is, one of a user who was deleted is not there."""
        with self._database.writing() as writer:
            self._finish(writer, job_id, error)

    def _finish(self, writer: sqlite3.Connection, job_id: str, error: str | None) -> None:
        asked = "UPDATE jobs SET state = ?, error = ? WHERE job_id = ? AND state IN ('queued', 'running')"
        writer.execute(asked, ("failed" if error else "done", error, job_id))

    def fail_user(self, user_id: str, error: str) -> None:
        """The job that waits for a user has failed; where none waits, it is made for that."""
        with self._database.writing() as writer:
            user_row = find_user(writer, user_id)
            if user_row >= 0:
                self._finish(writer, self.add(writer, user_row).job_id, error)

    def close_answered(self) -> None:
        """Close the jobs of users whose profile has seen their history, or who have none: nothing is left to do."""
        with self._database.writing() as writer:
            writer.execute(
                "UPDATE jobs SET state = 'done', error = NULL WHERE state != 'done' AND EXISTS (SELECT 1 FROM users "
                "WHERE users.user_row = jobs.user_row AND (users.history_digest = ? OR users.history_digest = ("
                "SELECT history_digest FROM versions WHERE versions.user_row = users.user_row "
                "ORDER BY version DESC LIMIT 1)))",
                (NO_HISTORY,),
            )

    def list(self, user_id: str | None = None) -> Sequence[StoredJob]:
        """Jobs, oldest first, of one user or of all."""
        with self._database.reading() as reader:
            if user_id is None:
                rows = reader.execute(f"{_FROM} ORDER BY job_row").fetchall()
            else:
                rows = reader.execute(f"{_FROM} WHERE user_id = ? ORDER BY job_row", (user_id,)).fetchall()
        return [StoredJob(*row) for row in rows]

    def count_open(self) -> int:
        """How many wait or run."""
        with self._database.reading() as reader:
            asked = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"
            return int(reader.execute(asked).fetchone()[0])
