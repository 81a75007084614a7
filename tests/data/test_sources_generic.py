"""Tables of any origin: columns guessed or refused, times in any unit, all three formats alike."""

import json
from pathlib import Path

import polars as pl
import pytest

from bluerec.data.sources import Columns, Source, open_source
from bluerec.data.sources.columns import parse_mapping
from bluerec.data.sources.findings import BadLines
from bluerec.errors import ConfigError, DataError

MOMENT = 1_568_738_284


def write_table(folder: Path, table_format: str, rows: list[dict], name: str = "interactions") -> Path:
    path = folder / f"{name}.{table_format}"
    if table_format == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif table_format == "csv":
        pl.DataFrame(rows).write_csv(path)
    else:
        pl.DataFrame(rows).write_parquet(path)
    return path


def events_of(source: Source) -> list[tuple]:
    return pl.concat(source.read_events(BadLines(0))).rows()


def items_of(source: Source) -> list[tuple]:
    assert source.read_items is not None
    return pl.concat(source.read_items(BadLines(0))).rows()


@pytest.mark.parametrize("table_format", ["parquet", "csv", "jsonl"])
def test_columns_are_guessed_and_told(tmp_path: Path, table_format: str) -> None:
    rows = [{"userId": 7, "movieId": 1, "stars": 4.5, "ts": MOMENT, "summary": "s", "comment": "c"}]
    write_table(tmp_path, table_format, rows)
    write_table(tmp_path, table_format, [{"id": 1, "name": "A, B", "genres": "X|Y > Z", "price": 2.5}], "items")
    source = open_source(table_format, tmp_path)
    assert events_of(source) == [("7", "1", MOMENT, 4.5, "s", "c")]
    assert items_of(source) == [("1", "A, B", None, ["X", "Y", "Z"], None, "2.5", None)]
    assert "user_id=userId" in source.notes[0]
    assert "timestamp is taken for s" in source.notes[1]
    assert "title=name" in source.notes[2]


@pytest.mark.parametrize("table_format", ["parquet", "csv", "jsonl"])
def test_items_in_the_columns_of_the_events(tmp_path: Path, table_format: str) -> None:
    rows = [{"user": "u", "item": item, "time": MOMENT, "title": f"T{item}"} for item in "aba"]
    source = open_source(table_format, write_table(tmp_path, table_format, rows))
    assert [row[:2] for row in items_of(source)] == [("a", "Ta"), ("b", "Tb"), ("a", "Ta")]
    assert source.items_repeat
    assert len(events_of(source)) == 3


def test_no_item_columns_at_all(tmp_path: Path) -> None:
    source = open_source("csv", write_table(tmp_path, "csv", [{"user": "u", "item": "a", "time": MOMENT}]))
    assert source.read_items is None
    assert "--items" in source.notes[-1]


def test_all_columns_that_are_used_are_told_and_the_others_too(tmp_path: Path) -> None:
    event = {"user": "u", "item_id": "a", "time": MOMENT, "rating": 3, "colour": "red"}
    events = write_table(tmp_path, "csv", [event], "log")
    items = write_table(tmp_path, "jsonl", [{"item_id": "a", "title": "T", "price": 1, "weight": 2}], "shop")
    notes = open_source("csv", events, items=items).notes
    assert notes[0] == "columns of log.csv: user_id=user, item_id, timestamp=time, rating; not used: colour"
    assert notes[2:] == ("columns of shop.jsonl: item_id, title, price; not used: weight",)


def test_a_column_that_serves_events_or_items_of_one_table_is_used(tmp_path: Path) -> None:
    row = {"user": "u", "item": "a", "time": MOMENT, "title": "T", "colour": "red", "\x1b[31m": 1}
    notes = open_source("jsonl", write_table(tmp_path, "jsonl", [row])).notes
    assert notes[0] == "columns of interactions.jsonl: user_id=user, item_id=item, timestamp=time"
    assert notes[2:] == (r"columns of interactions.jsonl for the items: title; not used: colour, \x1b[31m",)


