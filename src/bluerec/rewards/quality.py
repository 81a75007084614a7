"""The reward of a judge: a frozen language model grades the profile beside the history it was written from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from bluerec.config import QualityRewardConfig
from bluerec.data.histories import ExampleTable
from bluerec.rewards.scoring import expected_grade
from bluerec.rewards.texts import check_scores, find_rows, is_usable
from bluerec.types import Float32Array

FLOOR = 0.0


class Judge(Protocol):
    """Grades profiles: log-probabilities (n_texts, n_grades) of the grades 1 to n, each text by itself."""

    @property
    def name(self) -> str: ...

    def grade(self, histories: Sequence[Sequence[str]], texts: Sequence[str], n_grades: int) -> Float32Array: ...


class QualityReward:
    """The grade that the judge expects of itself, between 0 (the lowest) and 1.

    An expectation, because the likeliest grade is nearly always the same one, and a group of equals teaches nothing. An
    unusable text gets 0.
    """

    def __init__(self, config: QualityRewardConfig, table: ExampleTable, judge: Judge) -> None:
        self._config = config
        self._table = table
        self._judge = judge
        self._row_of = {example_id: row for row, example_id in enumerate(table.example_ids)}

    @property
    def name(self) -> str:
        return "quality"

    def score(self, texts: Sequence[str], example_ids: Sequence[str]) -> list[float | None]:
        """One score per text, never None. Raises `DataError` for an unknown example, `TrainingError` for a NaN."""
        rows = find_rows(self.name, texts, example_ids, self._row_of)
        scores: list[float | None] = [FLOOR] * len(texts)
        usable = [place for place, text in enumerate(texts) if is_usable(text)]
        if usable:
            answers = self._judge.grade(
                [self._titles(rows[place]) for place in usable],
                [texts[place] for place in usable],
                self._config.n_grades,
            )
            for place, grade in zip(usable, expected_grade(np.asarray(answers)).tolist(), strict=True):
                scores[place] = grade
        return check_scores(self.name, scores, example_ids)

    def _titles(self, row: int) -> list[str]:
        titles = self._table.dataset.titles
        shown = self._table.history_rows(row, last=self._config.max_events)
        return [titles[item] for item in shown if titles[item]]
