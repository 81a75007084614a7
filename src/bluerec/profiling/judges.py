"""How good a profile is, judged by a frozen causal language model that reads the history beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from bluerec.errors import DataError, ModelError
from bluerec.profiling.frozen import FrozenModel, ReadingOptions, log_softmax
from bluerec.types import Float32Array

BEFORE = "Items that one person took, oldest first:"
QUESTION = (
    "How good is this profile? A good one is true to the list, names what this person likes in particular, is easy to "
    "read, and helps to find what they will want next. Answer with one digit from 1 (bad) to {best} (excellent)."
)
MAX_TITLE_TOKENS = 24
MAX_PROFILE_TOKENS = 256


class GradeJudge:
    """Asks for a grade as one digit and reads the probabilities of the digits only.

    A grade depends on one history and profile alone, never on the batch. Raises `ModelError` if the tokenizer has no
    single token per digit. `options`: see `ReadingOptions`.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, **options: Unpack[ReadingOptions]) -> None:
        self._frozen = FrozenModel(model, tokenizer, f"grade:{name}", **options)

    @property
    def name(self) -> str:
        return self._frozen.name

    def grade(self, histories: Sequence[Sequence[str]], texts: Sequence[str], n_grades: int) -> Float32Array:
        """Log-probabilities (n_texts, n_grades) of the grades 1 to n; `histories` are titles, oldest first.

        Raises `DataError` if the lengths differ.
        """
        if len(histories) != len(texts):
            raise DataError(f"{self.name}: {len(histories)} histories for {len(texts)} texts; give one per text")
        digits = self._digit_tokens(n_grades)
        prompts = [self._prompt_tokens(*both, n_grades) for both in zip(histories, texts, strict=True)]
        return log_softmax(self._frozen.score_answers(prompts, digits))

    def _digit_tokens(self, n_grades: int) -> list[int]:
        tokens = self._frozen.find_single_tokens([str(grade) for grade in range(1, n_grades + 1)])
        if tokens is None:
            raise ModelError(f"{self.name}: no single token per digit; judge with another model, or without one")
        return tokens

    def _prompt_tokens(self, titles: Sequence[str], text: str, n_grades: int) -> list[int]:
        lines = [f"- {self._frozen.cut(title, MAX_TITLE_TOKENS)}" for title in titles]
        profile = self._frozen.cut(text, MAX_PROFILE_TOKENS)
        asked = "\n".join(
            [BEFORE, *lines, "", f"A profile of this person: {profile}", "", QUESTION.format(best=n_grades)]
        )
        return self._frozen.ask(asked)
