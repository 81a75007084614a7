"""Raw logs to canonical tables: what is kept, what is dropped and counted, and that a folder is whole or absent."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.data import buckets
from bluerec.data.cleaning import clean_texts
from bluerec.data.drops import EVENT_DROPS, ITEM_DROPS
from bluerec.data.prepare import prepare
from bluerec.data.prepared import Filters, Prepared
from bluerec.data.sources import open_source
from bluerec.data.tables import INTERACTIONS_SCHEMA, ITEMS_SCHEMA, load_dataset
from bluerec.errors import ConfigError, DataError

START = 1_500_000_000_000
OUTPUTS = ["drops.json", "interactions.parquet", "items.parquet", "prepare.json"]


def write_reviews(folder: Path, reviews: list[object], items: list[object] | None = None) -> Path:
    """A category of Amazon Reviews 2023; a row that is a text is written as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = [("Games.jsonl", reviews)] + ([] if items is None else [("meta_Games.jsonl", items)])
    for name, rows in tables:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (folder / name).write_text("".join(line + "\n" for line in lines))
    return folder


def review(user: str, item: str, moment: int = 0, **fields: object) -> dict:
    """`moment` is in milliseconds after `START`."""
    return {"user_id": user, "parent_asin": item, "timestamp": START + moment, "rating": 4.0, **fields}


def run(folder: Path, out: Path, **filters: object) -> Prepared:
    return prepare(open_source("amazon-2023", folder), out, Filters(**filters))


def interactions(out: Path) -> pl.DataFrame:
    table = pl.read_parquet(out / "interactions.parquet")
    assert table.schema == INTERACTIONS_SCHEMA
    return table


def items(out: Path) -> pl.DataFrame:
    table = pl.read_parquet(out / "items.parquet")
    assert table.schema == ITEMS_SCHEMA
    return table


def counts(out: Path) -> dict:
    """drops.json, checked: what was read was kept or dropped, for a reason that is known."""
    drops = json.loads((out / "drops.json").read_text())
    for table, reasons in (("interactions", EVENT_DROPS), ("items", ITEM_DROPS)):
        assert tuple(drops[table]["dropped"]) == reasons
        assert drops[table]["n_read"] == drops[table]["n_kept"] + sum(drops[table]["dropped"].values())
        assert min(drops[table]["dropped"].values()) >= 0
    return drops


