"""Who answers the questions of `bluerec.evaluation.qa`: a local language model, or one behind an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bluerec.errors import ModelError
from bluerec.evaluation.metrics import Float64Array
from bluerec.profiling.continuations import Row, score_continuations
from bluerec.profiling.endpoint import count_roughly
from bluerec.profiling.endpoint_reader import EndpointReader
from bluerec.profiling.frozen import remove_special_tokens
from bluerec.profiling.readers import MAX_CONTEXT_TOKENS, LikelihoodReader
from bluerec.types import Reader

if TYPE_CHECKING:
    import torch

RATINGS = (1, 2, 3, 4, 5)


class Answerer(Protocol):
    """A reader that also rates, and counts the tokens of what it reads."""

    @property
    def name(self) -> str: ...

    @property
    def reader(self) -> Reader: ...

    @property
    def guesses_alone(self) -> bool:
        """Whether, without a context, its choice is a guess by definition: it scores what a context adds."""
        ...

    def rate(self, contexts: Sequence[str], titles: Sequence[str], prior: Float64Array) -> Float64Array:
        """Predicted ratings (n_contexts,) of titled items, NaN where it has no answer.

        `prior` are the shares (5,) of the ratings 1 to 5 among all that may be counted.
        """
        ...

    def count_tokens(self, text: str) -> int: ...


class LikelihoodAnswerer:
    """Rates by the likelihood of the digits 1 to 5 behind context and title; chooses as its reader does.

    With a `dtype` such as bfloat16 matrices are multiplied in it, which the reader is told separately.
    """

    def __init__(
        self, model: Any, tokenizer: Any, reader: Reader, *, dtype: torch.dtype | None = None, batch_size: int = 8
    ) -> None:
        self._dtype = dtype
        self._model = model
        self._tokenizer = tokenizer
        self.reader = reader
        self._batch_size = batch_size
        self._digits = [self._encode(f" {rating}") for rating in RATINGS]

    @property
    def name(self) -> str:
        precision = "" if self._dtype is None else f", {str(self._dtype).removeprefix('torch.')}"
        return f"{self.reader.name}{precision}"

    @property
    def guesses_alone(self) -> bool:
        return isinstance(self.reader, LikelihoodReader)

    def rate(self, contexts: Sequence[str], titles: Sequence[str], prior: Float64Array) -> Float64Array:
        """See `predict_ratings`."""
        alone = self.weigh_ratings([""] * len(titles), titles)
        return predict_ratings(self.weigh_ratings(contexts, titles), alone, prior)

    def weigh_ratings(self, contexts: Sequence[str], titles: Sequence[str]) -> Float64Array:
        """Log-probabilities (n_contexts, 5) of each rating of a titled item."""
        rows = []
        for context, title in zip(contexts, titles, strict=True):
            shown = self._encode(context)[:MAX_CONTEXT_TOKENS] if context else []
            question = f"\nItem: {title}\nThe rating of this user, from 1 (worst) to 5 (best):"
            rows.append(Row([*self._begin(), *shown, *self._encode(question)], self._digits))
        pad_token = int(self._tokenizer.pad_token_id or 0)
        with self._precision():
            scores = score_continuations(self._model, rows, pad_token=pad_token, batch_size=self._batch_size)
        totals = np.array(scores)
        if not np.isfinite(totals).all():
            raise ModelError("rating: the reading model gave scores that are not finite; load it in float32")
        totals = totals.reshape(len(rows), len(RATINGS))
        return np.asarray(totals - np.logaddexp.reduce(totals, axis=1, keepdims=True))

    def count_tokens(self, text: str) -> int:
        return len(self._encode(text)) if text else 0

    def _precision(self) -> AbstractContextManager[object]:
        import torch

        device = self._model.get_input_embeddings().weight.device.type
        return nullcontext() if self._dtype in (None, torch.float32) else torch.autocast(device, self._dtype)

    def _begin(self) -> list[int]:
        begin = self._tokenizer.bos_token_id
        return [] if begin is None else [int(begin)]

    def _encode(self, text: str) -> list[int]:
        cleaned = remove_special_tokens(text, self._tokenizer)
        return [int(token) for token in self._tokenizer(cleaned, add_special_tokens=False)["input_ids"]]


class EndpointAnswerer:
    """Asks a model behind an endpoint, without a context too: it may know what is bought, and is measured by that."""

    guesses_alone = False

    def __init__(self, reader: EndpointReader) -> None:
        self.reader = reader

    @property
    def name(self) -> str:
        return self.reader.name

    def rate(self, contexts: Sequence[str], titles: Sequence[str], prior: Float64Array) -> Float64Array:
        return self.reader.rate(contexts, titles, prior.tolist()).astype(float)

    def count_tokens(self, text: str) -> int:
        """A guess by the length: the tokenizer is elsewhere."""
        return count_roughly(text)


def predict_ratings(given: Float64Array, alone: Float64Array, prior: Float64Array) -> Float64Array:
    """The medians (n,) of ratings: the shares of all ratings, shifted by what the context adds to each.

    `given` and `alone` are log-probabilities (n, 5) with and without the context: a model's liking for a digit
    cancels. The median is what has the least expected absolute error. Without a context it is that of all ratings.
    """
    shifted = np.log(prior) + given - alone
    return find_median(np.exp(shifted - np.logaddexp.reduce(shifted, axis=1, keepdims=True)))


def find_median(shares: Float64Array) -> Float64Array:
    """The median rating of shares (..., 5) of the ratings 1 to 5."""
    # Half of the mass is reached at the median; the little more keeps a sum of exactly one half on this side.
    return np.asarray(1.0 + (shares.cumsum(axis=-1) < 0.5 - 1e-9).sum(axis=-1), dtype=float)
