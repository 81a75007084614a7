"""The command line: one module a verb, wiring only. Failures that a user can mend end in one line and exit 2."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import Annotated

import typer

from bluerec import __version__
from bluerec.cli import console
from bluerec.errors import BluerecError

app = typer.Typer(
    name="bluerec",
    help="Textual user profiles that retrieve: prepare logs, write profiles, train the profiler, evaluate, serve.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

VERBS = (
    "prepare", "write", "train", "evaluate", "bench", "report", "show", "index", "reindex", "refresh", "serve", "key",
    "download", "demo", "doctor", "selftest",
)  # fmt: skip


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bluerec {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    console.set_verbose(verbose)


for _verb in VERBS:
    _module = importlib.import_module(f"bluerec.cli.{_verb}")
    app.command(_verb)(getattr(_module, f"{_verb}_command"))


def main() -> None:
    """Entry point of the `bluerec` command."""
    # The libraries' own bars and notices would hide ours; whoever wants them sets these variables.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.warnoptions:
        # Between the libraries: deprecations of each other, and peft's look on the hub for a model that is embedded.
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="peft")
    try:
        app()
    except BluerecError as error:
        console.fail(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        console.fail("interrupted; what was finished is kept, run the same command again to go on")
        sys.exit(130)
