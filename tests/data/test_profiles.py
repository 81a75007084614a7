"""The profile table comes back as saved, and a table that is none is refused with a remedy."""

from pathlib import Path

import polars as pl
import pytest

from bluerec.data.profiles import PROFILES_FILE, PROFILES_SCHEMA, check_profiles, load_profiles, save_profiles
from bluerec.errors import DataError


def make_table(n_rows: int = 3) -> pl.DataFrame:
    rows = [
        {
            "profile_id": f"p{row}", "example_id": f"u{row}@9", "user_id": f"u{row}", "split": "test", "cutoff": 9,
            "text": f"Likes {row}.\n\"日本\"", "writer": "echo", "template": "interests",
            "n_events": 4, "n_omitted": 0, "n_tokens": None if row == 1 else 7,
        }
        for row in range(n_rows)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=PROFILES_SCHEMA)


def test_round_trip(tmp_path: Path) -> None:
    table = make_table()
    save_profiles(table, tmp_path / "out" / PROFILES_FILE)
    assert load_profiles(tmp_path / "out" / PROFILES_FILE).equals(table)
    assert load_profiles(tmp_path / "out").equals(table)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [PROFILES_FILE]


def test_columns_are_put_in_order_and_type() -> None:
    shuffled = make_table().select(reversed(PROFILES_SCHEMA.names())).with_columns(pl.col("n_events").cast(pl.Int64))
    assert check_profiles(shuffled).schema == PROFILES_SCHEMA


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda table: table.drop("text"), "missing text"),
        (lambda table: table.with_columns(mood=pl.lit(1)), "unknown mood"),
        (lambda table: pl.concat([table, table[:1]]), "'u0@9' has more than one profile"),
        (lambda table: table.with_columns(text=pl.lit(None, pl.String)), "3 of 3 profiles have no text"),
        (lambda table: table.with_columns(cutoff=pl.lit("soon")), "wrong type"),
    ],
)
def test_faulty_tables_are_refused(fault, message: str, tmp_path: Path) -> None:
    faulty = fault(make_table())
    with pytest.raises(DataError, match=message) as caught:
        check_profiles(faulty)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=message):
        save_profiles(faulty, tmp_path / PROFILES_FILE)
    assert not list(tmp_path.iterdir())
    faulty.write_parquet(tmp_path / PROFILES_FILE)
    with pytest.raises(DataError, match=message):
        load_profiles(tmp_path)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_profiles(tmp_path)
    (tmp_path / PROFILES_FILE).write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        load_profiles(tmp_path)


def test_an_unknown_length_is_allowed() -> None:
    assert check_profiles(make_table())["n_tokens"].to_list() == [7, None, 7]