def test_a_table_of_items_without_titles_is_told_what_it_lacks(tmp_path: Path) -> None:
    events = write_table(tmp_path, "csv", [{"user_id": "u", "item_id": "a", "timestamp": MOMENT}])
    for columns, told in (({"label": "T"}, "label"), ({"label": "T", "price": 1}, "label")):
        items = write_table(tmp_path, "csv", [{"item_id": "a", **columns}], "shop")
        notes = open_source("csv", events, items=items).notes
        assert f"not used: {told}" in notes[2]
        assert notes[3] == "no titles in shop.csv: name their column with --item-column title=NAME"
    assert len(open_source("csv", events, items=items, columns=Columns({}, {"title": ""})).notes) == 3


def test_the_items_may_be_of_another_format(tmp_path: Path) -> None:
    events = write_table(tmp_path, "csv", [{"user_id": "u", "item_id": "a", "timestamp": MOMENT}])
    items = write_table(tmp_path, "jsonl", [{"item_id": "a", "title": "T", "categories": ["x", "y"]}], "catalogue")
    assert items_of(open_source("csv", events, items=items))[0][:4] == ("a", "T", None, ["x", "y"])


AMBIGUOUS = [{"user": "u", "asin": "a", "parent_asin": "b", "time": MOMENT, "title": "t", "text": "x"}]


def test_an_ambiguous_column_is_refused_with_the_option_that_decides(tmp_path: Path) -> None:
    path = write_table(tmp_path, "csv", AMBIGUOUS)
    with pytest.raises(
        DataError, match="item_id could be any of the columns asin, parent_asin; say which with --column"
    ):
        open_source("csv", path)
    given = parse_mapping(["item_id=parent_asin"], "--column")
    with pytest.raises(DataError, match="'title' may be the item's title or the review's"):
        open_source("csv", path, columns=Columns(given))
    as_review = open_source("csv", path, columns=Columns({**given, "review_title": "title"}))
    assert events_of(as_review) == [("u", "b", MOMENT, None, "t", "x")]
    as_item = open_source("csv", path, columns=Columns(given, {"title": "title"}))
    assert events_of(as_item) == [("u", "b", MOMENT, None, None, "x")]
    assert items_of(as_item)[0][:2] == ("b", "t")
    without = open_source("csv", path, columns=Columns({**given, "review_title": ""}, {"title": ""}))
    assert without.read_items is None


@pytest.mark.parametrize("name", ["sku", "asin", ""])
def test_a_column_of_ids_for_items_that_have_no_table_is_refused(tmp_path: Path, name: str) -> None:
    rows = [{"user": "u", "item": "a", "time": MOMENT, "title": "T", "asin": "b"}]
    path = write_table(tmp_path, "csv", rows)
    columns = Columns({"item_id": "item"}, {"item_id": name})
    with pytest.raises(DataError, match=r"--item-column item_id=.* --items FILE, .* --column item_id=") as caught:
        open_source("csv", path, columns=columns)
    assert "\n" not in str(caught.value)
    same = Columns({"item_id": "item"}, {"item_id": "item"})
    assert items_of(open_source("csv", path, columns=same))[0][:2] == ("a", "T")


def test_with_a_table_of_items_a_title_is_the_reviews(tmp_path: Path) -> None:
    write_table(tmp_path, "csv", [{"user_id": "u", "item_id": "a", "timestamp": MOMENT, "title": "t", "text": "x"}])
    write_table(tmp_path, "csv", [{"item_id": "a", "title": "T"}], "items")
    assert events_of(open_source("csv", tmp_path))[0][4:] == ("t", "x")


