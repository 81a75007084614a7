"""The reward in text space: can the next item be told from others by somebody who only reads the profile?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bluerec.config import ChoiceRewardConfig
from bluerec.data.hashing import hash_name
from bluerec.data.histories import ExampleTable
from bluerec.errors import DataError
from bluerec.rewards.negatives import draw, find_untouched, seeded_generator, title_codes
from bluerec.rewards.texts import check_scores, find_rows, is_usable
from bluerec.types import IntArray, Reader, Stateful

# An unusable text is worth this much less than guessing, a twentieth of its probability. No usable text is worth
# less: the readers keep within it but for texts that mislead them altogether, and silence must not pay.
FLOOR_MARGIN = 3.0


@dataclass(frozen=True, slots=True)
class Choice:
    """The titles of a multiple choice, and the place of the true one among them."""

    options: tuple[str, ...]
    true: int


class ChoiceReward:
    """Log-probability that a reader of the profile chooses the next item's title among distractors.

    Half of the distractors are drawn by popularity, half uniformly, by seed, from items that the user never touched;
    their titles differ from each other, from the target's and from all in the history. An example has no such reward
    (None) if its target has no title, or if it is not among the one in `every` that a hash selects.
    """

    def __init__(self, config: ChoiceRewardConfig, table: ExampleTable, reader: Reader, *, seed: int = 0) -> None:
        self._config = config
        self._table = table
        self._reader = reader
        self._seed = seed
        self._example_ids = table.example_ids
        self._row_of = {example_id: row for row, example_id in enumerate(self._example_ids)}
        self._popularity = table.count_items().astype(np.float64)
        self._titles = title_codes(table)
        self._known: dict[int, Choice | None] = {}

    @property
    def name(self) -> str:
        return "choice"

    @property
    def floor(self) -> float:
        """The score of an unusable text, and the least of all."""
        return -float(np.log(self._config.n_options)) - FLOOR_MARGIN

    def state(self) -> dict[str, float]:
        """What the reader has kept, see `Stateful`."""
        return self._reader.state() if isinstance(self._reader, Stateful) else {}

    def restore(self, state: Mapping[str, float]) -> None:
        if isinstance(self._reader, Stateful):
            self._reader.restore(state)

    def score(self, texts: Sequence[str], example_ids: Sequence[str]) -> list[float | None]:
        """A score per text, or None for all texts of an example. Raises `DataError`, `TrainingError` for a NaN."""
        rows = find_rows(self.name, texts, example_ids, self._row_of)
        choices = [self.build_choice(row) for row in rows]
        scores = [None if choice is None else self.floor for choice in choices]
        asked = [
            (place, choice) for place, choice in enumerate(choices) if choice is not None and is_usable(texts[place])
        ]
        answers = self._reader.choose([texts[place] for place, _ in asked], [choice.options for _, choice in asked])
        for (place, choice), answer in zip(asked, answers, strict=True):
            # The value comes first: max() would replace a NaN in the other order, and hide it.
            scores[place] = max(float(answer[choice.true]), self.floor)
        return check_scores(self.name, scores, example_ids)

    def build_choice(self, row: int) -> Choice | None:
        """The multiple choice of the example at `row`; None if it has none."""
        if row not in self._known:
            self._known[row] = self._build_choice(row) if self._is_selected(row) else None
        return self._known[row]

    def _is_selected(self, row: int) -> bool:
        has_title = self._titles[self._table.target_rows[row]] != 0
        return has_title and hash_name(f"choice:{self._seed}:{self._example_ids[row]}") % self._config.every == 0

    def _build_choice(self, row: int) -> Choice:
        data = self._table.dataset
        generator = seeded_generator(f"options:{self._seed}:{self._example_ids[row]}")
        options = [*self._draw_distractors(row, generator).tolist()]
        true = int(generator.integers(len(options) + 1))
        options.insert(true, int(self._table.target_rows[row]))
        return Choice(tuple(data.titles[item] for item in options), true)

    def _draw_distractors(self, row: int, generator: np.random.Generator) -> IntArray:
        """Item rows (n_options - 1,)."""
        n_distractors = self._config.n_options - 1
        free = find_untouched(self._table, row, self._titles)
        history = self._titles[self._table.history_rows(row)]
        free &= (self._titles != 0) & ~np.isin(self._titles, history)
        candidates = np.flatnonzero(free)
        _, first = np.unique(self._titles[candidates], return_index=True)  # one item per title
        candidates = candidates[first]
        if len(candidates) < n_distractors:
            raise DataError(
                f"example {self._example_ids[row]!r}: {len(candidates)} titles that the user has not touched, "
                f"but choice_reward.n_options={self._config.n_options} needs {n_distractors}; lower it"
            )
        popular = draw(self._popularity[candidates], n_distractors // 2, generator)
        left = np.ones(len(candidates))
        left[popular] = 0.0
        others = draw(left, n_distractors - len(popular), generator)
        return candidates[np.concatenate([popular, others])]
