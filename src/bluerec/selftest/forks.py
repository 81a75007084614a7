"""A process that forks as it is told: everything is imported once, and a trial costs milliseconds.

The parent asks on stdin, one JSON list a line; a fork is made, which waits; a second line lets it go. The number of the
fork and how it ended come back on stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any


class Forks:
    """The other end of `serve_forks`: one fork at a time."""

    def __init__(self, module: str) -> None:
        command = [sys.executable, "-m", module]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def begin(self, *arguments: Any) -> int:
        """The number of a fork that waits to do this."""
        return self._ask(json.dumps(arguments))

    def end(self) -> int:
        """Let it go; when it has ended, its status, or minus the signal that ended it."""
        return self._ask("go")

    def let_go(self) -> None:
        """Let it go and do not wait; `wait` does."""
        self._say("go")

    def wait(self) -> int:
        """How the fork ended that was let go."""
        return self._read()

    def close(self) -> None:
        self._process.communicate()

    def _ask(self, line: str) -> int:
        self._say(line)
        return self._read()

    def _say(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def _read(self) -> int:
        return int(self._process.stdout.readline()) if self._process.stdout is not None else -1


def serve_forks(do: Callable[..., int]) -> None:
    """Fork as told on stdin until there is no more of it; a fork ends with the status that `do` returns."""
    for line in iter(sys.stdin.readline, ""):
        waits, goes = os.pipe()
        pid = os.fork()
        if not pid:
            os.read(waits, 1)
            status = 1
            try:
                status = do(*json.loads(line))
            except (OSError, ValueError, RuntimeError, LookupError, TypeError, ArithmeticError):
                traceback.print_exc()
            finally:
                os._exit(status)
        _answer(pid)
        sys.stdin.readline()
        os.write(goes, b"1")
        _answer(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        os.close(waits)
        os.close(goes)


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