@pytest.mark.parametrize(
    ("texts", "message"),
    [(["item"], "give FIELD=NAME"), (["colour=x"], "one of the fields user_id"), (["title=x"], "one of the fields")],
)
def test_a_mapping_of_another_form(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_mapping(texts, "--column")


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("a,b\n1,2\n", Columns(), "no column for user_id, item_id, timestamp among a, b"),
        ("user,item,time\n1,2,3\n", Columns({"user_id": "nobody"}), "no column 'nobody'"),
        ("user,item,time,time\n1,2,3,4\n", Columns(), "names column 'time' twice"),
        ("user,item,time\n1,2,yesterday\n", Columns(), "holds 'yesterday'; give seconds, milliseconds or ISO dates"),
        ("user,item,time\n1,2,3\n", Columns(timestamp_unit="weeks"), "give one of s, ms, us, ns, date"),
        ("", Columns(), "the file is empty"),
        ("\x00\x01\n", Columns(), "the first line is not text"),
        ("user,item,time\n", Columns(), r"no row to read under its header \(the file ends there\)"),
        ("user,item,time\n1,2\n", Columns(), r"no row to read under its header \(.*a.csv:2: "),
    ],
)
def test_csv_files_that_do_not_serve(tmp_path: Path, content: str, columns: Columns, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        open_source("csv", path, columns=columns)


def test_binary_junk(tmp_path: Path) -> None:
    path = tmp_path / "junk"
    path.write_bytes(bytes(range(256)) * 100)
    for table_format, message in (
        ("csv", "not text"),
        ("jsonl", "no JSON object"),
        ("parquet", "not a readable Parquet"),
    ):
        with pytest.raises(DataError, match=message):
            open_source(table_format, path)


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    rows = [{"user_id": str(row), "item_id": str(row), "timestamp": MOMENT + row} for row in range(5000)]
    path = write_table(tmp_path, "parquet", rows)
    content = bytearray(path.read_bytes())
    content[100:4000] = b"x" * 3900
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"(damaged|not a readable) Parquet"):
        events_of(open_source("parquet", path))


@pytest.mark.parametrize("table_format", ["parquet", "csv", "jsonl"])
def test_a_row_without_an_id_is_a_bad_line(tmp_path: Path, table_format: str) -> None:
    rows = [{"user_id": user, "item_id": "a", "timestamp": MOMENT} for user in ("u", None, "v")]
    source = open_source(table_format, write_table(tmp_path, table_format, rows))
    bad = BadLines(1)
    assert [row[0] for row in pl.concat(source.read_events(bad)).rows()] == ["u", "v"]
    assert bad.total == 1
    with pytest.raises(DataError, match="--max-bad-rows"):
        list(source.read_events(BadLines(0)))


def test_a_folder_of_several_tables_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_table(tmp_path, "csv", [{"user": "u"}], name)
    with pytest.raises(DataError, match="which csv file holds the interactions\\? Found one, two"):
        open_source("csv", tmp_path)


@pytest.mark.parametrize("separator", ["\t", ";", "|"])
def test_other_separators_are_seen(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"user,item,time\nu,a,{MOMENT}\n".replace(",", separator))
    assert events_of(open_source("csv", path))[0][:3] == ("u", "a", MOMENT)


def test_categories_written_as_lists(tmp_path: Path) -> None:
    rows = [{"user": "u", "item": "a", "time": MOMENT, "category": "['A, B', \"C's\"]"}]
    assert items_of(open_source("csv", write_table(tmp_path, "csv", rows)))[0][3] == ["A, B", "C's"]


@pytest.mark.parametrize("table_format", ["parquet", "csv", "jsonl"])
def test_prices_of_all_formats_are_alike(tmp_path: Path, table_format: str) -> None:
    write_table(tmp_path, table_format, [{"user_id": "u", "item_id": "a", "timestamp": MOMENT}])
    prices = ["12,50 €", "", "9.99", None]
    rows = [{"item_id": item, "title": item, "price": price} for item, price in zip("abcd", prices, strict=True)]
    write_table(tmp_path, table_format, rows, "items")
    assert [row[5] for row in items_of(open_source(table_format, tmp_path))] == ["12.50 €", None, "9.99", None]


def test_a_mark_for_a_missing_text_is_none_in_csv_only(tmp_path: Path) -> None:
    for table_format, title in (("csv", None), ("jsonl", "null")):
        event = {"user_id": "NA", "item_id": "null", "timestamp": MOMENT, "review_text": "null"}
        write_table(tmp_path, table_format, [event])
        write_table(tmp_path, table_format, [{"item_id": "null", "title": "null", "categories": "null"}], "items")
        source = open_source(table_format, tmp_path)
        assert events_of(source) == [("NA", "null", MOMENT, None, None, title)]
        assert items_of(source)[0][:4] == ("null", title, None, title and [title])
