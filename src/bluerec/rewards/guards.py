"""Penalties for what a profiler under reinforcement learning exploits, as `bluerec.rewards.watch` measures it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bluerec.config import GuardConfig
from bluerec.data.histories import ExampleTable
from bluerec.rewards.person_facts import find_person_facts
from bluerec.rewards.texts import check_scores, find_rows, is_usable
from bluerec.rewards.title_index import TitleIndex
from bluerec.rewards.watch import measure_copied, measure_repetition, measure_unfinished
from bluerec.types import History

# An unusable text breaks no rule; it gets the worst share all the same, so that silence is no way out.
FLOOR = -1.0


@dataclass(frozen=True, slots=True)
class HistoryText:
    """What a history says: the titles of its items, and the texts of its reviews."""

    titles: tuple[str, ...]
    reviews: str


Measure = Callable[[str, HistoryText], float]


class HistoryTexts:
    """The texts of an example's history, read once: reviews lie on disk."""

    def __init__(self, table: ExampleTable) -> None:
        self._table = table
        self._row_of = {example_id: row for row, example_id in enumerate(table.example_ids)}
        self._known: dict[int, HistoryText] = {}

    def read(self, name: str, texts: Sequence[str], example_ids: Sequence[str]) -> list[HistoryText]:
        """One history per text. Raises `DataError` in the name of a reward, see `find_rows`."""
        rows = find_rows(name, texts, example_ids, self._row_of)
        new = [row for row in dict.fromkeys(rows) if row not in self._known]
        if new:  # without any, the reviews would be read from disk all the same
            examples = self._table.take(np.array(new, dtype=np.int64)).examples()
            self._known |= {row: _history_text(example.history) for row, example in zip(new, examples, strict=True)}
        return [self._known[row] for row in rows]


class GuardReward:
    """Minus a share between 0 and 1, as `measure` finds it in a profile and the history it was written from."""

    def __init__(self, guard: str, histories: HistoryTexts, measure: Measure) -> None:
        self._name = f"guard_{guard}"
        self._histories = histories
        self._measure = measure

    @property
    def name(self) -> str:
        return self._name

    def score(self, texts: Sequence[str], example_ids: Sequence[str]) -> list[float | None]:
        """One score per text, never None. Raises `DataError` for an unknown example."""
        histories = self._histories.read(self._name, texts, example_ids)
        scores = [
            0.0 - self._measure(text, history) if is_usable(text) else FLOOR
            for text, history in zip(texts, histories, strict=True)
        ]
        return check_scores(self._name, scores, example_ids)


def build_guards(
    config: GuardConfig, table: ExampleTable, *, title_index: TitleIndex | None = None
) -> list[tuple[GuardReward, float]]:
    """The guards with their weights.

    One of weight 0 is a metric only. `foreign_title` needs an index of all titles, which takes a while to build: with
    weight 0 it is left out unless the index is given.
    """
    guards: list[tuple[str, float, Measure]] = [
        ("repetition", config.repetition, lambda text, _: measure_repetition(text)),
        ("copying", config.copying, lambda text, history: measure_copied(text, history.titles)),
        ("unfinished", config.unfinished, lambda text, _: measure_unfinished(text)),
        ("invented_person", config.invented_person, _measure_invented),
    ]
    if config.foreign_title or title_index is not None:
        index = title_index if title_index is not None else TitleIndex(table.dataset.titles)
        guards.append(
            ("foreign_title", config.foreign_title, lambda text, its: float(bool(index.find_foreign(text, its.titles))))
        )
    histories = HistoryTexts(table)
    return [(GuardReward(guard, histories, measure), weight) for guard, weight, measure in guards]


def _measure_invented(text: str, history: HistoryText) -> float:
    return float(bool(find_person_facts(text, history.reviews)))


def _history_text(history: History) -> HistoryText:
    interactions = [event.interaction for event in history.events]
    written = [part for one in interactions for part in (one.review_title, one.review_text) if part]
    return HistoryText(tuple(event.item.title for event in history.events), "\n".join(written))
