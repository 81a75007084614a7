"""bluerec prepare: raw logs to canonical tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bluerec.cli import console
from bluerec.cli.options import JsonOption
from bluerec.data.drops import Drops
from bluerec.data.prepare import prepare
from bluerec.data.prepared import Filters, Prepared
from bluerec.data.sources import SOURCES, Columns, open_source
from bluerec.data.sources.columns import EVENT_OPTION, ITEM_OPTION, parse_mapping


def prepare_command(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=f"One of {', '.join(SOURCES)}.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file or folder in the format of the source.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The prepared folder, new or empty.")],
    min_user_events: Annotated[
        int, typer.Option(help="Keep users with at least so many interactions (k-core with the next option).")
    ] = 1,
    min_item_events: Annotated[int, typer.Option(help="Keep items with at least so many interactions.")] = 1,
    keep_repeats: Annotated[
        bool, typer.Option("--keep-repeats", help="Keep later interactions of a user with an item, e.g. for purchases.")
    ] = False,
    max_bad_rows: Annotated[int, typer.Option(help="Stop beyond so many lines that cannot be read.")] = 100,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what was prepared in DIR before.")] = False,
    items: Annotated[
        Path | None, typer.Option("--items", metavar="FILE", help="parquet, csv, jsonl: the table of the items.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            EVENT_OPTION,
            metavar="FIELD=NAME",
            help="parquet, csv, jsonl: the column of a field (user_id, item_id, timestamp, rating, review_title, "
            "review_text); FIELD= for none. Guessed where not given; may be repeated.",
        ),
    ] = None,
    item_column: Annotated[
        list[str] | None,
        typer.Option(
            ITEM_OPTION,
            metavar="FIELD=NAME",
            help="The same for items (item_id, title, description, categories, brand, price, domain).",
        ),
    ] = None,
    timestamp_unit: Annotated[
        str | None,
        typer.Option(
            metavar="UNIT", help="parquet, csv, jsonl: s, ms, us, ns or date; else by the size of each value."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read raw logs and write the canonical tables: interactions.parquet, items.parquet, drops.json, prepare.json.

    What is dropped or mended is counted by reason; docs/data-format.md explains each.
    """
    filters = Filters(min_user_events, min_item_events, keep_repeats, max_bad_rows)
    columns = Columns(
        parse_mapping(column or (), EVENT_OPTION), parse_mapping(item_column or (), ITEM_OPTION), timestamp_unit
    )
    opened = open_source(source, path, items=items, columns=columns)
    for note in opened.notes:
        console.say(note)
    prepared = prepare(opened, out, filters, overwrite=overwrite, progress=console.progress)
    for note in prepared.notes[len(opened.notes) :]:
        console.say(note)
    if as_json:
        console.print_json(prepared.as_dict())
    else:
        _print(prepared)
    _tell_examples(prepared)


def _print(prepared: Prepared) -> None:
    console.print_result(
        f"{prepared.folder}: {prepared.n_users:,} users, {prepared.n_items:,} items, "
        f"{prepared.n_events:,} interactions {prepared.span}"
    )
    tables = (("interactions", prepared.drops.events), ("items", prepared.drops.items))
    console.print_table([row for name, drops in tables for row in _rows(name, drops)])


def _tell_examples(prepared: Prepared) -> None:
    for name, drops in (("interactions", prepared.drops.events), ("items", prepared.drops.items)):
        for reason, example in drops.examples.items():
            console.say(f"first {reason} of the {name}: {example}")


def _rows(table: str, drops: Drops) -> list[dict[str, object]]:
    """The counts that are not zero."""
    counts = [("", "read", drops.n_read), *(("dropped", reason, count) for reason, count in drops.dropped.items())]
    counts += [("repaired", reason, count) for reason, count in drops.repaired.items()]
    counts += [("kept without", name, count) for name, count in drops.missing.items()]
    counts.append(("", "kept", drops.n_kept))
    return [
        {"table": table, "what": what, "reason": reason, "rows": f"{count:,}"}
        for what, reason, count in counts
        if count or not what
    ]
