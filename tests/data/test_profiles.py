"""The profile table comes back as saved, and a table that is none is refused with a remedy."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.profiles import PROFILES_FILE, PROFILES_SCHEMA, check_profiles, load_profiles, save_profiles
from bluerec.data.toy import build_world
from bluerec.errors import ConfigError, DataError
from bluerec.evaluation.profile_sets import load_profile_sets


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


@pytest.mark.parametrize("name", ["p.parquet", "p.csv", "P.CSV", "p.jsonl", "p.ndjson"])
def test_a_table_is_written_as_its_name_says_and_read_again(name: str, tmp_path: Path) -> None:
    table = make_table()
    save_profiles(table, tmp_path / name)
    assert load_profiles(tmp_path / name).equals(table)
    assert (tmp_path / name).read_bytes().startswith(b"PAR1") == name.endswith(".parquet")


@pytest.mark.parametrize("name", ["p.txt", "p", "p.csv.gz", "p.json"])
def test_a_name_that_would_not_be_read_again_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"written as \.parquet, \.csv, \.jsonl, \.ndjson") as caught:
        save_profiles(make_table(), tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


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


def make_texts(table: ExampleTable, **columns: object) -> pl.DataFrame:
    return pl.DataFrame({"user_id": table.user_ids[:3], "text": ["Chess.", "Golf.", "\u65e5\u672c"], **columns})


def save_texts(texts: pl.DataFrame, path: Path) -> Path:
    {".csv": texts.write_csv, ".jsonl": texts.write_ndjson, ".parquet": texts.write_parquet}[path.suffix](path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_texts_from_elsewhere_become_profiles_of_their_users(suffix: str, tmp_path: Path) -> None:
    table = split_examples(build_world(n_users=20, n_items=48).dataset).select("test")
    path = save_texts(make_texts(table), tmp_path / f"mine{suffix}")
    read = load_profiles(path, table)
    assert read["example_id"].to_list() == table.example_ids[:3]
    assert read["cutoff"].to_list() == table.cutoffs[:3].tolist()
    assert read["text"].to_list() == ["Chess.", "Golf.", "\u65e5\u672c"]
    assert set(read["writer"]) == {"elsewhere"}
    assert set(read["split"]) == {"test"}
    # Without a data set they are still the users' texts, as a store wants them.
    assert load_profiles(path).select("user_id", "text").equals(read.select("user_id", "text"))
    (sets,) = load_profile_sets([f"mine={path}"], table)
    assert sets.covers(table).sum() == 3


def test_texts_from_elsewhere_may_name_their_writer_and_users_without_an_example(tmp_path: Path) -> None:
    everybody = split_examples(build_world(n_users=20, n_items=48).dataset)
    table = everybody.take(np.arange(1, len(everybody)))
    path = save_texts(make_texts(everybody, writer="a person"), tmp_path / "mine.csv")
    read = load_profiles(path, table)
    assert read["user_id"].to_list() == everybody.user_ids[1:3]
    assert set(read["writer"]) == {"a person"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda texts: texts.with_columns(user_id=pl.lit("stranger")), "more than one text"),
        (lambda texts: texts[:1].with_columns(user_id=pl.lit("stranger")), "1 of 1 texts are of users .*'stranger'"),
        (lambda texts: texts.with_columns(text=pl.lit(None, pl.String)), "3 of 3 profiles have no text"),
        (lambda texts: texts.with_columns(mood=pl.lit("x")), "unknown mood"),
        (
            lambda texts: texts.rename({"user_id": "uid", "text": "profile"}),
            "no column user_id and text, but uid, prof",
        ),
    ],
)
def test_faulty_texts_from_elsewhere_are_refused(change, message: str, tmp_path: Path) -> None:
    table = split_examples(build_world(n_users=20, n_items=48).dataset)
    path = save_texts(change(make_texts(table)), tmp_path / "mine.parquet")
    with pytest.raises(DataError, match=message) as caught:
        load_profiles(path, table)
    assert "\n" not in str(caught.value)


def test_of_several_examples_a_text_belongs_to_the_latest(tmp_path: Path) -> None:
    table = split_examples(build_world(n_users=60, n_items=48).dataset, "global-time")
    user = next(user for user in table.user_ids if table.user_ids.count(user) > 1)
    path = save_texts(pl.DataFrame({"user_id": [user], "text": ["Chess."]}), tmp_path / "mine.csv")
    mine = [row for row, other in enumerate(table.user_ids) if other == user]
    assert load_profiles(path, table)["cutoff"].to_list() == [max(table.cutoffs[mine])]


def test_texts_that_are_no_texts_are_refused(tmp_path: Path) -> None:
    table = split_examples(build_world(n_users=20, n_items=48).dataset)
    path = save_texts(pl.DataFrame({"user_id": table.user_ids[:1], "text": [["Chess."]]}), tmp_path / "mine.parquet")
    with pytest.raises(DataError, match="must be texts"):
        load_profiles(path, table)
    numbered = save_texts(make_texts(table, writer=[1, 1, 1]), tmp_path / "mine.jsonl")
    assert set(load_profiles(numbered, table)["writer"]) == {"1"}


def test_damaged_texts_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("{broken")
    with pytest.raises(DataError, match="not a readable JSON lines file"):
        load_profiles(tmp_path / "mine.jsonl")
