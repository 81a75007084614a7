"""The profile table: one written profile per example, as a Parquet file."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from bluerec.errors import DataError
from bluerec.runs import atomic_path

PROFILES_FILE = "profiles.parquet"
PROFILES_SCHEMA = pl.Schema(
    {
        "profile_id": pl.String,
        "example_id": pl.String,
        "user_id": pl.String,
        "split": pl.String,
        "cutoff": pl.Int64,
        "text": pl.String,
        "writer": pl.String,
        "template": pl.String,
        "n_events": pl.Int32,
        "n_omitted": pl.Int32,
        "n_tokens": pl.Int32,
    }
)
# The length in tokens is unknown where an endpoint does not tell it.
NULLABLE_COLUMNS = ("n_tokens",)


def load_profiles(path: str | Path) -> pl.DataFrame:
    """Load a profile table, or the one in a folder.

    Raises `DataError` if the file is missing or damaged, or fails `check_profiles`.
    """
    path = Path(path)
    if path.is_dir():
        path = path / PROFILES_FILE
    if not path.is_file():
        raise DataError(f"{path}: no such file; write profiles first, run: bluerec write --help")
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: not a readable Parquet file ({reason}); write the profiles again") from error
    return check_profiles(table, where=str(path))


def save_profiles(table: pl.DataFrame, path: str | Path) -> None:
    """Check and save a profile table; the file is either whole or absent. Raises `DataError`."""
    path = Path(path)
    checked = check_profiles(table, where=str(path))
    with atomic_path(path) as partial:
        checked.write_parquet(partial)


def check_profiles(table: pl.DataFrame, *, where: str = "profiles") -> pl.DataFrame:
    """The table in the order and types of `PROFILES_SCHEMA`.

    Raises `DataError` for missing, unknown or mistyped columns, null values, and an example with two profiles.
    """
    missing = [name for name in PROFILES_SCHEMA if name not in table.columns]
    unknown = [name for name in table.columns if name not in PROFILES_SCHEMA]
    if missing or unknown:
        raise DataError(
            f"{where}: a profile table has the columns {', '.join(PROFILES_SCHEMA)}; "
            f"missing {', '.join(missing) or 'none'}, unknown {', '.join(unknown) or 'none'}; write the profiles again"
        )
    try:
        table = table.select(pl.col(name).cast(kind) for name, kind in PROFILES_SCHEMA.items())
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{where}: a column has the wrong type ({reason}); write the profiles again") from error
    for name in PROFILES_SCHEMA:
        n_null = table[name].null_count()
        if n_null and name not in NULLABLE_COLUMNS:
            raise DataError(f"{where}: {n_null} of {table.height} profiles have no {name}; write the profiles again")
    repeated = table["example_id"].filter(table["example_id"].is_duplicated())
    if repeated.len():
        raise DataError(
            f"{where}: example {repeated[0]!r} has more than one profile ({repeated.n_unique()} such examples); "
            "keep one row per example_id"
        )
    return table
