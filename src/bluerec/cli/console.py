"""What the command line prints: results to stdout, everything else to stderr.

Texts from data or models are untrusted: they pass through `plain`, which removes control characters, and never
through rich's markup.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from bluerec.types import CountDone

_results = Console(highlight=False)
_messages = Console(stderr=True, highlight=False)
_state = {"verbose": False}


def set_verbose(verbose: bool) -> None:
    """Let `detail` print."""
    _state["verbose"] = verbose


def say(text: str) -> None:
    """One message to stderr."""
    _messages.print(Text(plain(text)), soft_wrap=True)


def detail(text: str) -> None:
    """A message for those who asked with -v."""
    if _state["verbose"]:
        _messages.print(Text(plain(text)), style="dim", soft_wrap=True)


def fail(text: str) -> None:
    """The one line of an error to stderr."""
    _messages.print(Text.assemble(("error: ", "bold red"), plain(" ".join(text.splitlines()))), soft_wrap=True)


def print_result(text: str) -> None:
    """A line of the result to stdout."""
    _results.print(Text(plain(text)), soft_wrap=True)


def print_json(value: Any) -> None:
    """A machine-readable result to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_table(rows: Sequence[Mapping[str, object]], *, title: str | None = None) -> None:
    """Rows with the same keys as a table on stdout; numbers right-aligned, no markup is interpreted."""
    if not rows:
        return
    table = Table(title=Text(plain(title)) if title else None, title_justify="left", box=None, pad_edge=False)
    for name, value in rows[0].items():
        numeric = isinstance(value, int | float) or (isinstance(value, str) and value[:1].isdigit())
        table.add_column(Text(name, style="bold"), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(str(value))) for value in row.values()))
    _results.print(table)


@contextmanager
def progress(description: str) -> Iterator[CountDone]:
    """A bar on stderr while a terminal is there; yields a callable that is told (done, total)."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_messages, transient=True, disable=not _messages.is_terminal) as bar:
        task = bar.add_task(description, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield tell


def plain(text: str) -> str:
    """The text without control and direction-changing characters, line breaks kept."""
    return "".join(
        character if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf") else " "
        for character in text
    )
