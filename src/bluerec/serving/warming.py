"""Loading the embedder beside the start: lists of stored profiles do not need it, texts and edits do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from bluerec.errors import BluerecError
from bluerec.serving.metrics import describe_failure, log

_PAUSE_SECONDS = 30.0
_FAILURES = (BluerecError, OSError, RuntimeError, ValueError, KeyError, TypeError)


class Warmup:
    """Calls `load` in a thread of its own until it works; `state` is warming, failed or ready.

    After a failure it tries again by and by, and requests try themselves: they are told why it fails.
    """

    def __init__(self, load: Callable[[], object] | None) -> None:
        self._load = load
        self._stopping = threading.Event()
        self.state = "ready" if load is None else "warming"

    def start(self) -> None:
        if self._load is not None:
            threading.Thread(target=self._run, args=(self._load,), name="embedder", daemon=True).start()

    def stop(self) -> None:
        """Try no more. A load that is running ends with the process."""
        self._stopping.set()

    def _run(self, load: Callable[[], object]) -> None:
        begin = time.perf_counter()
        while not self._stopping.is_set():
            try:
                load()
            except _FAILURES as error:
                if self.state != "failed":
                    log("the embedder cannot be loaded", level=logging.ERROR, **describe_failure(error))
                self.state = "failed"
                self._stopping.wait(_PAUSE_SECONDS)
            else:
                self.state = "ready"
                log("the embedder is loaded", seconds=round(time.perf_counter() - begin, 1))
                return
