"""Values of tables of any origin, as people and programs write them: what is missing, ratings and prices."""

from __future__ import annotations

import math

import polars as pl

# What programs write into a text file where there is no value; ids are never taken for one of them.
_MISSING = ("", "null", "NULL", "None", "NaN", "nan", "NA", "N/A", "<NA>", "\\N")
# "4,5", "5 stars"; "4/5" is of another scale than a plain 4, and how many stars there can be in "★★★★" is not said.
_RATING = r"(?i)^(-?\d+(?:[.,]\d{1,2})?)\s*(?:stars?|★)?$"
# "12,50 €", "1.299,00 EUR" and "1 299,00": of a comma before one or two last digits nothing else can be meant.
_DECIMAL_COMMA = r"^(\D*)(\d{1,3}(?:\.\d{3})+|\d{1,3}(?:[\s'’]\d{3})+|\d+),(\d{1,2})(\D*)$"
# "1.299.000": of several groups the point separates thousands.
_POINTED_THOUSANDS = r"^\D*\d{1,3}(?:\.\d{3}){2,}\D*$"


def clear_missing(texts: pl.Series) -> pl.Series:
    """The texts, null where one is empty or a mark for a missing value and nothing else."""
    return texts.set(texts.is_in(_MISSING).fill_null(False), None)


def read_ratings(texts: pl.Series) -> pl.Series:
    """Ratings as numbers: null where there is none, not a number (NaN) where something else stands."""
    texts = clear_missing(texts.str.strip_chars())
    ratings = texts.cast(pl.Float64, strict=False)
    unread = ratings.is_null() & texts.is_not_null()
    if unread.any():
        numbers = texts.filter(unread).str.extract(_RATING).str.replace(",", ".", literal=True).cast(pl.Float64)
        ratings = ratings.scatter(unread.arg_true(), numbers.fill_null(math.nan))
    return ratings


def plain_prices(texts: pl.Series) -> pl.Series:
    """Prices with a decimal point and no points between thousands, null where there is none.

    What stands around the number is kept, signs among it; what could be several numbers is left as it is.
    """
    texts = clear_missing(texts.str.strip_chars())
    pointed = texts.str.contains(_POINTED_THOUSANDS).fill_null(False)
    if pointed.any():
        texts = texts.scatter(pointed.arg_true(), texts.filter(pointed).str.replace_all(r"(\d)\.(\d)", "$1$2"))
    commas = texts.str.contains(_DECIMAL_COMMA).fill_null(False)
    if commas.any():
        before, whole, decimals, after = texts.filter(commas).str.extract_groups(_DECIMAL_COMMA).struct.unnest()
        whole = whole.str.replace_all(r"\D", "")
        texts = texts.scatter(commas.arg_true(), before + whole + "." + decimals + after)
    return texts
