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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from bluerec.types import CountDone

_results = Console(highlight=False)
_messages = Console(stderr=True, highlight=False)
_state = {"verbose": False}
# Wider than any table: what is read by a program or kept is not cut into lines.
_WIDTH_OF_FILES = 100_000
_LEAST_OF_TEXTS = 20


def set_verbose(verbose: bool) -> None:
    """Let `detail` print."""
    _state["verbose"] = verbose


def shows_progress() -> bool:
    """True where people see how work goes on: by a bar on a terminal, or as they asked for details."""
    return _messages.is_terminal or _state["verbose"]


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
    """Rows with the same keys as a table on stdout; numbers right-aligned, no markup is interpreted.

    Sentences and titles are folded to the width of a terminal, names and numbers never: a line with half of a name in
    it can be neither read nor searched. Where there is no terminal, nothing is folded.
    """
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    texts = [[plain(str(value)) for value in row.values()] for row in rows]
    least = 0  # width
    for (name, value), cells in zip(rows[0].items(), zip(*texts, strict=True), strict=True):
        numeric = isinstance(value, int | float) or (isinstance(value, str) and value[:1].isdigit())
        is_word = not any(character.isspace() for cell in cells for character in cell)
        least += (max(map(cell_len, (name, *cells))) if is_word else _LEAST_OF_TEXTS) + 1
        justify: JustifyMethod = "right" if numeric else "left"
        table.add_column(Text(name, style="bold"), justify=justify, overflow="fold", no_wrap=is_word)
    for line in texts:
        table.add_row(*map(Text, line))
    if title:
        _results.print(Text(plain(title), style="table.title"), soft_wrap=True)
    _results.print(_Wide(table, max(least, _results.width if _results.is_terminal else _WIDTH_OF_FILES)), crop=False)


@dataclass(frozen=True, slots=True)
class _Wide:
    """A table in a width of its own, whatever the terminal's is."""

    table: Table
    width: int

    def __rich_console__(self, output: Console, options: ConsoleOptions) -> RenderResult:
        yield from output.render(self.table, options.update(width=self.width))


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