def test_every_fault_is_handled_and_counted(tmp_path: Path) -> None:
    reviews = [
        review("u", "a", 5000, title="Later", text="x"),
        review("u", "a", 1000, title="<b>Good</b>", text="It&#39;s<br />fine"),
        review("u", "a", 1400, title="Same second"),
        review("u", "b", 9000, rating=0.0),
        review("u", "c", -START - 1),
        review("u", "c", None or 0) | {"timestamp": None},
        review("u", "c", 10**14),
        review("v", "unheard-of"),
        review("v", "b", 2000, rating=float("nan"), text=" "),
        "not json",
    ]
    metadata = [
        {"parent_asin": "a", "title": "A &amp; b", "categories": ["X", None, " ", "<i>Y</i>", "X"], "price": "$1,299"},
        {"parent_asin": "b", "title": None, "price": "—"},
        {"parent_asin": "a", "title": "Again"},
        {"parent_asin": "c", "title": "Without events"},
        {"title": "Without id"},
    ]  # fmt: skip
    prepared = run(write_reviews(tmp_path / "raw", reviews, metadata), tmp_path / "out")
    assert interactions(tmp_path / "out").rows() == [
        ("u", "a", START // 1000 + 1, 4.0, "Good", "It's fine"),
        ("u", "b", START // 1000 + 9, None, None, None),
        ("v", "b", START // 1000 + 2, None, None, None),
    ]
    assert items(tmp_path / "out").rows() == [
        ("a", "A & b", "", ["X", "Y"], None, 1299.0, "Games"),
        ("b", "", "", [], None, None, "Games"),
    ]
    drops = counts(tmp_path / "out")
    assert drops["interactions"]["dropped"] == {
        "malformed_line": 1, "missing_timestamp": 1, "negative_timestamp": 1, "implausible_timestamp": 1,
        "unknown_item": 1, "duplicate": 1, "repeat": 1, "k_core": 0,
    }  # fmt: skip
    assert drops["interactions"]["repaired"]["zero_rating"] == 1
    assert drops["interactions"]["repaired"]["review_title_markup"] == 1
    assert drops["interactions"]["missing"] == {"rating": 2, "review_title": 2, "review_text": 2}
    assert drops["items"]["dropped"] == {"malformed_line": 1, "duplicate_item": 1, "without_events": 1}
    assert drops["items"]["repaired"]["unreadable_price"] == 1
    assert drops["items"]["missing"]["title"] == 1
    assert (prepared.n_users, prepared.n_items, prepared.n_events) == (2, 2, 3)
    assert sorted(os.listdir(tmp_path / "out")) == OUTPUTS
    reviews_file, metadata_file = tmp_path / "raw" / "Games.jsonl", tmp_path / "raw" / "meta_Games.jsonl"
    assert drops["interactions"]["examples"] == {
        "malformed_line": f"{reviews_file}:10: neither JSON nor a Python literal: 'not json'",
        "missing_timestamp": f"{reviews_file}:6: user 'u', item 'c', no timestamp",
        "negative_timestamp": f"{reviews_file}:5: user 'u', item 'c', timestamp '-1'",
        "implausible_timestamp": f"{reviews_file}:7: user 'u', item 'c', timestamp '{START + 10**14}'",
        "unknown_item": f"{reviews_file}:8: user 'v', item 'unheard-of'",
        "duplicate": f"{reviews_file}:3: user 'u', item 'a'",
        "repeat": f"{reviews_file}:1: user 'u', item 'a'",
    }
    assert drops["items"]["examples"] == {
        "malformed_line": f"{metadata_file}:5: no parent_asin among the fields 'title': {json.dumps(metadata[4])!r}",
        "duplicate_item": f"{metadata_file}:3: item 'a'",
        "without_events": "item 'c'",
    }


def test_numbers_too_large_for_the_table_are_no_numbers(tmp_path: Path) -> None:
    metadata = [{"parent_asin": "a", "title": "A", "price": "9" * 40}]
    run(write_reviews(tmp_path / "raw", [review("u", "a", rating=1e39)], metadata), tmp_path / "out")
    assert interactions(tmp_path / "out")["rating"].to_list() == [None]
    assert items(tmp_path / "out")["price"].to_list() == [None]
    drops = counts(tmp_path / "out")
    assert drops["interactions"]["repaired"]["impossible_rating"] == 1
    assert drops["items"]["repaired"]["unreadable_price"] == 1


def test_equal_times_keep_the_order_of_the_source_and_milliseconds_count(tmp_path: Path) -> None:
    reviews = [review("u", item, moment) for item, moment in (("b", 7), ("a", 7), ("d", 900), ("c", 3))]
    run(write_reviews(tmp_path / "raw", reviews), tmp_path / "out")
    assert interactions(tmp_path / "out")["item_id"].to_list() == ["c", "b", "a", "d"]
    assert interactions(tmp_path / "out")["timestamp"].n_unique() == 1


def test_repeats_are_kept_on_demand_but_not_duplicates(tmp_path: Path) -> None:
    reviews = [review("u", "a", moment) for moment in (0, 400, 1000, 5000)]
    folder = write_reviews(tmp_path / "raw", reviews)
    run(folder, tmp_path / "once")
    run(folder, tmp_path / "all", keep_repeats=True)
    assert counts(tmp_path / "once")["interactions"]["dropped"]["repeat"] == 2
    assert interactions(tmp_path / "all")["timestamp"].to_list() == [START // 1000 + second for second in (0, 1, 5)]
    assert counts(tmp_path / "all")["interactions"]["dropped"]["duplicate"] == 1


def test_without_metadata_the_items_have_no_title(tmp_path: Path) -> None:
    prepared = run(write_reviews(tmp_path / "raw", [review("u", "b"), review("u", "a", 1)]), tmp_path / "out")
    assert items(tmp_path / "out")["item_id"].to_list() == ["a", "b"]
    assert counts(tmp_path / "out")["items"]["missing"]["title"] == 2
    assert prepared.notes == ("no metadata for Games: put meta_Games.jsonl.gz beside Games.jsonl",)


def test_items_in_event_rows_are_no_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user,item,time,title\nu,a,1500000000,A\nv,a,1500000001,B\nw,,1,C\n")
    prepare(open_source("csv", path), tmp_path / "out")
    assert items(tmp_path / "out")["title"].to_list() == ["A"]
    drops = counts(tmp_path / "out")
    assert drops["items"]["n_read"] == 1
    assert drops["interactions"]["dropped"]["malformed_line"] == 1


def test_mixed_units_are_told_apart_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    second = START // 1000
    rows = [f"u,i{row},{(second + row) * (1000 if row % 2 else 1)}" for row in range(6)]
    path.write_text("\n".join(["user,item,time", *rows, ""]))
    source = open_source("csv", path)
    assert f"s or ms, each value by its size (values like {second} and {START + 1000})" in source.notes[1]
    prepared = prepare(source, tmp_path / "out")
    assert interactions(tmp_path / "out")["timestamp"].to_list() == list(range(second, second + 6))
    assert f"3 in s (like {second}), 3 in ms (like {START + 1000})" in prepared.notes[-1]
    described = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert described["notes"] == list(prepared.notes)
    assert (described["first_timestamp"], described["last_timestamp"]) == (second, second + 5)


def test_times_of_1970_among_others_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"user,item,time\nu,a,{START // 1000}\nu,b,{START // 10**6}\nu,c,{START // 1000}\n")
    prepared = prepare(open_source("csv", path), tmp_path / "out")
    assert prepared.notes[-1].startswith("1 of 3 interactions are from before March 1973, ")
    assert "--timestamp-unit" in prepared.notes[-1]
    positions = tmp_path / "b.csv"
    positions.write_text("user,item,time\nu,a,1\nu,b,2\n")
    assert not any("1973" in note for note in prepare(open_source("csv", positions), tmp_path / "b").notes)


@pytest.mark.parametrize("table_format", ["csv", "jsonl", "parquet"])
def test_an_event_with_an_unreadable_rating_stays(tmp_path: Path, table_format: str) -> None:
    ratings = ["five", "4,5", "", "4/5", "0", "5"]
    rows = [
        {"user_id": "u", "item_id": f"i{row}", "timestamp": START // 1000 + row, "rating": rating}
        for row, rating in enumerate([*ratings, "late"])
    ]
    rows.append(rows[-1])
    path = tmp_path / f"a.{table_format}"
    table = pl.DataFrame(rows)
    {"csv": table.write_csv, "jsonl": table.write_ndjson, "parquet": table.write_parquet}[table_format](path)
    prepare(open_source(table_format, path), tmp_path / "out", Filters(max_bad_rows=0))
    assert interactions(tmp_path / "out")["rating"].to_list() == [None, 4.5, None, None, None, 5.0, None]
    drops = counts(tmp_path / "out")["interactions"]
    assert drops["dropped"]["malformed_line"] == 0
    assert {reason: n for reason, n in drops["repaired"].items() if n} == {"unreadable_rating": 3, "zero_rating": 1}
    assert drops["missing"]["rating"] == 5


def test_a_rating_that_is_not_a_number_in_parquet_is_missing(tmp_path: Path) -> None:
    columns = {"user_id": ["u", "v"], "item_id": ["a", "a"], "timestamp": [1, 2], "rating": [float("nan"), 3.0]}
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    prepare(open_source("parquet", tmp_path / "a.parquet"), tmp_path / "out")
    assert interactions(tmp_path / "out")["rating"].to_list() == [None, 3.0]
    assert not sum(counts(tmp_path / "out")["interactions"]["repaired"].values())


@pytest.mark.parametrize("table_format", ["csv", "jsonl", "parquet"])
def test_the_first_value_that_cannot_be_read_is_shown_with_its_line(tmp_path: Path, table_format: str) -> None:
    times = ["2022-04-15", "2022-04-16 10:00", "", "15.04.2022 10:00", "16.04.2022"]
    ratings = ["5", "five", "4/5", "3", "2"]
    table = pl.DataFrame({"user_id": list("uvwxy"), "item_id": list("aaaab"), "timestamp": times, "rating": ratings})
    path = tmp_path / f"a.{table_format}"
    {"csv": table.write_csv, "jsonl": table.write_ndjson, "parquet": table.write_parquet}[table_format](path)
    prepared = prepare(open_source(table_format, path), tmp_path / "out")
    header = table_format == "csv"
    assert prepared.drops.events.examples == {
        "missing_timestamp": f"{path}:{4 + header}: user 'x', item 'a', timestamp '15.04.2022 10:00'; "
        "write seconds, milliseconds or ISO dates such as 2022-04-15 10:00",
        "unreadable_rating": f"{path}:{2 + header}: user 'v', item 'a', rating 'five'; write a number",
    }
    assert counts(tmp_path / "out")["interactions"]["examples"] == prepared.drops.events.examples


def test_the_first_event_outside_the_k_core_is_shown(tmp_path: Path) -> None:
    reviews = [review("u", "a"), review("v", "b"), review("v", "a"), review("w", "c")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckets, "_BUCKET_BYTES", 100)
        run(write_reviews(tmp_path / "raw", reviews), tmp_path / "out", min_item_events=2)
    path = tmp_path / "raw" / "Games.jsonl"
    assert counts(tmp_path / "out")["interactions"]["examples"] == {"k_core": f"{path}:2: user 'v', item 'b'"}
    assert counts(tmp_path / "out")["items"]["examples"] == {"without_events": "item 'b'"}


def test_of_several_files_the_first_example_is_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    write_reviews(folder, [review("u", "a"), review("u", "x")], [{"parent_asin": "a"}])
    (folder / "Books.jsonl").write_text("".join(json.dumps(review("u", item)) + "\n" for item in "aaz"))
    run(folder, tmp_path / "out")
    examples = counts(tmp_path / "out")["interactions"]["examples"]
    assert examples["unknown_item"] == f"{folder / 'Books.jsonl'}:3: user 'u', item 'z'"
    assert examples["duplicate"] == f"{folder / 'Books.jsonl'}:2: user 'u', item 'a'"


def write_shop(folder: Path, item_ids: list[str]) -> Path:
    """A log of one event of each item, by one user, beside a catalogue of the items 1 and 2."""
    folder.mkdir()
    rows = [f"u,{item_id},{START // 1000 + row}" for row, item_id in enumerate(item_ids)]
    (folder / "interactions.csv").write_text("\n".join(["user,item,time", *rows, ""]))
    (folder / "items.csv").write_text("item_id,title\n1,A\n2,B\n")
    return folder


def test_many_events_of_unknown_items_are_told_with_an_id_of_each_side(tmp_path: Path) -> None:
    folder = write_shop(tmp_path / "raw", ["1", "0001", "0002"])
    prepared = prepare(open_source("csv", folder), tmp_path / "out")
    assert prepared.notes[-1] == (
        f"2 of 3 interactions (67%) are of items that the catalogue lacks: {folder / 'interactions.csv'}:3: user 'u', "
        "item '0001'; the catalogue has ids like '1'; name the column with the ids of the interactions with "
        "--item-column item_id=NAME (or --column item_id=NAME), and quote ids, so that nothing takes 0001 for 1"
    )


def test_a_few_events_of_unknown_items_are_only_counted(tmp_path: Path) -> None:
    folder = write_shop(tmp_path / "raw", ["1"] * 29 + ["3"])
    prepared = prepare(open_source("csv", folder), tmp_path / "out", Filters(keep_repeats=True))
    assert prepared.drops.events.dropped["unknown_item"] == 1
    assert not any("catalogue" in note for note in prepared.notes)


def test_a_log_of_unknown_items_only_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = write_shop(tmp_path / "raw", ["0001", "0002"])
    with pytest.raises(
        DataError, match=r"none of the 2 .* item '0001'; .* like '1'; .*--item-column item_id=NAME"
    ) as it:
        prepare(open_source("csv", folder), tmp_path / "out")
    assert "min-user-events" not in str(it.value)
    assert "\n" not in str(it.value)
    (folder / "items.csv").write_text("item_id,title\n,\n")
    with pytest.raises(DataError, match=r"none of the 2 .* the catalogue is empty"):
        prepare(open_source("csv", folder), tmp_path / "out")


def test_where_unknown_items_empty_the_k_core_both_are_told(tmp_path: Path) -> None:
    folder = write_shop(tmp_path / "raw", ["1", "0001", "0002"])
    with pytest.raises(DataError, match=r"lower --min-user-events and --min-item-events; 2 of 3 interactions \(67%\)"):
        prepare(open_source("csv", folder), tmp_path / "out", Filters(min_user_events=3))


def test_unknown_items_of_a_published_source(tmp_path: Path) -> None:
    folder = write_reviews(tmp_path / "raw", [review("u", "x"), review("u", "y")], [{"parent_asin": "a"}])
    with pytest.raises(DataError, match=r"none of the 2 .*Games.jsonl:1: .* like 'a'; .*the metadata") as it:
        run(folder, tmp_path / "out")
    assert "--item-column" not in str(it.value)


def leaves_anything(folder: Path, out: Path, **filters: object) -> bool:
    try:
        run(folder, out, **filters)
    except DataError:
        return False
    return True


texts = st.sampled_from(["", "<p>t</p>"])
event = st.tuples(st.sampled_from("uvwxy"), st.sampled_from("abcd"), st.integers(0, 4000), texts)
JUNK = ("", "junk", "[1]", '{"user_id": "u"}', '{"user_id": "", "parent_asin": "a"}')


@settings(max_examples=25, deadline=None)
@given(
    st.lists(event, min_size=1, max_size=40),
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(st.sampled_from(JUNK), max_size=6),
    st.randoms(),
)
def test_properties(
    tmp_path_factory: pytest.TempPathFactory,
    some: list[tuple],
    min_user: int,
    min_item: int,
    junk: list[str],
    random: object,
) -> None:
    """Earliest duplicate, k-core, no effect of junk, independence of buckets, and idempotence."""
    folder = tmp_path_factory.mktemp("properties")
    rows: list[object] = [review(user, item, moment, text=text) for user, item, moment, text in some]
    filters = {"min_user_events": min_user, "min_item_events": min_item}
    if not leaves_anything(write_reviews(folder / "raw", rows), folder / "out", **filters):
        assert not (folder / "out").exists()
        return
    table = interactions(folder / "out")

    earliest: dict[tuple[str, str], int] = {}
    for user, item, moment, _ in some:
        earliest[user, item] = min(moment, earliest.get((user, item), moment))
    kept = {(user, item): second for user, item, second in table.select("user_id", "item_id", "timestamp").rows()}
    assert len(kept) == table.height
    assert all(second == (START + earliest[pair]) // 1000 for pair, second in kept.items())
    assert min(Counter(user for user, _ in kept).values()) >= min_user
    assert min(Counter(item for _, item in kept).values()) >= min_item
    assert set(items(folder / "out")["item_id"]) == {item for _, item in kept}

    for line in junk:
        rows.insert(random.randrange(len(rows) + 1), line)  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckets, "_BUCKET_BYTES", 300)
        patch.setattr(buckets, "_BUFFER_BYTES", 500)
        run(write_reviews(folder / "with-junk", rows), folder / "out-junk", **filters)
    by_user = pl.col("user_id")
    assert interactions(folder / "out-junk").sort(by_user, maintain_order=True).equals(table)
    assert items(folder / "out-junk").equals(items(folder / "out"))
    drops = counts(folder / "out-junk")["interactions"]
    assert drops["dropped"]["malformed_line"] == sum(line != "" for line in junk)

    again = prepare(open_source("parquet", folder / "out"), folder / "again", Filters(**filters))
    assert interactions(folder / "again").equals(table)
    assert items(folder / "again").equals(items(folder / "out"))
    assert again.drops.events.dropped.total() == 0


@pytest.mark.parametrize(
    ("lines", "filters", "message"),
    [
        (["junk"] * 5, {"max_bad_rows": 4}, r"Games.jsonl:5: neither JSON .* more than 4 bad line\(s\), the first was"),
        (["junk"] * 5, {}, r"no usable interaction among 5 \(dropped: 5 malformed_line\); first bad line .*:1: "),
        ([json.dumps({"user": "u"})], {}, r"no user_id among the fields 'user'"),
        (
            ["junk", *(json.dumps(review("u", "a", -START - row)) for row in (1, 2))],
            {},
            r"2 negative_timestamp, 1 malformed_line\); first negative_timestamp: .*:2: user 'u', item 'a', timestamp",
        ),
        ([json.dumps(review("u", "a"))], {"min_user_events": 2}, r"nothing is left of 1 .* lower --min-user-events"),
    ],
)
def test_what_cannot_be_used_leaves_nothing(tmp_path: Path, lines: list, filters: dict, message: str) -> None:
    folder = write_reviews(tmp_path / "raw", lines)
    with pytest.raises(DataError, match=message) as caught:
        run(folder, tmp_path / "out", **filters)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["raw"]


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="--min-user-events is -1"):
        Filters(min_user_events=-1)


@pytest.mark.parametrize("name", ["min_user_events", "min_item_events"])
def test_who_has_no_event_cannot_be_asked_for(name: str) -> None:
    option = "--" + name.replace("_", "-")
    with pytest.raises(ConfigError, match=f"{option} is 0; give a number of at least 1"):
        Filters(**{name: 0})
    assert Filters(max_bad_rows=0).max_bad_rows == 0


def test_what_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    folder = write_reviews(tmp_path / "raw", [review("u", "a")])
    run(folder, tmp_path / "out")
    with pytest.raises(DataError, match="already holds prepared data; add --overwrite"):
        run(folder, tmp_path / "out")
    write_reviews(folder, [review("v", "a")])
    prepare(open_source("amazon-2023", folder), tmp_path / "out", overwrite=True)
    assert interactions(tmp_path / "out")["user_id"].to_list() == ["v"]
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(DataError, match=r"holds other files, e.g. 'mine.txt'"):
        prepare(open_source("amazon-2023", folder), tmp_path / "out", overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file"):
        run(folder, tmp_path / "file")
    assert sorted(os.listdir(tmp_path)) == ["file", "out", "raw"]


def test_a_folder_prepared_in_its_own_place(tmp_path: Path) -> None:
    run(write_reviews(tmp_path / "raw", [review("u", "a"), review("u", "b", 1), review("v", "a")]), tmp_path / "out")
    prepare(open_source("parquet", tmp_path / "out"), tmp_path / "out", Filters(min_user_events=2), overwrite=True)
    assert interactions(tmp_path / "out")["item_id"].to_list() == ["a", "b"]


def test_an_unwritable_place(tmp_path: Path) -> None:
    folder = write_reviews(tmp_path / "raw", [review("u", "a")])
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"cannot be written \(Not a directory\); free space or choose another --out"):
        run(folder, tmp_path / "file" / "out")


CHILD = """
import resource, sys
from pathlib import Path
from bluerec.data.prepare import prepare
from bluerec.data.sources import open_source
from bluerec.errors import DataError
if sys.argv[3] != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    prepare(open_source("amazon-2023", Path(sys.argv[1])), sys.argv[2])
except DataError as error:
    print(error)
    sys.exit(2)
"""


def many_reviews(n_rows: int) -> list[object]:
    return [review(f"u{row % 977}", f"i{row % 1009}", row * 1000, text=f"text {row} " * 20) for row in range(n_rows)]


def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk."""
    folder = write_reviews(tmp_path / "raw", many_reviews(3000))
    command = [sys.executable, "-c", CHILD, str(folder), str(tmp_path / "out"), "20000"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 2, result.stderr
    assert "cannot be written" in result.stdout
    assert "File too large" in result.stdout
    assert os.listdir(tmp_path) == ["raw"]


def test_a_killed_run_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    folder = write_reviews(tmp_path / "raw", many_reviews(60_000))
    command = [sys.executable, "-c", CHILD, str(folder), str(tmp_path / "out"), "0"]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.*.partial/scratch/events/*/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.glob(".out.*.partial"))
    run(folder, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["out", "raw"]
    assert interactions(tmp_path / "out").height == 60_000


SMALL_BLOCKS = """
import bluerec.data.prepare
from bluerec.data import buckets
from bluerec.data.sources import blocks
bluerec.data.prepare._ROW_GROUP = 10_000
buckets._BUCKET_BYTES = buckets._BUFFER_BYTES = blocks.BLOCK_BYTES = 2**21
"""


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """With blocks and buckets far smaller than the data, four times the rows take hardly more memory."""
    peaks = []
    for n_rows in (30_000, 120_000):
        folder = write_reviews(tmp_path / f"raw{n_rows}", many_reviews(n_rows))
        # Not ru_maxrss: that one begins with the peak of the process that started this one.
        code = SMALL_BLOCKS + CHILD + "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
        command = [sys.executable, "-c", code, str(folder), str(tmp_path / f"out{n_rows}"), "0"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        peaks.append(int(result.stdout) / 1e3)
    assert peaks[1] - peaks[0] < 40, f"{peaks} MB"


def test_the_real_categories_give_the_canonical_folder(real_data: Path, tmp_path: Path) -> None:
    """The rows of `multicat`, put back into the published fields, are prepared to the same events and items."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for file in (real_data / "raw" / "amazon_reviews_2023").iterdir():
        if not file.name.startswith("untouched"):
            (raw / file.name).symlink_to(file)
    run(raw, tmp_path / "out", keep_repeats=True)
    canonical = load_dataset(real_data / "multicat")
    ours = load_dataset(tmp_path / "out")
    assert ours.user_ids == canonical.user_ids
    assert (ours.timestamps == canonical.timestamps).all()
    assert (ours.ratings == canonical.ratings).all()
    assert [ours.item_ids[row] for row in ours.item_rows] == [canonical.item_ids[row] for row in canonical.item_rows]
    columns = ["item_id", "title", "description", "brand", "price", "domain"]
    expected = canonical.items.sort("item_id").with_columns(
        clean_texts(canonical.items.sort("item_id")["title"])[0].fill_null("")
    )
    assert ours.items.sort("item_id").select(columns).equals(expected.select(columns))


def test_the_real_samples_end_to_end(real_data: Path, tmp_path: Path) -> None:
    prepared = prepare(
        open_source("google-local", real_data / "raw" / "google_local_2021"), tmp_path / "google", Filters(2, 2)
    )
    data = load_dataset(tmp_path / "google")
    assert (data.n_users, data.n_items, data.n_events) == (prepared.n_users, prepared.n_items, prepared.n_events)
    assert counts(tmp_path / "google")["interactions"]["n_read"] == 3248
    assert data.has_real_times
    prepare(open_source("parquet", real_data / "industrial"), tmp_path / "industrial", Filters(keep_repeats=True))
    assert counts(tmp_path / "industrial")["interactions"]["n_kept"] == 22_743
    assert not load_dataset(tmp_path / "industrial").has_real_times
