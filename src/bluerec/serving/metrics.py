"""What the service counts, in Prometheus' format, and what it logs, as JSON lines.

Neither ever holds a user's id, a title or the text of a profile: what is not written need not be deleted.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from bluerec.errors import BluerecError

LOGGER = "bluerec.serving"
_MOST_CHARACTERS = 500
_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counters of one application, in a registry of its own, so that two applications do not mix."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "bluerec_requests", "Answered requests.", ("method", "route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "bluerec_request_seconds", "Time to answer.", ("route",), registry=self._registry, buckets=_BUCKETS
        )
        self.in_flight = Gauge("bluerec_requests_in_flight", "Requests being answered.", registry=self._registry)
        self.refused = Counter(
            "bluerec_requests_refused",
            "Requests refused before they were routed.",
            ("reason",),
            registry=self._registry,
        )
        self.queued = Gauge("bluerec_queue_jobs", "Profiles waiting to be written.", registry=self._registry)
        self.written = Counter("bluerec_jobs", "Finished jobs of the queue.", ("outcome",), registry=self._registry)
        self.writing = Histogram(
            "bluerec_write_seconds", "Time of the generator for one profile.", registry=self._registry, buckets=_BUCKETS
        )

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[1]:
            row |= describe_exception(record.exc_info[1])
        return json.dumps(row, ensure_ascii=True)


def describe_failure(error: BaseException) -> dict[str, Any]:
    """An error for the log: of one that a user can mend the line that says how, of any other the type and the places.

    The lines of the store's and the models' errors name no user and quote no text.
    """
    if not isinstance(error, BluerecError):
        return describe_exception(error)
    return {"exception": type(error).__name__, "reason": " ".join(str(error).split())[:_MOST_CHARACTERS]}


def describe_exception(error: BaseException) -> dict[str, Any]:
    """The type of an exception and its places, for the log: its message may quote a profile."""
    frames = traceback.extract_tb(error.__traceback__)
    return {"exception": type(error).__name__, "at": [f"{frame.filename}:{frame.lineno}" for frame in frames[-4:]]}


def configure_logging(level: int = logging.INFO) -> None:
    """Send the service's and the web server's messages to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in (LOGGER, "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level)


def log(event: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """One line of the log; `facts` are counts, codes, durations and reasons, never a user's text or id."""
    logging.getLogger(LOGGER).log(level, event, extra={"facts": facts})
