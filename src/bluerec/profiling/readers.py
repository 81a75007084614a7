"""Multiple choice in text space: which option comes next, judged by a frozen causal language model.

`LikelihoodReader` suits small models: how much more likely the context makes each option's title. `LetterReader`
suits models of 1B parameters and more: they are asked, and answer with a letter. Both take a model and tokenizer
that are already in memory; where adapters sit in the model, the caller passes a context manager that switches them
off. A result depends on one context and its options alone, never on the batch.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np

from bluerec.errors import DataError, ModelError
from bluerec.profiling.continuations import Row, score_continuations
from bluerec.profiling.frozen import FrozenModel, ReadingOptions, log_softmax, remove_special_tokens
from bluerec.types import Float32Array

CUE = "Next item:"
QUESTION = "Which of these items does the user take next? Answer with one letter."
MAX_CONTEXT_TOKENS = 512
MAX_OPTION_TOKENS = 32
# In nats. What a context adds to the tokens of a title is not independent evidence, so its sum is far too sure.
LIKELIHOOD_TEMPERATURE = 12.0
_OPTIONS_PER_ROW = 8


class LikelihoodReader:
    """Scores an option by the log-likelihood of its title given the context, minus that without it.

    Pointwise mutual information (Holtzman et al. 2021, "Surface form competition"): what the context adds to a title,
    whether it is common or rare, short or long. Not divided by the length, see docs/decisions.md. The scores of a
    context's options go through a softmax with `temperature` (in nats). Contexts beyond `max_context_tokens` keep
    their beginning, options the first `max_option_tokens`. `options`: see `ReadingOptions`.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        *,
        temperature: float = LIKELIHOOD_TEMPERATURE,
        max_context_tokens: int = MAX_CONTEXT_TOKENS,
        max_option_tokens: int = MAX_OPTION_TOKENS,
        **options: Unpack[ReadingOptions],
    ) -> None:
        self._frozen = FrozenModel(model, tokenizer, f"likelihood:{name}", **options)
        self._temperature = temperature
        self._max_context_tokens = max_context_tokens
        self._max_option_tokens = max_option_tokens
        self._alone: dict[str, float] = {}  # log-likelihoods without a context

    @property
    def name(self) -> str:
        return self._frozen.name

    def state(self) -> dict[str, float]:
        """The likelihoods without a context that are known."""
        return dict(self._alone)

    def restore(self, state: Mapping[str, float]) -> None:
        """Know these likelihoods, and no others."""
        self._alone = dict(state)

    def choose(self, contexts: Sequence[str], options: Sequence[Sequence[str]]) -> Float32Array:
        """Log-probabilities (n_contexts, n_options). Raises `DataError` for ragged or empty options."""
        n_options = count_options(contexts, options)
        scores = self.score(contexts, options)
        return log_softmax(scores.reshape(len(contexts), n_options) / self._temperature)

    def score(self, contexts: Sequence[str], options: Sequence[Sequence[str]]) -> np.ndarray:
        """The scores before the softmax, (n_contexts, n_options) float64, in nats."""
        n_options = count_options(contexts, options)
        tokens = {option: self._option_tokens(option) for its in options for option in its}
        with self._frozen.reading():
            self._read_alone({option: its for option, its in tokens.items() if option not in self._alone})
            rows = [
                Row(self._prefix_tokens(context), [tokens[option] for option in its])
                for context, its in zip(contexts, options, strict=True)
            ]
            totals = self._read(rows)
        scores = [
            [total - self._alone[option] for option, total in zip(its, given, strict=True)]
            for its, given in zip(options, totals, strict=True)
        ]
        return np.array(scores, dtype=np.float64).reshape(len(contexts), n_options)

    def _read_alone(self, tokens: Mapping[str, list[int]]) -> None:
        """Keep the likelihood of options without a context."""
        options = sorted(tokens, key=lambda option: len(tokens[option]))
        chunks = [options[start : start + _OPTIONS_PER_ROW] for start in range(0, len(options), _OPTIONS_PER_ROW)]
        prefix = self._prefix_tokens("")
        totals = self._read([Row(prefix, [tokens[option] for option in chunk]) for chunk in chunks])
        for chunk, values in zip(chunks, totals, strict=True):
            self._alone.update(zip(chunk, values, strict=True))

    def _read(self, rows: Sequence[Row]) -> list[list[float]]:
        frozen = self._frozen
        return score_continuations(frozen.model, rows, pad_token=frozen.pad_token, batch_size=frozen.batch_size)

    def _prefix_tokens(self, context: str) -> list[int]:
        tokens = self._frozen.first_tokens
        if context:
            tokens += self._frozen.tokenise(context)[: self._max_context_tokens]
        return tokens + self._frozen.tokenise(f"\n{CUE}" if context else CUE)

    def _option_tokens(self, option: str) -> list[int]:
        title = remove_special_tokens(option, self._frozen.tokenizer).strip()
        if not title:
            raise DataError(f"multiple choice: option {option!r} says nothing; leave untitled items out")
        return self._frozen.tokenise(f" {title}")[: self._max_option_tokens]


