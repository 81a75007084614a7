"""MovieLens (Harper and Konstan, 2015): 100K, 1M, and the CSV layout of latest, 20M, 25M and 32M.

Times are seconds. A film's categories are its genres; the domain is `MovieLens`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from bluerec.data.sources.blocks import CountBytes
from bluerec.data.sources.findings import BadLines
from bluerec.data.sources.lines import Delimited, read_lines
from bluerec.data.sources.source import EVENTS_SCHEMA, RAW_ITEMS_SCHEMA, Source, complete, list_files
from bluerec.errors import DataError

_RATING = pl.Schema({"user_id": pl.String, "item_id": pl.String, "rating": pl.Float64, "timestamp": pl.Int64})
_IDS = ("user_id", "item_id")
# The genres of u.item, one column each, in its order; the first means unknown.
_GENRES_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
_NO_GENRES = "(no genres listed)"


@dataclass(frozen=True)
class _Layout:
    """The two files of one edition, how their lines are read, and how many lines of header they have."""

    ratings: str
    movies: str
    rating_lines: Delimited
    movie_lines: Delimited
    header: int


def _ratings(separator: str, *, quoted: bool) -> Delimited:
    return Delimited(_RATING, ("user_id", "item_id", "rating", "timestamp"), _IDS, separator, quoted)


def _movies(columns: tuple[str, ...], separator: str, *, quoted: bool, encoding: str) -> Delimited:
    wanted = [name for name in columns if name not in ("release", "video", "url")]
    schema = pl.Schema(dict.fromkeys(wanted, pl.String()))
    return Delimited(schema, columns, ("item_id",), separator, quoted, encoding)


_LAYOUTS = (
    _Layout(
        "u.data",
        "u.item",
        _ratings("\t", quoted=False),
        _movies(("item_id", "title", "release", "video", "url", *_GENRES_100K), "|", quoted=False, encoding="latin-1"),
        header=0,
    ),
    _Layout(
        "ratings.dat",
        "movies.dat",
        _ratings("::", quoted=False),
        _movies(("item_id", "title", "genres"), "::", quoted=False, encoding="latin-1"),
        header=0,
    ),
    _Layout(
        "ratings.csv",
        "movies.csv",
        _ratings(",", quoted=True),
        _movies(("item_id", "title", "genres"), ",", quoted=True, encoding="utf-8"),
        header=1,
    ),
)


def open_movielens(path: Path) -> Source:
    """The source in an extracted folder. Raises `DataError` if no edition's two files are there."""
    wanted = "folder of an extracted MovieLens archive"
    if path.is_file():
        raise DataError(f"{path}: a file; extract the archive and give the {wanted}")
    found = {file.name: file for file in list_files(path, wanted)}
    for layout in _LAYOUTS:
        if layout.ratings in found and layout.movies in found:
            ratings, movies = found[layout.ratings], found[layout.movies]
            return Source(
                name="movielens",
                event_files=(ratings,),
                item_files=(movies,),
                ticks_per_second=1,
                read_events=partial(_read_events, ratings, layout),
                read_items=partial(_read_items, movies, layout),
            )
    pairs = " or ".join(f"{layout.ratings} and {layout.movies}" for layout in _LAYOUTS)
    raise DataError(f"{path}: no {pairs} in it; give the {wanted}")


def _read_events(file: Path, layout: _Layout, bad: BadLines, tell: CountBytes | None = None) -> Iterator[pl.DataFrame]:
    for table in read_lines(file, layout.rating_lines, bad, of="events", tell=tell, skip=layout.header):
        yield complete(table, EVENTS_SCHEMA)


def _read_items(file: Path, layout: _Layout, bad: BadLines, tell: CountBytes | None = None) -> Iterator[pl.DataFrame]:
    for table in read_lines(file, layout.movie_lines, bad, of="items", tell=tell, skip=layout.header):
        if "genres" in table.columns:
            genres = pl.col("genres").str.split("|").list.set_difference([_NO_GENRES])
        else:
            flags = [pl.when(pl.col(name) == "1").then(pl.lit(name)) for name in _GENRES_100K[1:]]
            genres = pl.concat_list(flags).list.drop_nulls()
        films = table.select("item_id", "title", genres.alias("categories"), pl.lit("MovieLens").alias("domain"))
        yield complete(films, RAW_ITEMS_SCHEMA)
