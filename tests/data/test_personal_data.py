"""Personal data is found in the forms that people write it in; years, models and bar codes stay."""

import re
import time
from itertools import pairwise
from pathlib import Path

import phonenumbers
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from phonenumbers import Leniency, PhoneNumberMatcher, phonenumbermatcher
from stdnum import iban, luhn

from bluerec.data import personal_data
from bluerec.data.personal_data import PHONE_REGIONS, PLACEHOLDER, find_personal_data, strip_personal_data

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


def find_naively(text: str) -> set[tuple[str, int, int]]:
    """Cards, accounts and phone numbers, every length and the whole text tried for each."""
    found = set()
    for match in personal_data._CARD.finditer(text):
        places = [place for place, letter in enumerate(match.group(), start=1) if letter.isdigit()]
        valid = [end for end in places[12:] if luhn.is_valid(re.sub(r"\D", "", match.group()[:end]))]
        found |= {("card", match.start(), match.start() + end) for end in valid[-1:]}
    start = 0
    while match := personal_data._IBAN.search(text, start):
        places = [place for place, letter in enumerate(match.group(), start=1) if letter.isalnum()]
        valid = [end for end in places[14:34] if iban.is_valid(match.group()[:end], check_country=False)]
        found |= {("iban", match.start(), match.start() + end) for end in valid[-1:]}
        start = match.start() + (valid[-1] if valid else 1)
    for region in PHONE_REGIONS:
        for phone in PhoneNumberMatcher(text, region, leniency=Leniency.VALID):
            if len(re.findall(r"\d", phone.raw_string)) >= 9:
                found.add(("phone", phone.start, phone.end))
    return found


NUMBERS = (
    "(415) 555-2671", "+44 20 7946 0958", "07700 900123", "+49 30 123456", "01 23 45 67 89", "4111 1111 1111 1111",
    "378282246310005", "DE89 3704 0044 0532 0130 00", "gb82west12345698765432", "FR14 2004 1010 0505 0001 3M02 606",
    "12/31/2011", "2012-01-02 08:00", "J. 12(3): 211-227 (2003)", "1234", "555", "00", "9", "\u0664",
)  # fmt: skip
BETWEEN = (" ext. 12", "x123", " extension ", "#", ";ext=7", "+", "(", ")", "-", " - ", "/", ". ", ",", " ", "     ")
OTHERS = (":", "\n", "a", " word ", "\u00e9", "$", "\u2013", "Tel: ")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(NUMBERS + BETWEEN + OTHERS), max_size=8).map("".join)
    | st.text("0123456789 -./()+x,", min_size=9, max_size=40)
)
def test_numbers_are_found_as_by_trying_all(text: str) -> None:
    assume(len(re.findall(r"\d+", text)) <= 20)
    many_digits = len(re.findall(r"\d", text)) >= 9
    found = {(piece.kind, piece.start, piece.end) for piece in personal_data._find_numbers(text)}
    assert found == (find_naively(text) if many_digits else set())


def test_beyond_so_many_numbers_what_looks_like_a_phone_number_goes() -> None:
    few, many = "1234 5678 " * 6, "1234 5678 " * 40
    assert strip_personal_data(few) is few
    assert strip_personal_data(f"{many}or (415) 555-2671, 12 34, 2.5") == f"{P} or ({P}, 12 34, 2.5"


@pytest.mark.parametrize(
    "piece",
    [
        "1234 ", "12 ", "1", "1/1/", "0 0", "+1 415 555 ", "(415) 555-2670 ", "4111 1111 1111 1112 ", "DE89 ", "AB12 ",
        "DE89370400440532013001 ", "123-45-678 ", "1.1.1.1", "a@", "a.", "::", "0:", "a at b dot ", "((1", "1 ext ",
    ],
)  # fmt: skip
def test_a_hostile_text_takes_no_time(piece: str) -> None:
    """By far less than the seconds that trying each number would take; machines differ."""
    text = (piece * 20_000)[:20_000]
    find_personal_data("4111 1111 1111 1111, (415) 555-2671")  # numbering plans are loaded when they are first needed
    begin = time.process_time()
    strip_personal_data(text)
    assert time.process_time() - begin < 0.5


def test_phone_numbers_are_as_long_and_as_interrupted_as_the_library_has_them() -> None:
    between = re.compile(f"[{personal_data._BETWEEN}]")
    classes = re.compile(f"[{phonenumbers.phonenumberutil._VALID_PUNCTUATION}]", re.IGNORECASE)
    assert all(between.match(sign) for sign in map(chr, range(2**16)) if classes.match(sign))
    assert f"{{0,{personal_data._MAX_GAP}}}" == phonenumbermatcher._PUNCTUATION_LIMIT
    assert phonenumbermatcher._DIGIT_BLOCK_LIMIT == personal_data._MAX_BLOCK_DIGITS


def test_titles_of_real_items_stay(real_data: Path) -> None:
    tables = [pl.read_parquet(real_data / name / "items.parquet", columns=["title"]) for name in ("games", "beauty")]
    titles = [title for title in pl.concat(tables)["title"].to_list() if title]
    changed = sum(strip_personal_data(title) is not title for title in titles)
    assert changed / len(titles) <= 0.002, changed
