"""The figures of a benchmark's measures: one section for each question that profiles are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bluerec.evaluation.bench_measures import NO_CONTEXT, RAW_HISTORY, SUPPORTED
from bluerec.evaluation.charts import Interval, interval_chart
from bluerec.evaluation.faithfulness import GUARD_NAMES
from bluerec.evaluation.steering import EDITS, READINGS


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure on one data set."""

    data: str
    measure: str
    n_users: int
    chart: Markup


@dataclass(frozen=True, slots=True)
class Section:
    """A question, how to read its figures, and the figures."""

    key: str
    title: str
    setting: str
    figures: tuple[Figure, ...]


_QUESTIONS = (
    (
        "answers",
        "Can a reader answer from it?",
        "A language model reads nothing, the raw history, or a profile, and chooses the next item and predicts its "
        "rating. Accuracy: more is better. Absolute error: less is better. Tokens: what is read for each user.",
        ("next item among 4: accuracy", "next item among 10: accuracy", "rating of the next item: absolute error",
         "tokens of context"),
    ),
    (
        "truth",
        "Is it true, and its owner's own?",
        "A sentence is supported where an item of its user's history is nearer than all of nineteen strangers' "
        "histories of the same length: what has nothing to do with its user is supported in 5% of cases. "
        "Shares of faults: less is better.",
        (SUPPORTED, GUARD_NAMES["guard_invented_person"], GUARD_NAMES["guard_foreign_title"],
         GUARD_NAMES["guard_copying"], GUARD_NAMES["guard_repetition"],
         "distance to other users' profiles (1 - cosine)", "reading ease (Flesch)"),
    ),
    (
        "steering",
        "Does an edit steer?",
        "How far the items that an edit names move in the direction asked for, more than all other items, as a "
        "share of the catalogue. Zero: the edit is not heard. Negative: the opposite of what was asked. Read as one "
        "vector, or by sentences, as profiles are served.",
        tuple(f"{kind}{reading}" for kind in EDITS for reading in READINGS),
    ),
)  # fmt: skip


def build_sections(results: Mapping[str, Any]) -> list[Section]:
    """The sections that have any figure."""
    rows = results["measures"]
    sections = []
    for key, title, setting, measures in _QUESTIONS:
        figures = []
        for data in dict.fromkeys(row["dataset"] for row in rows):
            for measure in measures:
                own = [row for row in rows if row["dataset"] == data and row["measure"] == measure]
                if own:
                    figures.append(_draw(data, measure, own))
        if figures:
            sections.append(Section(key, title, setting, tuple(figures)))
    return sections


def _draw(data: str, measure: str, rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The systems in the order of the configuration, so that they stand in one order in all figures."""
    intervals = [
        Interval(row["system"], row["mean"], row["low"], row["high"], row["system"] not in (NO_CONTEXT, RAW_HISTORY))
        for row in rows
    ]
    said = "; ".join(f"{row['system']} {row['mean']:.3g}" for row in rows)
    # Three digits are more than the intervals allow; counts and scores of more than 10 need one decimal.
    n_decimals = 1 if max(abs(row["mean"]) for row in rows) > 10 else 3
    chart = interval_chart(intervals, description=f"{measure} on {data}: {said}", x_label="", n_decimals=n_decimals)
    return Figure(data, measure, max(int(row["n"]) for row in rows), chart)
