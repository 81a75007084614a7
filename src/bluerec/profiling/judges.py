"""How good a profile is, judged by a frozen causal language model that reads the history beside it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from bluerec.errors import DataError, ModelError
from bluerec.profiling.readers import Frozen, _log_softmax, _pad_left, _reading, _tokenise, remove_special_tokens
from bluerec.types import Float32Array

if TYPE_CHECKING:
    import torch

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
    single token per digit. Arguments as those of `bluerec.profiling.readers.LetterReader`.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        *,
        frozen: Frozen = nullcontext,
        dtype: torch.dtype | None = None,
        batch_size: int = 8,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._name = f"grade:{name}"
        self._frozen = frozen
        self._dtype = dtype
        self._batch_size = batch_size

    @property
    def name(self) -> str:
        return self._name

    def grade(self, histories: Sequence[Sequence[str]], texts: Sequence[str], n_grades: int) -> Float32Array:
        """Log-probabilities (n_texts, n_grades) of the grades 1 to n; `histories` are titles, oldest first.

        Raises `DataError` if the lengths differ.
        """
        if len(histories) != len(texts):
            raise DataError(f"{self._name}: {len(histories)} histories for {len(texts)} texts; give one per text")
        digits = self._digit_tokens(n_grades)
        prompts = [self._prompt_tokens(*both, n_grades) for both in zip(histories, texts, strict=True)]
        scores = np.empty((len(prompts), n_grades))
        order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
        with _reading(self._model, self._frozen, self._dtype):
            for start in range(0, len(order), self._batch_size):
                rows = order[start : start + self._batch_size]
                scores[rows] = self._digit_scores([prompts[row] for row in rows], digits)
        return _log_softmax(scores)

    def _digit_scores(self, prompts: list[list[int]], digits: list[int]) -> np.ndarray:
        import torch

        device = self._model.get_input_embeddings().weight.device
        tokens, mask = (values.to(device) for values in _pad_left(prompts, int(self._tokenizer.pad_token_id or 0)))
        with torch.no_grad():
            logits = self._model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=(mask.cumsum(1) - 1).clamp(min=0),
                use_cache=False,
                logits_to_keep=1,
            ).logits[:, -1, digits]
        scores: np.ndarray = logits.double().cpu().numpy()
        return scores

    def _digit_tokens(self, n_grades: int) -> list[int]:
        tokens = [_tokenise(self._tokenizer, str(grade)) for grade in range(1, n_grades + 1)]
        if any(len(ids) != 1 for ids in tokens) or len({ids[0] for ids in tokens}) < n_grades:
            raise ModelError(f"{self._name}: no single token per digit; judge with another model, or without one")
        return [ids[0] for ids in tokens]

    def _prompt_tokens(self, titles: Sequence[str], text: str, n_grades: int) -> list[int]:
        lines = [f"- {self._cut(title, MAX_TITLE_TOKENS)}" for title in titles]
        profile = self._cut(text, MAX_PROFILE_TOKENS)
        asked = "\n".join(
            [BEFORE, *lines, "", f"A profile of this person: {profile}", "", QUESTION.format(best=n_grades)]
        )
        rendered = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": asked}], add_generation_prompt=True, tokenize=False
        )
        return [int(token) for token in self._tokenizer(rendered, add_special_tokens=False)["input_ids"]]

    def _cut(self, text: str, n_tokens: int) -> str:
        """One line, without the marks that divide a chat into turns, of bounded length."""
        text = " ".join(remove_special_tokens(text, self._tokenizer).split())
        tokens = _tokenise(self._tokenizer, text)
        return text if len(tokens) <= n_tokens else str(self._tokenizer.decode(tokens[:n_tokens])).rstrip("\ufffd")
