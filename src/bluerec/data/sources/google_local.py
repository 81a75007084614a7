"""Google Local 2021 (Li, Shang and McAuley, 2022): reviews of places, one file of reviews and one of places a state.

Lines are JSON or Python literals; times are milliseconds. A place has no brand; its description is the published
one followed by its address, because where a place lies says who goes there. `$$` is not a price and is left out.
The domain is the state.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from bluerec.data.sources.blocks import CountBytes
from bluerec.data.sources.findings import BadLines
from bluerec.data.sources.lines import JsonLines, read_lines
from bluerec.data.sources.source import (
    EVENTS_SCHEMA,
    RAW_ITEMS_SCHEMA,
    Source,
    bare_name,
    complete,
    has_suffix,
    list_files,
)
from bluerec.errors import DataError

_REVIEW = pl.Schema(
    {"user_id": pl.String(), "gmap_id": pl.String(), "time": pl.Int64(), "rating": pl.Float64(), "text": pl.String()}
)
_PLACE = pl.Schema(
    {
        "gmap_id": pl.String(),
        "name": pl.String(),
        "description": pl.String(),
        "address": pl.String(),
        "category": pl.List(pl.String()),
    }
)
_WANTED = "folder with review-STATE.json.gz and meta-STATE.json.gz, or one review file"


def open_google_local(path: Path) -> Source:
    """The source in a folder (one or several states) or of one review file, whose places are looked for beside it.

    Raises `DataError` if there are no reviews.
    """
    files = [file for file in list_files(path, _WANTED) if has_suffix(file, ".json")]
    reviews = [file for file in files if file.name.startswith("review-")]
    if not reviews:
        raise DataError(f"{path}: no review-STATE.json.gz found; give the {_WANTED}")
    neighbours = files if path.is_dir() else list_files(path.parent, _WANTED)
    states = {_state(file) for file in reviews}
    places = [file for file in neighbours if file.name.startswith("meta-") and _state(file) in states]
    missing = sorted(states - {_state(file) for file in places})
    return Source(
        name="google-local",
        event_files=tuple(reviews),
        item_files=tuple(places),
        ticks_per_second=1000,
        read_events=partial(_read_events, reviews),
        read_items=partial(_read_items, places) if places else None,
        notes=tuple(f"no metadata for {state}: put meta-{state}.json.gz beside the reviews" for state in missing),
    )


def _state(file: Path) -> str:
    """The state in a file's name, without the mark of the 10-core files."""
    return re.sub(r"^(review|meta)-|_10$", "", bare_name(file))


def _read_events(files: list[Path], bad: BadLines, tell: CountBytes | None = None) -> Iterator[pl.DataFrame]:
    names = {"gmap_id": "item_id", "time": "timestamp", "text": "review_text"}
    for file in files:
        for table in read_lines(file, JsonLines(_REVIEW, ("user_id", "gmap_id")), bad, of="events", tell=tell):
            yield complete(table.rename(names), EVENTS_SCHEMA)


def _read_items(files: list[Path], bad: BadLines, tell: CountBytes | None = None) -> Iterator[pl.DataFrame]:
    # An address begins with the name of the place, which the title has already.
    address = pl.col("address").str.strip_prefix(pl.col("name") + ", ")
    for file in files:
        domain = _state(file).replace("_", " ")
        for table in read_lines(file, JsonLines(_PLACE, ("gmap_id",)), bad, of="items", tell=tell):
            places = table.select(
                pl.col("gmap_id").alias("item_id"),
                pl.col("name").alias("title"),
                pl.concat_str("description", address, separator=" ", ignore_nulls=True).alias("description"),
                pl.col("category").alias("categories"),
                pl.lit(domain).alias("domain"),
            )
            yield complete(places, RAW_ITEMS_SCHEMA)
