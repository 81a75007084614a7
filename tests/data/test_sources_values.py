"""Values as people and programs write them: ratings, prices with decimal commas, and marks for what is missing."""

import math

import polars as pl
import pytest

from bluerec.data.checks import mend_items
from bluerec.data.sources.source import RAW_ITEMS_SCHEMA, complete
from bluerec.data.sources.values import clear_missing, plain_prices, read_ratings


def read_prices(*prices: str | None) -> tuple[list[float | None], int]:
    """The prices as they are saved, and how many of them were unreadable."""
    ids = [str(row) for row in range(len(prices))]
    table = pl.DataFrame({"item_id": ids, "price": plain_prices(pl.Series(prices, dtype=pl.String()))})
    items, drops = mend_items(complete(table, RAW_ITEMS_SCHEMA))
    return items["price"].to_list(), drops.repaired["unreadable_price"]


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("12,50 €", 12.5),
        ("12,5", 12.5),
        ("from 0,99 EUR", 0.99),
        ("1.299,00 EUR", 1299.0),
        ("1.299.000,00", 1_299_000.0),
        ("1.299.000 €", 1_299_000.0),
        ("1 299,00 kr", 1299.0),
        ("1\u202f299,00\u00a0€", 1299.0),
        ("CHF 1'299,50", 1299.5),
        ("1,299.00", 1299.0),
        ("1,299", 1299.0),
        ("1.299", 1.299),
        ("12.50", 12.5),
    ],
)
def test_a_decimal_comma_is_read_where_it_can_be_nothing_else(text: str, price: float) -> None:
    assert read_prices(text) == ([pytest.approx(price)], 0)


@pytest.mark.parametrize("text", ["10,50 - 20,50 €", "1.29,00", "1,29,00", "2 x 9,99", "12,5000", "$$"])
def test_what_is_no_single_price_stays_unreadable(text: str) -> None:
    assert read_prices(text, "3") == ([None, 3.0], 1)


@pytest.mark.parametrize("text", [None, "", "  ", "NULL", "nan", "N/A", "\\N"])
def test_an_empty_price_is_missing(text: str | None) -> None:
    assert read_prices(text, "3") == ([None, 3.0], 0)


def test_a_sign_before_a_decimal_comma_is_not_lost() -> None:
    assert plain_prices(pl.Series(["-12,50 €", "- 1.299,00"])).to_list() == ["-12.50 €", "- 1299.00"]


def test_marks_for_what_is_missing_count_where_they_stand_alone() -> None:
    texts = pl.Series(["null", "NA", "None", "", "Null Island", "none", "na", None])
    assert clear_missing(texts).to_list() == [None, None, None, None, "Null Island", "none", "na", None]


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("4", 4.0),
        (" 4.5 ", 4.5),
        ("4,5", 4.5),
        ("-1", -1.0),
        ("1e1", 10.0),
        ("5 stars", 5.0),
        ("1 Star", 1.0),
        ("4,5 stars", 4.5),
        ("3★", 3.0),
        ("inf", math.inf),
        ("", None),
        ("NULL", None),
        (None, None),
    ],
)
def test_a_rating_is_a_number(text: str | None, rating: float | None) -> None:
    assert read_ratings(pl.Series([text, "2"])).to_list() == [rating, 2.0]


@pytest.mark.parametrize("text", ["five", "4/5", "4 of 5", "1,000", "★★★", "4 5", "stars", "true", "[1]"])
def test_what_is_no_number_is_marked_as_unreadable(text: str) -> None:
    """Not 4/5 either: its scale is another than that of a plain 4."""
    ratings = read_ratings(pl.Series([text, None, "2"]))
    assert math.isnan(ratings[0])
    assert ratings[1:].to_list() == [None, 2.0]
