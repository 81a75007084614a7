"""The published formats: small copies of each layout, and the real samples where they are."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from bluerec.data.sources import Source, open_source
from bluerec.data.sources.findings import BadLines
from bluerec.data.sources.source import EVENTS_SCHEMA, RAW_ITEMS_SCHEMA
from bluerec.errors import ConfigError, DataError

REVIEW = {
    "rating": 5.0,
    "title": "Fun",
    "text": "Very",
    "images": [{"small_image_url": "u"}],
    "asin": "CHILD",
    "parent_asin": "PARENT",
    "user_id": "U1",
    "timestamp": 1568738284832,
    "helpful_vote": 7,
    "verified_purchase": True,
}
META = {
    "main_category": "Toys & Games",
    "title": "A game",
    "features": ["Two players", "Wood"],
    "description": ["Long", "text"],
    "price": "from 12.99",
    "store": "Maker",
    "categories": ["Toys", "Games"],
    "details": {"Brand": "x"},
    "parent_asin": "PARENT",
}


def write_lines(path: Path, *rows: object) -> Path:
    """JSON lines, gzipped by suffix; a row that is a text is written as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def read_events(source: Source) -> pl.DataFrame:
    table = pl.concat(source.read_events(BadLines(0)))
    assert table.schema == EVENTS_SCHEMA
    return table


def read_items(source: Source) -> pl.DataFrame:
    assert source.read_items is not None
    table = pl.concat(source.read_items(BadLines(0)))
    assert table.schema == RAW_ITEMS_SCHEMA
    return table


@pytest.fixture
def amazon(tmp_path: Path) -> Path:
    write_lines(tmp_path / "Toys_and_Games.jsonl.gz", REVIEW)
    write_lines(tmp_path / "meta_Toys_and_Games.jsonl.gz", META)
    return tmp_path


def test_amazon_reviews_and_metadata(amazon: Path) -> None:
    source = open_source("amazon-2023", amazon)
    assert read_events(source).rows() == [("U1", "PARENT", 1568738284832, 5.0, "Fun", "Very")]
    assert read_items(source).rows() == [
        ("PARENT", "A game", "Two players Wood Long text", ["Toys", "Games"], "Maker", "from 12.99", "Toys and Games")
    ]
    assert source.ticks_per_second == 1000
    assert source.notes == ()


def test_amazon_metadata_with_little_in_it(amazon: Path) -> None:
    bare = {"main_category": "Toys", "title": None, "features": [], "description": [], "price": 3.5, "categories": []}
    write_lines(amazon / "meta_Toys_and_Games.jsonl.gz", {**bare, "parent_asin": "A"}, {"parent_asin": "B"})
    rows = read_items(open_source("amazon-2023", amazon)).rows()
    assert rows[0] == ("A", None, "", ["Toys"], None, "3.5", "Toys and Games")
    assert rows[1][:3] == ("B", None, "")


def test_amazon_several_categories_and_unpacked_twins(amazon: Path) -> None:
    write_lines(amazon / "deeper" / "Books.jsonl", {**REVIEW, "user_id": "U2"})
    write_lines(amazon / "Toys_and_Games.jsonl", REVIEW)
    source = open_source("amazon-2023", amazon)
    assert read_events(source)["user_id"].to_list() == ["U1", "U2"]
    assert source.notes == ("no metadata for Books: put meta_Books.jsonl.gz beside Books.jsonl",)


@pytest.mark.parametrize("place", ["meta_Toys_and_Games.jsonl.gz", "../meta_categories/meta_Toys_and_Games.jsonl"])
def test_amazon_one_file_finds_its_metadata(tmp_path: Path, place: str) -> None:
    reviews = write_lines(tmp_path / "review_categories" / "Toys_and_Games.jsonl", REVIEW)
    write_lines((reviews.parent / place).resolve(), META)
    assert read_items(open_source("amazon-2023", reviews))["title"].to_list() == ["A game"]


