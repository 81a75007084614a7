"""What of a source is a price."""

import polars as pl
import pytest

from bluerec.data.checks import mend_items
from bluerec.data.tables import ITEMS_SCHEMA


def read_prices(*prices: str | None) -> tuple[list[float | None], int]:
    """The prices as read, and how many of them were unreadable."""
    columns = {"item_id": [str(row) for row in range(len(prices))], "price": prices}
    schema = {**ITEMS_SCHEMA, "price": pl.String()}
    items = pl.DataFrame(columns, schema_overrides={"price": pl.String()})
    items = items.with_columns(pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in columns)
    mended, drops = mend_items(items)
    return mended["price"].to_list(), drops.repaired["unreadable_price"]


@pytest.mark.parametrize(
    ("raw", "price"),
    [
        ("5.00", 5.0), ("$1,299.00", 1299.0), ("from 12.99", 12.99), ("US-$5", 5.0), ("pre-order 5.5", 5.5),
        ("Price - 12.5", 12.5), ("12.5 - sale", 12.5), ("0", 0.0),
    ],
)  # fmt: skip
def test_a_price_is_one_number(raw: str, price: float) -> None:
    assert read_prices(raw) == ([pytest.approx(price)], 0)


@pytest.mark.parametrize(
    "raw", ["-5.00", "−5", "$-5.00", "-$5.00", " - $5.00", "USD -5", "–1,299.00", "$10 - $20", "12,99", "$$", ""]
)
def test_a_negative_or_ambiguous_price_is_unknown_and_counted(raw: str) -> None:
    assert read_prices(raw, "3") == ([None, 3.0], 1)


def test_no_price_is_not_counted() -> None:
    assert read_prices(None, "3") == ([None, 3.0], 0)
