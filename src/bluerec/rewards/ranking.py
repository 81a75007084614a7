"""The reward by rank: at which place of the whole catalogue the profile puts the next item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bluerec.config import RankingRewardConfig
from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError
from bluerec.rewards.scoring import ndcg_of_rank, rank_target, reciprocal_of_rank
from bluerec.rewards.texts import check_scores, find_rows, is_usable
from bluerec.types import Embedder, Float32Array

# Below the worth of any rank.
FLOOR = 0.0


class RankingReward:
    """NDCG or reciprocal rank of the next item, the items of the history left out; between 0 and 1.

    The items are ordered by their cosine to the profile, the whole catalogue of them. An unusable text gets 0.
    """

    def __init__(
        self, config: RankingRewardConfig, table: ExampleTable, embedder: Embedder, item_vectors: Float32Array
    ) -> None:
        """`item_vectors` (n_items, d). Raises `ConfigError` if they are not of this catalogue and embedder."""
        if item_vectors.shape != (table.dataset.n_items, embedder.dimension):
            raise ConfigError(
                f"ranking reward: item vectors {item_vectors.shape}, but {table.dataset.n_items} items and "
                f"{embedder.dimension} dimensions of {embedder.name}; embed the catalogue with this embedder"
            )
        self._table = table
        self._embedder = embedder
        self._items = item_vectors
        self._measure = ndcg_of_rank if config.measure == "ndcg" else reciprocal_of_rank
        self._row_of = {example_id: row for row, example_id in enumerate(table.example_ids)}

    @property
    def name(self) -> str:
        return "ranking"

    def score(self, texts: Sequence[str], example_ids: Sequence[str]) -> list[float | None]:
        """One score per text, never None. Raises `DataError` for an unknown example, `TrainingError` for a NaN."""
        rows = find_rows(self.name, texts, example_ids, self._row_of)
        scores: list[float | None] = [FLOOR] * len(texts)
        usable = [place for place, text in enumerate(texts) if is_usable(text)]
        vectors = self._embedder.embed([texts[place] for place in usable], "profile")
        for place, vector in zip(usable, vectors, strict=True):
            # One product a text: in a larger one the last bits would depend on the others.
            scores[place] = self._score_one(self._items @ vector, rows[place])
        return check_scores(self.name, scores, example_ids)

    def _score_one(self, cosines: Float32Array, row: int) -> float:
        if not np.isfinite(cosines).all():
            return float("nan")
        hidden = np.zeros((1, len(cosines)), dtype=np.bool_)
        hidden[0, self._table.history_rows(row)] = True
        ranks = rank_target(cosines[None], self._table.target_rows[[row]], hidden)
        return float(self._measure(ranks)[0])
