"""The reward for brevity: what a profile says, it should say in few words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bluerec.config import LengthRewardConfig
from bluerec.data.histories import ExampleTable
from bluerec.rewards.scoring import score_length
from bluerec.rewards.texts import check_scores, find_rows, is_usable
from bluerec.rewards.title_index import normalise_words


class LengthReward:
    """Linear in the number of words, capped on both sides (`score_length`); an unusable text gets the least."""

    def __init__(self, config: LengthRewardConfig, table: ExampleTable) -> None:
        self._config = config
        self._row_of = {example_id: row for row, example_id in enumerate(table.example_ids)}

    @property
    def name(self) -> str:
        return "length"

    def score(self, texts: Sequence[str], example_ids: Sequence[str]) -> list[float | None]:
        """One score per text, never None. Raises `DataError` for an unknown example."""
        find_rows(self.name, texts, example_ids, self._row_of)
        config = self._config
        n_words = np.array([len(normalise_words(text)) for text in texts], dtype=np.int64)
        scores = score_length(n_words, target=config.target_words, slope=config.slope, cap=config.cap)
        return check_scores(
            self.name,
            # Silence is short, but it must not pay.
            [float(score) if is_usable(text) else -config.cap for text, score in zip(texts, scores, strict=True)],
            example_ids,
        )