def test_amazon_five_core_ratings(tmp_path: Path) -> None:
    rows = "user_id,parent_asin,rating,timestamp,history\nU1,A,5.0,1568738284832,\nU1,B,4.0,1568738284833,A\n"
    for split in ("train", "test"):
        (tmp_path / f"Toys_and_Games.{split}.csv").write_text(rows)
    write_lines(tmp_path / "meta_Toys_and_Games.jsonl.gz", META)
    source = open_source("amazon-2023", tmp_path)
    assert source.notes == ()
    assert read_events(source).rows()[1] == ("U1", "B", 1568738284833, 4.0, None, None)
    assert read_events(source).height == 4


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no reviews found"),
        ({"meta_Books.jsonl": "{}"}, "no reviews found"),
        ({"Books.jsonl": "{}", "Books.csv": "x"}, "both as .jsonl and as .csv"),
    ],
)
def test_amazon_folders_that_do_not_say_what_to_read(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        open_source("amazon-2023", tmp_path)


def test_amazon_csv_with_other_columns(tmp_path: Path) -> None:
    (tmp_path / "Books.csv").write_text("user,item\n1,2\n")
    with pytest.raises(DataError, match="parent_asin, rating, timestamp missing in 'user,item'"):
        read_events(open_source("amazon-2023", tmp_path))


def test_google_local_json_and_python_literals(tmp_path: Path) -> None:
    review = {
        "user_id": "1",
        "name": "n",
        "time": 1530969093932,
        "rating": 5,
        "text": None,
        "pics": None,
        "gmap_id": "0x1:0x2",
    }
    place = {"name": "Diner", "address": "Diner, 1 Main St, Town, SD", "gmap_id": "0x1:0x2", "description": "Eggs",
             "category": ["Restaurant"], "price": "$$"}  # fmt: skip
    write_lines(tmp_path / "review-South_Dakota_10.json.gz", review, str({**review, "text": "It's 'good'"}))
    write_lines(tmp_path / "meta-South_Dakota.json.gz", place, str({**place, "gmap_id": "0x3", "description": None}))
    write_lines(tmp_path / "meta-Texas.json.gz", {**place, "gmap_id": "0x4"})
    for path in (tmp_path, tmp_path / "review-South_Dakota_10.json.gz"):
        source = open_source("google-local", path)
        assert read_events(source).rows() == [
            ("1", "0x1:0x2", 1530969093932, 5.0, None, None),
            ("1", "0x1:0x2", 1530969093932, 5.0, None, "It's 'good'"),
        ]
        assert read_items(source).rows() == [
            ("0x1:0x2", "Diner", "Eggs 1 Main St, Town, SD", ["Restaurant"], None, None, "South Dakota"),
            ("0x3", "Diner", "1 Main St, Town, SD", ["Restaurant"], None, None, "South Dakota"),
        ]


def test_google_local_without_reviews_or_places(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no review-STATE"):
        open_source("google-local", tmp_path)
    write_lines(tmp_path / "review-Utah.json.gz", {"user_id": "1", "gmap_id": "2", "time": 3})
    source = open_source("google-local", tmp_path)
    assert source.read_items is None
    assert source.notes == ("no metadata for Utah: put meta-Utah.json.gz beside the reviews",)


def write_movielens(folder: Path, edition: str) -> None:
    folder.mkdir()
    if edition == "100k":
        flags = "|".join("1" if place in (2, 5) else "0" for place in range(19))
        (folder / "u.data").write_text("196\t242\t3\t881250949\n")
        (folder / "u.item").write_bytes(f"242|Café (1997)|24-Jan-1997||http://x|{flags}\n".encode("latin-1"))
    elif edition == "1m":
        (folder / "ratings.dat").write_text("196::242::3::881250949\n")
        (folder / "movies.dat").write_bytes("242::Café (1997)::Adventure|Comedy\n".encode("latin-1"))
    else:
        (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n196,242,3.0,881250949\n")
        (folder / "movies.csv").write_text("movieId,title,genres\n242,Café (1997),Adventure|Comedy\n", encoding="utf-8")


@pytest.mark.parametrize("edition", ["100k", "1m", "latest"])
def test_movielens_editions_give_the_same(tmp_path: Path, edition: str) -> None:
    write_movielens(tmp_path / "ml", edition)
    source = open_source("movielens", tmp_path)
    assert source.ticks_per_second == 1
    assert read_events(source).rows() == [("196", "242", 881250949, 3.0, None, None)]
    assert read_items(source).rows() == [("242", "Café (1997)", None, ["Adventure", "Comedy"], None, None, "MovieLens")]


def test_movielens_titles_with_commas_and_no_genres(tmp_path: Path) -> None:
    write_movielens(tmp_path / "ml", "latest")
    (tmp_path / "ml" / "movies.csv").write_text('movieId,title,genres\n1,"Usual ""S"", The",(no genres listed)\n')
    row = read_items(open_source("movielens", tmp_path)).row(0)
    assert row[:4] == ("1", 'Usual "S", The', None, [])


def test_movielens_refuses_archives_and_other_folders(tmp_path: Path) -> None:
    (tmp_path / "ml.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="extract the archive"):
        open_source("movielens", tmp_path / "ml.zip")
    with pytest.raises(DataError, match=r"no u.data and u.item or ratings.dat"):
        open_source("movielens", tmp_path)


@pytest.mark.parametrize("name", ["amazon-2023", "google-local", "movielens", "csv", "parquet", "jsonl"])
def test_a_path_that_does_not_exist(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        open_source(name, tmp_path / "nowhere")


def test_unknown_sources_and_options_of_others(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give one of amazon-2023, google-local"):
        open_source("amazon", tmp_path)
    with pytest.raises(ConfigError, match="amazon-2023 has columns of its own"):
        open_source("amazon-2023", tmp_path, items=tmp_path)


def test_the_real_samples_are_read_without_a_bad_line(real_data: Path) -> None:
    amazon = open_source("amazon-2023", real_data / "raw" / "amazon_reviews_2023")
    assert read_events(amazon).height == 3455 + 1500
    assert read_items(amazon)["item_id"].n_unique() == 3228
    google = open_source("google-local", real_data / "raw" / "google_local_2021")
    assert read_events(google).height == 3248
    assert read_items(google).height == 1215
