"""bluerec refresh: new interactions, and profiles for whoever needs one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from bluerec.cli import console
from bluerec.cli.generators import (
    WRITER_HELP,
    EndpointOption,
    WordSupportOption,
    WriterChoice,
    WriterSettingsOption,
    make_writer,
)
from bluerec.cli.options import AdapterOption, JsonOption, OfflineOption
from bluerec.config import ProfilerConfig
from bluerec.errors import DataError, first_line
from bluerec.profiling.shared_words import STORE_WORD_SUPPORT
from bluerec.store.refreshing import Refreshed, refresh_store
from bluerec.store.store import Store

_MOST_NAMED = 20


def refresh_command(
    folder: Annotated[Path, typer.Argument(metavar="STORE", help="A store made by bluerec index.")],
    events: Annotated[
        Path | None,
        typer.Argument(metavar="[NEW]", help="New interactions: a prepared folder, or a Parquet, CSV or JSONL file."),
    ] = None,
    writer: Annotated[str, typer.Option("--writer", help=WRITER_HELP)] = ProfilerConfig().model,
    adapter: AdapterOption = None,
    endpoint: EndpointOption = None,
    word_support: WordSupportOption = STORE_WORD_SUPPORT,
    settings: WriterSettingsOption = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add new interactions, then write a profile for each user whose history it does not know yet.

    Run twice it changes nothing; killed, it goes on where it was. Sentences that a person wrote stay as they are.
    Users whose profile cannot be written are named at the end, and the exit status is 1; the others have theirs.
    """
    table = _read_events(events) if events else None
    choice = WriterChoice(writer, adapter, endpoint, settings or (), word_support, offline)
    choice.check()
    with Store.open(folder, offline=offline) as store, console.progress("writing profiles") as progress:
        write = make_writer(choice, store.catalogue.names)
        done = refresh_store(store, write, table, progress=progress)
    if as_json:
        console.print_json({"store": str(folder), **asdict(done)})
    else:
        _tell(done, with_events=table is not None)
    end_with_failures(done.failed)


def _tell(done: Refreshed, *, with_events: bool) -> None:
    if with_events:
        console.print_result(
            f"{done.n_events_added:,} new interactions, {done.n_events_known:,} known already, "
            f"{done.n_unknown_items:,} of items that the store does not have"
        )
    if done.n_unknown_items:
        console.say("give the store the new catalogue, and these events again: bluerec index DIR --out STORE --rebuild")
    console.print_result(
        f"{done.n_rewritten:,} profiles written, {done.n_offered:,} of them beside sentences that a person wrote"
    )
    if done.n_newer:
        console.print_result(f"{done.n_newer:,} users had got a newer profile meanwhile, and keep it")
    if done.n_gone:
        console.print_result(f"{done.n_gone:,} users were deleted meanwhile")


def end_with_failures(failed: Mapping[str, str]) -> None:
    """Name the users who got no profile, with the reasons, and end with status 1 if there are any."""
    if not failed:
        return
    for user, reason in list(failed.items())[:_MOST_NAMED]:
        console.fail(f"user {user!r}: {reason}")
    more = f", the first {_MOST_NAMED} of them named" if len(failed) > _MOST_NAMED else ""
    console.fail(f"{len(failed):,} users got no new profile{more}; everybody else did")
    raise typer.Exit(1)


def _read_events(path: Path) -> pl.DataFrame:
    if path.is_dir():
        path = path / "interactions.parquet"
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a prepared folder, or a Parquet, CSV or JSONL file")
    ids = {"user_id": pl.String, "item_id": pl.String}
    try:
        if path.suffix == ".csv":
            return pl.read_csv(path, schema_overrides=ids)
        if path.suffix in (".jsonl", ".ndjson"):
            return pl.read_ndjson(path, schema_overrides=ids)
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read ({first_line(error)}); prepare it: bluerec prepare csv {path} --out DIR"
        ) from error
