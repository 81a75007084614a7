"""What every reward asks of its input and output: known examples, usable texts, scores that are numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bluerec.errors import DataError, TrainingError
from bluerec.rewards.title_index import normalise_words

MIN_WORDS = 3


def is_usable(text: str) -> bool:
    """False for what says nothing: an empty text, or one of fewer than three words."""
    return len(normalise_words(text)) >= MIN_WORDS


def find_rows(name: str, texts: Sequence[str], example_ids: Sequence[str], row_of: Mapping[str, int]) -> list[int]:
    """The row of each text's example. Raises `DataError` for an unknown example, or if the lengths differ."""
    if len(texts) != len(example_ids):
        raise DataError(f"{name} reward: {len(texts)} texts for {len(example_ids)} examples; give one example per text")
    unknown = next((example_id for example_id in example_ids if example_id not in row_of), None)
    if unknown is not None:
        raise DataError(f"{name} reward: unknown example {unknown!r}; build the rewards from the table it belongs to")
    return [row_of[example_id] for example_id in example_ids]


def check_scores(name: str, scores: Sequence[float | None], example_ids: Sequence[str]) -> list[float | None]:
    """The scores as they are. Raises `TrainingError` naming the first that is not a number."""
    for score, example_id in zip(scores, example_ids, strict=True):
        if score is not None and not math.isfinite(score):
            raise TrainingError(
                f"{name} reward: {score} for example {example_id!r}; check the vectors and the reading model, "
                "and load them in float32"
            )
    return list(scores)
