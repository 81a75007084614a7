"""Amazon Reviews 2023 (Hou et al., 2024): reviews and metadata as JSON lines, or the published 5-core CSVs.

The key of an item is `parent_asin`, as in the authors' own preprocessing; times are milliseconds. An item's
description is its features followed by its description, its domain is the category that the file is named after.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from bluerec.data.sources.blocks import CountBytes, read_head
from bluerec.data.sources.findings import BadLines
from bluerec.data.sources.lines import Delimited, JsonLines, LineFormat, read_lines
from bluerec.data.sources.source import (
    EVENTS_SCHEMA,
    Source,
    bare_name,
    complete,
    has_suffix,
    list_files,
)
from bluerec.errors import DataError

META_PREFIX = "meta_"
_REVIEW = pl.Schema(
    {
        "user_id": pl.String(),
        "parent_asin": pl.String(),
        "timestamp": pl.Int64(),
        "rating": pl.Float64(),
        "title": pl.String(),
        "text": pl.String(),
    }
)
_CSV_COLUMNS = ("user_id", "parent_asin", "rating", "timestamp")
_META = pl.Schema(
    {
        "parent_asin": pl.String(),
        "title": pl.String(),
        "features": pl.List(pl.String()),
        "description": pl.List(pl.String()),
        "main_category": pl.String(),
        "categories": pl.List(pl.String()),
        "store": pl.String(),
        "price": pl.String(),
    }
)
_REQUIRED = ("user_id", "parent_asin")
_WANTED = "folder with CATEGORY.jsonl.gz and meta_CATEGORY.jsonl.gz, or one such file"


def open_amazon(path: Path) -> Source:
    """The source in a folder (one or several categories) or of one review file.

    The metadata of a single file is looked for beside it. Raises `DataError` if there are no reviews, or both
    JSON lines and CSVs.
    """
    files = [file for file in list_files(path, _WANTED) if has_suffix(file, ".jsonl", ".csv")]
    reviews = [file for file in files if not file.name.startswith(META_PREFIX)]
    if not reviews:
        raise DataError(f"{path}: no reviews found; give the {_WANTED}")
    if len({has_suffix(file, ".csv") for file in reviews}) > 1:
        raise DataError(f"{path}: holds reviews both as .jsonl and as .csv; give the one or the other")
    metadata = [file for file in files if file.name.startswith(META_PREFIX)] if path.is_dir() else _find_metadata(path)
    notes = [
        f"no metadata for {bare_name(file)}: put meta_{bare_name(file)}.jsonl.gz beside {file.name}"
        for file in reviews
        if f"{META_PREFIX}{bare_name(file)}" not in map(bare_name, metadata)
    ]
    return Source(
        name="amazon-2023",
        event_files=tuple(reviews),
        item_files=tuple(metadata),
        ticks_per_second=1000,
        read_events=partial(_read_events, reviews),
        read_items=partial(_read_items, metadata) if metadata else None,
        notes=tuple(notes),
    )


def _find_metadata(reviews: Path) -> list[Path]:
    """The metadata of a review file: beside it, or in the neighbouring folder of the published layout."""
    for folder in (reviews.parent, reviews.parent.parent / "meta_categories"):
        for suffix in (".jsonl", ".jsonl.gz"):
            candidate = folder / f"{META_PREFIX}{bare_name(reviews)}{suffix}"
            if candidate.is_file():
                return [candidate]
    return []


def _read_events(files: list[Path], bad: BadLines, tell: CountBytes | None = None) -> Iterator[pl.DataFrame]:
    for file in files:
        line_format = _review_format(file)
        skip = 1 if isinstance(line_format, Delimited) else 0
        for table in read_lines(file, line_format, bad, of="events", tell=tell, skip=skip):
            yield complete(table.rename(_CANONICAL, strict=False), EVENTS_SCHEMA)


_CANONICAL = {"parent_asin": "item_id", "title": "review_title", "text": "review_text"}


def _review_format(file: Path) -> LineFormat:
    if not has_suffix(file, ".csv"):
        return JsonLines(_REVIEW, required=_REQUIRED)
    header = read_head(file).split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    columns = tuple(header.split(","))
    missing = [name for name in _CSV_COLUMNS if name not in columns]
    if missing:
        raise DataError(
            f"{file}: column(s) {', '.join(missing)} missing in {header[:200]!r}; "
            "the published CSVs begin with user_id,parent_asin,rating,timestamp; for others run: bluerec prepare csv"
        )
    return Delimited(pl.Schema({name: _REVIEW[name] for name in _CSV_COLUMNS}), columns, required=_REQUIRED)


def _read_items(files: list[Path], bad: BadLines, tell: CountBytes | None = None) -> Iterator[pl.DataFrame]:
    for file in files:
        domain = bare_name(file).removeprefix(META_PREFIX).replace("_", " ")
        for table in read_lines(file, JsonLines(_META, required=("parent_asin",)), bad, of="items", tell=tell):
            paragraphs = pl.concat_list(pl.col("features", "description").fill_null(pl.lit([], pl.List(pl.String()))))
            yield table.select(
                pl.col("parent_asin").alias("item_id"),
                "title",
                paragraphs.list.join(" ", ignore_nulls=True).alias("description"),
                pl.when(pl.col("categories").list.len() > 0)
                .then("categories")
                .otherwise(pl.concat_list("main_category")),
                pl.col("store").alias("brand"),
                "price",
                pl.lit(domain).alias("domain"),
            )
