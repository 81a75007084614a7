"""bluerec reindex: the search index of a store made anew from the vectors that are there."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bluerec.cli import console
from bluerec.cli.options import ExactUpToOption, JsonOption, OfflineOption
from bluerec.store.indexing import reindex_store
from bluerec.store.search import EXACT_UP_TO


def reindex_command(
    folder: Annotated[Path, typer.Argument(metavar="STORE", help="A store made by bluerec index.")],
    exact_up_to: ExactUpToOption = EXACT_UP_TO,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the index of a store anew: where its file is damaged, or to measure it with profiles that came since.

    Vectors, users and profiles stay as they are, and no text is embedded where there are profiles. A service that
    runs on the store goes on with its index until it is started again.
    """
    begin = time.perf_counter()
    facts = reindex_store(folder, exact_up_to=exact_up_to, offline=offline)
    seconds = round(time.perf_counter() - begin, 1)
    if as_json:
        console.print_json({"store": str(folder), "search": asdict(facts), "seconds": seconds})
    else:
        console.print_result(f"{folder}: search: {facts.describe()}, {seconds} s")
