"""Readers of raw logs, one module a source; `open_source` opens a path as what it is said to be."""

from __future__ import annotations

from pathlib import Path

from bluerec.data.sources.amazon import open_amazon
from bluerec.data.sources.generic import Columns, open_tables
from bluerec.data.sources.google_local import open_google_local
from bluerec.data.sources.movielens import open_movielens
from bluerec.data.sources.source import Source
from bluerec.data.sources.table_files import FORMATS
from bluerec.errors import ConfigError

__all__ = ["SOURCES", "Columns", "Source", "open_source"]

_PUBLISHED = {"amazon-2023": open_amazon, "google-local": open_google_local, "movielens": open_movielens}
SOURCES = (*_PUBLISHED, *FORMATS)


def open_source(
    name: str, path: str | Path, *, items: str | Path | None = None, columns: Columns | None = None
) -> Source:
    """Open `path` as one of `SOURCES`; `items` and `columns` are for parquet, csv and jsonl only.

    Raises `ConfigError` for an unknown name or an option that the source does not have, `DataError` if the path
    does not hold what the source needs.
    """
    if name in FORMATS:
        return open_tables(name, Path(path), Path(items) if items else None, columns)
    if name not in _PUBLISHED:
        raise ConfigError(f"SOURCE is {name!r}; give one of {', '.join(SOURCES)}")
    if items or columns not in (None, Columns()):
        raise ConfigError(f"{name} has columns of its own; --items, --column and the like are for {', '.join(FORMATS)}")
    return _PUBLISHED[name](Path(path))
