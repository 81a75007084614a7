"""Questions about a user, answered by a language model that reads nothing, the raw history, or a profile.

(a) Which item comes next, among 4 and among 10: the questions of the reward in text space. (b) Which rating from 1 to
5 the next item gets. The reader never sees more than the context and the question; a context is a text like any other,
so that no context, the history and every system's profile are compared by the same questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bluerec.config import ChoiceRewardConfig
from bluerec.data.histories import ExampleTable
from bluerec.errors import ModelError
from bluerec.evaluation.metrics import Float64Array
from bluerec.profiling.continuations import Row, score_continuations
from bluerec.profiling.frozen import remove_special_tokens
from bluerec.profiling.readers import MAX_CONTEXT_TOKENS, LikelihoodReader
from bluerec.rewards.choice import ChoiceReward
from bluerec.types import Float32Array, Reader

if TYPE_CHECKING:
    import torch

RATINGS = (1, 2, 3, 4, 5)
N_OPTIONS = (4, 10)
MIN_RATED = 20  # questions; fewer say nothing
RAW_EVENTS = 10
# Log-probabilities as near as this are tied.
_TIE = 1e-6


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

    def rate(self, contexts: Sequence[str], titles: Sequence[str]) -> Float64Array:
        """Log-probabilities (n_contexts, 5) of each rating of a titled item."""
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

    def rate(self, contexts: Sequence[str], titles: Sequence[str]) -> Float64Array:
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


@dataclass(frozen=True, slots=True)
class AskedChoice:
    """A multiple choice asked of the user in a `row` of the table; the right one of the options is at `true`."""

    row: int
    options: tuple[str, ...]
    true: int


@dataclass(frozen=True)
class Questions:
    """What is asked of some users, the same for every context. `ratings` are NaN where the target has none."""

    table: ExampleTable
    choices: Mapping[int, Sequence[AskedChoice]]  # by the number of options
    titles: tuple[str, ...]
    ratings: Float64Array  # (n_users,)
    prior: Float64Array  # (5,) shares of the ratings among the countable events

    @property
    def rated(self) -> list[int]:
        """Rows with a rating and a title; none where they are too few."""
        rows = [row for row, title in enumerate(self.titles) if title.strip() and np.isfinite(self.ratings[row])]
        return rows if len(rows) >= MIN_RATED else []


def build_questions(table: ExampleTable, reader: Reader, *, seed: int = 0) -> Questions:
    """The multiple choices (of the reward, with this seed) and the ratings of the targets."""
    choices = {}
    for n_options in N_OPTIONS:
        maker = ChoiceReward(ChoiceRewardConfig(n_options=n_options), table, reader, seed=seed)
        made = [(row, maker.build_choice(row)) for row in range(len(table))]
        choices[n_options] = [AskedChoice(row, one.options, one.true) for row, one in made if one is not None]
    data = table.dataset
    ratings = data.ratings[table.target_event].astype(float)
    known = data.ratings[table.countable]
    known = np.clip(np.rint(known[np.isfinite(known)]), RATINGS[0], RATINGS[-1]).astype(np.int64)
    counts = np.bincount(known, minlength=RATINGS[-1] + 1)[RATINGS[0] :] + 1.0
    titles = tuple(data.titles[item] for item in table.target_rows)
    return Questions(table, choices, titles, ratings, counts / counts.sum())


def render_raw_history(table: ExampleTable) -> list[str]:
    """The latest events as plain text, the latest last: titles, ratings, titles of reviews."""
    texts = []
    for example in table.examples(last=RAW_EVENTS):
        lines = []
        for event in example.history.events:
            rating = event.interaction.rating
            line = event.item.title + (f", rated {rating:g}" if rating is not None else "")
            review = event.interaction.review_title or event.interaction.review_text
            lines.append(" ".join((f"{line}: {review[:120]}" if review else line).split()))
        texts.append("\n".join(lines))
    return texts


def measure_answers(questions: Questions, contexts: Sequence[str], answerer: Answerer) -> dict[str, Float64Array]:
    """Accuracy, rating error and tokens (n_users,) of one context for each user; NaN where a user was not asked."""
    measures = {}
    for n_options, choices in questions.choices.items():
        correct = np.full(len(questions.table), np.nan)
        correct[[one.row for one in choices]] = 1.0 / n_options
        asked = [one for one in choices if contexts[one.row].strip() or not answerer.guesses_alone]
        if asked:
            answers = answerer.reader.choose([contexts[one.row] for one in asked], [one.options for one in asked])
            correct[[one.row for one in asked]] = grade_choices(answers, [one.true for one in asked])
        if choices:
            measures[f"next item among {n_options}: accuracy"] = correct
    rated = questions.rated
    if rated:
        titles = [questions.titles[row] for row in rated]
        given = answerer.rate([contexts[row] for row in rated], titles)
        alone = answerer.rate([""] * len(rated), titles)
        predicted = predict_ratings(given, alone, questions.prior)
        errors = np.full(len(questions.table), np.nan)
        errors[rated] = np.abs(predicted - questions.ratings[rated])
        measures["rating of the next item: absolute error"] = errors
    measures["tokens of context"] = np.array([answerer.count_tokens(text) for text in contexts], dtype=float)
    return measures


def grade_choices(answers: Float32Array, true: Sequence[int]) -> Float64Array:
    """1 where the true option is the likeliest, 0 where another is; among k tied for the first place, 1/k."""
    tied = answers >= answers.max(axis=1, keepdims=True) - _TIE
    return np.asarray(tied[np.arange(len(true)), list(true)] / tied.sum(axis=1), dtype=float)


def predict_ratings(given: Float64Array, alone: Float64Array, prior: Float64Array) -> Float64Array:
    """The medians (n,) of ratings: the shares of all ratings, shifted by what the context adds to each.

    `given` and `alone` are log-probabilities (n, 5) with and without the context: a model's liking for a digit
    cancels. The median is what has the least expected absolute error. Without a context it is that of all ratings.
    """
    shifted = np.log(prior) + given - alone
    shares = np.exp(shifted - np.logaddexp.reduce(shifted, axis=1, keepdims=True))
    # Half of the mass is reached at the median; the little more keeps a sum of exactly one half on this side.
    return np.asarray(1.0 + (shares.cumsum(axis=1) < 0.5 - 1e-9).sum(axis=1), dtype=float)
