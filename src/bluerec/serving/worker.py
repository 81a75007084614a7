"""Profiles written in the background: one thread takes jobs from the queue on disk, one at a time.

A job that was running when the process died is taken up again: writing a profile twice does no harm. While the
generator is slow or fails, recommendations go on with the last profile. Where it does not answer at present, the queue
waits for it; where it refuses one job, that job fails and the next one has its turn. A job that others have answered
meanwhile, or whose user was deleted, is no failure.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from bluerec.errors import BluerecError, StoreError, UnavailableError
from bluerec.serving.metrics import Metrics, describe_failure, log
from bluerec.serving.ports import Job, ProfileStore
from bluerec.types import Event

# From a user's events, oldest first, to a text and the name of what wrote it.
Generate = Callable[[str, Sequence[Event]], tuple[str, str]]
_IDLE_SECONDS = 0.2
_LEAST_WAIT, _MOST_WAIT = 1.0, 30.0
_FAILURES = (BluerecError, OSError, RuntimeError, ValueError, KeyError, TypeError)


class ProfileWorker:
    """Writes what the queue asks for until it is stopped; `is_waiting` while the generator does not answer."""

    def __init__(self, store: ProfileStore, generate: Generate, metrics: Metrics) -> None:
        self._store = store
        self._generate = generate
        self._metrics = metrics
        self._stopping = threading.Event()
        self.is_waiting = False
        self._thread = threading.Thread(target=self._run, name="profile-worker", daemon=True)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Ask the thread to end and wait for it; a job that is still running stays in the queue."""
        self._stopping.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                job = self._store.next_job()
            except _FAILURES as error:
                log("queue cannot be read", level=logging.ERROR, **describe_failure(error))
                self._stopping.wait(1.0)
                continue
            if job is None:
                self._stopping.wait(_IDLE_SECONDS)
            else:
                self._write(job)

    def _write(self, job: Job) -> None:
        begin = time.perf_counter()
        failure, outcome = None, "done"
        try:
            events = self._store.history(job.user_id)
            if events:  # none: the user was deleted meanwhile
                text, writer = self._generate(job.user_id, events)
                self._store.save_written(job.user_id, text, writer, job.job_id)
        except UnavailableError as error:
            self._wait(error)
            return
        except _FAILURES as error:
            if isinstance(error, StoreError) and self._is_gone(job):
                outcome = "gone"
            else:
                failure, outcome = type(error).__name__, "failed"
                log("profile was not written", level=logging.WARNING, **describe_failure(error))
        self.is_waiting = False
        try:
            self._store.finish_job(job.job_id, failure)
        except _FAILURES as error:
            log("job was not closed", level=logging.ERROR, **describe_failure(error))
        self._metrics.writing.observe(time.perf_counter() - begin)
        self._metrics.written.labels(outcome).inc()

    def _is_gone(self, job: Job) -> bool:
        """Whether nobody waits for the job any more: it was closed by others, or its user was deleted."""
        try:
            jobs = self._store.jobs(job.user_id)
        except _FAILURES:
            return False
        return not any(one.job_id == job.job_id and one.state in ("queued", "running") for one in jobs)

    def _wait(self, error: UnavailableError) -> None:
        """Leave the job where it is; it is the next one again."""
        if not self.is_waiting:
            log("the generator does not answer; the queue waits", level=logging.WARNING, **describe_failure(error))
        self.is_waiting = True
        self._metrics.written.labels("put off").inc()
        self._stopping.wait(min(max(error.retry_after, _LEAST_WAIT), _MOST_WAIT))
