"""The profile table: one written profile per example, as a Parquet file; or a table of texts from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError, DataError, first_line
from bluerec.runs import atomic_path
from bluerec.types import Profile

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
# The length in tokens is unknown where an endpoint does not tell it, what was read where others wrote.
NULLABLE_COLUMNS = ("n_tokens", "n_events", "n_omitted")
# A table of texts from elsewhere has the first two; what is not named wrote them under this name.
TEXT_COLUMNS = ("user_id", "text", "writer")
FOREIGN_WRITER = "elsewhere"
FOREIGN_TEMPLATE = "unknown"
# Without examples a text counts as later than every other.
LATEST = 2**62
# How a table is kept, by the ending of its name.
_KIND_OF_ENDING = {".parquet": "Parquet", ".csv": "CSV", ".jsonl": "JSON lines", ".ndjson": "JSON lines"}


def load_profiles(path: str | Path, table: ExampleTable | None = None) -> pl.DataFrame:
    """Load a profile table, or the one in a folder; Parquet, CSV (.csv) or JSON lines (.jsonl, .ndjson).

    A table of texts from elsewhere needs no more than `user_id` and `text` (and may have `writer`). With a `table` each
    text is the profile of its user's latest example there, and texts of users without one are left out; nothing can
    tell whether such a text knows the target. Raises `DataError` if the file is missing or damaged, has a text of a
    user that the data does not have, or fails `check_profiles`.
    """
    path = Path(path)
    if path.is_dir():
        path = path / PROFILES_FILE
    if not path.is_file():
        raise DataError(f"{path}: no such file; write profiles first, run: bluerec write --help")
    frame = _read(path)
    if {"user_id", "text"} <= set(frame.columns) <= set(TEXT_COLUMNS):
        frame = _complete(frame, table, path)
    return check_profiles(frame, where=str(path))


def save_profiles(table: pl.DataFrame, path: str | Path) -> None:
    """Check and save a profile table as the ending of its name says; the file is either whole or absent.

    Raises `DataError` if the table is faulty or cannot be written, `ConfigError` for another ending.
    """
    path = Path(path)
    kind = find_kind(path)
    checked = check_profiles(table, where=str(path))
    with atomic_path(path) as partial:
        if kind == "CSV":
            checked.write_csv(partial)
        elif kind == "JSON lines":
            checked.write_ndjson(partial)
        else:
            checked.write_parquet(partial)


def find_kind(path: Path) -> str:
    """How a table of this name is written. Raises `ConfigError` where its ending says none that is read again."""
    kind = _KIND_OF_ENDING.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"{path}: profiles are written as {', '.join(_KIND_OF_ENDING)}; give --out such an ending")
    return kind


def check_profiles(table: pl.DataFrame, *, where: str = "profiles") -> pl.DataFrame:
    """The table in the order and types of `PROFILES_SCHEMA`.

    Raises `DataError` for missing, unknown or mistyped columns, null values, and an example with two profiles.
    """
    missing = [name for name in PROFILES_SCHEMA if name not in table.columns]
    unknown = [name for name in table.columns if name not in PROFILES_SCHEMA]
    if len(missing) == len(PROFILES_SCHEMA):
        raise DataError(f"{where}: no column user_id and text, but {', '.join(unknown) or 'none'}; rename them")
    if missing or unknown:
        raise DataError(
            f"{where}: a profile table has the columns {', '.join(PROFILES_SCHEMA)} (one of texts from elsewhere "
            f"user_id and text); missing {', '.join(missing) or 'none'}, unknown {', '.join(unknown) or 'none'}; "
            "write the profiles again"
        )
    try:
        table = table.select(pl.col(name).cast(kind) for name, kind in PROFILES_SCHEMA.items())
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{where}: a column has the wrong type ({first_line(error)}); write the profiles again"
        ) from error
    _refuse_nulls(table, [name for name in PROFILES_SCHEMA if name not in NULLABLE_COLUMNS], where)
    repeated = table["example_id"].filter(table["example_id"].is_duplicated())
    if repeated.len():
        raise DataError(
            f"{where}: example {repeated[0]!r} has more than one profile ({repeated.n_unique()} such examples); "
            "keep one row per example_id"
        )
    return table


def _refuse_nulls(table: pl.DataFrame, columns: Sequence[str], where: str) -> None:
    for name in columns:
        n_null = table[name].null_count()
        if n_null:
            raise DataError(f"{where}: {n_null} of {table.height} profiles have no {name}; write the profiles again")


def _read(path: Path) -> pl.DataFrame:
    kind = _KIND_OF_ENDING.get(path.suffix.lower(), "Parquet")
    try:
        if kind == "CSV":
            return pl.read_csv(path, infer_schema=False)
        return pl.read_ndjson(path, infer_schema_length=None) if kind == "JSON lines" else pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{path}: not a readable {kind} file ({first_line(error)}); write the profiles again"
        ) from error


def _complete(texts: pl.DataFrame, table: ExampleTable | None, path: Path) -> pl.DataFrame:
    """Texts by user as a profile table; without examples to put them to, they count as written at the very end."""
    if "writer" not in texts.columns:
        texts = texts.with_columns(writer=pl.lit(FOREIGN_WRITER))
    try:
        texts = texts.select(pl.col(TEXT_COLUMNS).cast(pl.String))
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: {', '.join(TEXT_COLUMNS)} must be texts ({first_line(error)})") from error
    _refuse_nulls(texts, TEXT_COLUMNS, str(path))
    repeated = texts["user_id"].filter(texts["user_id"].is_duplicated())
    if repeated.len():
        raise DataError(f"{path}: user {repeated[0]!r} has more than one text; keep one row per user_id")
    if table is None:
        examples = texts.select("user_id", example_id="user_id", split=pl.lit("all"), cutoff=pl.lit(LATEST))
    else:
        strangers = texts["user_id"].filter(~texts["user_id"].is_in(table.dataset.user_ids))
        if strangers.len():
            raise DataError(
                f"{path}: {strangers.len()} of {texts.height} texts are of users that "
                f"{table.dataset.folder or 'the data'} does not have, e.g. {strangers[0]!r}; leave these rows out"
            )
        columns = {"user_id": table.user_ids, "example_id": table.example_ids, "split": table.splits}
        examples = pl.DataFrame({**columns, "cutoff": table.cutoffs})
        # Where a user has several, a text that was written for the last may know the targets of the others.
        examples = examples.sort("cutoff").unique("user_id", keep="last")
    known = texts.join(examples, on="user_id", how="inner", maintain_order="left")
    ids = [
        Profile(user, text, cutoff, writer, FOREIGN_TEMPLATE).profile_id
        for user, text, cutoff, writer in known.select("user_id", "text", "cutoff", "writer").iter_rows()
    ]
    unknown = pl.lit(None, pl.Int32)
    return known.with_columns(
        profile_id=pl.Series(ids, dtype=pl.String), template=pl.lit(FOREIGN_TEMPLATE), n_events=unknown,
        n_omitted=unknown, n_tokens=unknown,
    )  # fmt: skip
