"""Personal data is found in the forms that people write it in; years, models and bar codes stay."""

from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.data.personal_data import PLACEHOLDER, find_personal_data, strip_personal_data

P = PLACEHOLDER


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("Mail joe.doe+shop@mail.example.com.", f"Mail {P}."),
        ("joe (at) mail (dot) com, joe at mail dot com", f"{P}, {P}"),
        ("ｊｏｅ＠gmail.com wrote this", f"{P} wrote this"),
        ("card 4111 1111 1111 1111, 12/27", f"card {P}, 12/27"),
        ("378282246310005 or 5500-0000-0000-0004", f"{P} or {P}"),
        ("to DE89 3704 0044 0532 0130 00 and gb82west12345698765432", f"to {P} and {P}"),
        ("SSN 078-05-1120", f"SSN {P}"),
        ("from 192.168.1.20, 2001:db8::1 and fe80::1ff:fe23:4567:890a", f"from {P}, {P} and {P}"),
        ("call (415) 555-2671, +44 20 7946 0958 or 07700 900123", f"call {P}, {P} or {P}"),
    ],
)
def test_what_goes(raw: str, plain: str) -> None:
    assert strip_personal_data(raw) == plain


@pytest.mark.parametrize(
    "text",
    [
        "Street Fighter 30th Anniversary 1987-2017", "FIFA 2014 2015 2016, 4 stars", "UPC 711719541028",
        "@home, look at it", "12:30:45 is the time", "ISBN 978-3-16-148410-0", "model 900-1234", "std::vector",
        "4111 1111 1111 1112", "1999.12.31", "300.400.1.2", "version 1.0.2", "I ordered 2 at the shop dot",
        "£199.99 and 10:15",
    ],
)  # fmt: skip
def test_what_stays(text: str) -> None:
    assert strip_personal_data(text) is text


@settings(max_examples=200, deadline=None)
@given(st.text("ab1230456789@. -:+()", max_size=60) | st.text(max_size=60))
def test_a_stripped_text_holds_nothing_and_pieces_are_in_order(text: str) -> None:
    pieces = find_personal_data(text)
    assert all(piece.start < piece.end <= len(text) for piece in pieces)
    assert all(first.end <= second.start for first, second in pairwise(pieces))
    assert (strip_personal_data(text) is text) or PLACEHOLDER in strip_personal_data(text)


def test_titles_of_real_items_stay(real_data: Path) -> None:
    tables = [pl.read_parquet(real_data / name / "items.parquet", columns=["title"]) for name in ("games", "beauty")]
    titles = [title for title in pl.concat(tables)["title"].to_list() if title]
    changed = sum(strip_personal_data(title) is not title for title in titles)
    assert changed / len(titles) <= 0.002, changed