class LetterReader:
    """Asks for a letter and reads the probabilities of the letters only.

    The options are shown in every cyclic rotation and the log-probabilities averaged before they are normalised:
    a constant liking for a letter or place then cancels exactly (Zheng et al. 2024, "Large language models are not
    robust multiple choice selectors"). Raises `ModelError` if the tokenizer has no single token per letter.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        *,
        max_context_tokens: int = MAX_CONTEXT_TOKENS,
        max_option_tokens: int = MAX_OPTION_TOKENS,
        **options: Unpack[ReadingOptions],
    ) -> None:
        self._frozen = FrozenModel(model, tokenizer, f"letter:{name}", **options)
        self._max_context_tokens = max_context_tokens
        self._max_option_tokens = max_option_tokens

    @property
    def name(self) -> str:
        return self._frozen.name

    def choose(self, contexts: Sequence[str], options: Sequence[Sequence[str]]) -> Float32Array:
        """Log-probabilities (n_contexts, n_options). Raises `DataError` for ragged or empty options."""
        n_options = count_options(contexts, options)
        letters = self._letter_tokens(n_options)
        prompts = []
        for context, its in zip(contexts, options, strict=True):
            for shift in range(n_options):
                prompts.append(self._prompt_tokens(context, [*its[shift:], *its[:shift]]))
        rotated = self._frozen.score_answers(prompts, letters)
        scores = np.zeros((len(contexts), n_options))
        for shift in range(n_options):
            # Shown at place p in rotation s was option (p + s) mod n.
            scores += np.roll(log_softmax(rotated[shift::n_options]), shift, axis=1)
        return log_softmax(scores / n_options)

    def _letter_tokens(self, n_options: int) -> list[int]:
        letters = string.ascii_uppercase[:n_options]
        if n_options > len(letters):
            raise DataError(f"multiple choice: {n_options} options, but only {len(letters)} letters; use fewer options")
        tokens = self._frozen.find_single_tokens(letters)
        if tokens is None:
            raise ModelError(f"{self.name}: no single token per letter; use choice_reward.scoring='likelihood'")
        return tokens

    def _prompt_tokens(self, context: str, options: Sequence[str]) -> list[int]:
        shown = self._frozen.cut(context, self._max_context_tokens)
        lines = [
            f"{letter}. {self._frozen.cut(option, self._max_option_tokens)}"
            for letter, option in zip(string.ascii_uppercase, options, strict=False)
        ]
        question = "\n".join([f"A user: {shown}" if shown else "A user.", "", QUESTION, *lines])
        if self._frozen.tokenizer.chat_template is None:
            return self._frozen.first_tokens + self._frozen.tokenise(f"{question}\nAnswer:\n")
        return self._frozen.ask(question)


def count_options(contexts: Sequence[str], options: Sequence[Sequence[str]]) -> int:
    """How many options each context has. Raises `DataError` for ragged or empty ones."""
    counts = {len(its) for its in options}
    if len(contexts) != len(options) or len(counts) > 1 or (counts and min(counts) < 1):
        raise DataError(
            f"multiple choice: {len(contexts)} contexts with {len(options)} lists of {sorted(counts)} options; "
            "give every context the same number of options, at least one"
        )
    return counts.pop() if counts else 0
