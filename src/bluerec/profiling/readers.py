"""Multiple choice in text space: which option comes next, judged by a frozen causal language model.

`LikelihoodReader` suits small models: how much more likely the context makes each option's title. `LetterReader`
suits models of 1B parameters and more: they are asked, and answer with a letter. Both take a model and tokenizer
that are already in memory; where adapters sit in the model, the caller passes a context manager that switches them
off. A result depends on one context and its options alone, never on the batch.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from bluerec.errors import DataError, ModelError
from bluerec.profiling.continuations import Row, score_continuations
from bluerec.types import Float32Array

if TYPE_CHECKING:
    import torch

CUE = "Next item:"
QUESTION = "Which of these items does the user take next? Answer with one letter."
MAX_CONTEXT_TOKENS = 512
MAX_OPTION_TOKENS = 32
# In nats. What a context adds to the tokens of a title is not independent evidence, so its sum is far too sure.
LIKELIHOOD_TEMPERATURE = 12.0
_OPTIONS_PER_ROW = 8
Frozen = Callable[[], AbstractContextManager[object]]


class LikelihoodReader:
    """Scores an option by the log-likelihood of its title given the context, minus that without it.

    Pointwise mutual information (Holtzman et al. 2021, "Surface form competition"): what the context adds to a title,
    whether it is common or rare, short or long. Not divided by the length, see docs/decisions.md. The scores of a
    context's options go through a softmax with `temperature` (in nats). Contexts beyond `max_context_tokens` keep
    their beginning, options the first `max_option_tokens`. `dtype`: see `_reading`.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        *,
        frozen: Frozen = nullcontext,
        dtype: torch.dtype | None = None,
        temperature: float = LIKELIHOOD_TEMPERATURE,
        batch_size: int = 8,
        max_context_tokens: int = MAX_CONTEXT_TOKENS,
        max_option_tokens: int = MAX_OPTION_TOKENS,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._name = f"likelihood:{name}"
        self._frozen = frozen
        self._dtype = dtype
        self._temperature = temperature
        self._batch_size = batch_size
        self._max_context_tokens = max_context_tokens
        self._max_option_tokens = max_option_tokens
        self._alone: dict[str, float] = {}  # log-likelihoods without a context

    @property
    def name(self) -> str:
        return self._name

    def state(self) -> dict[str, float]:
        """The likelihoods without a context that are known."""
        return dict(self._alone)

    def restore(self, state: Mapping[str, float]) -> None:
        """Know these likelihoods, and no others."""
        self._alone = dict(state)

    def choose(self, contexts: Sequence[str], options: Sequence[Sequence[str]]) -> Float32Array:
        """Log-probabilities (n_contexts, n_options). Raises `DataError` for ragged or empty options."""
        n_options = _count_options(contexts, options)
        scores = self.score(contexts, options)
        return _log_softmax(scores.reshape(len(contexts), n_options) / self._temperature)

    def score(self, contexts: Sequence[str], options: Sequence[Sequence[str]]) -> np.ndarray:
        """The scores before the softmax, (n_contexts, n_options) float64, in nats."""
        n_options = _count_options(contexts, options)
        tokens = {option: self._option_tokens(option) for its in options for option in its}
        with _reading(self._model, self._frozen, self._dtype):
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
        pad_token = int(self._tokenizer.pad_token_id or 0)
        return score_continuations(self._model, rows, pad_token=pad_token, batch_size=self._batch_size)

    def _prefix_tokens(self, context: str) -> list[int]:
        begin = self._tokenizer.bos_token_id
        tokens = [] if begin is None else [int(begin)]
        if context:
            tokens += _tokenise(self._tokenizer, context)[: self._max_context_tokens]
        return tokens + _tokenise(self._tokenizer, f"\n{CUE}" if context else CUE)

    def _option_tokens(self, option: str) -> list[int]:
        title = remove_special_tokens(option, self._tokenizer).strip()
        if not title:
            raise DataError(f"multiple choice: option {option!r} says nothing; leave untitled items out")
        return _tokenise(self._tokenizer, f" {title}")[: self._max_option_tokens]


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
        frozen: Frozen = nullcontext,
        dtype: torch.dtype | None = None,
        batch_size: int = 8,
        max_context_tokens: int = MAX_CONTEXT_TOKENS,
        max_option_tokens: int = MAX_OPTION_TOKENS,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._name = f"letter:{name}"
        self._frozen = frozen
        self._dtype = dtype
        self._batch_size = batch_size
        self._max_context_tokens = max_context_tokens
        self._max_option_tokens = max_option_tokens

    @property
    def name(self) -> str:
        return self._name

    def choose(self, contexts: Sequence[str], options: Sequence[Sequence[str]]) -> Float32Array:
        """Log-probabilities (n_contexts, n_options). Raises `DataError` for ragged or empty options."""
        n_options = _count_options(contexts, options)
        letters = self._letter_tokens(n_options)
        prompts = []
        for context, its in zip(contexts, options, strict=True):
            for shift in range(n_options):
                prompts.append(self._prompt_tokens(context, [*its[shift:], *its[:shift]]))
        rotated = np.empty((len(prompts), n_options))
        order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
        with _reading(self._model, self._frozen, self._dtype):
            for start in range(0, len(order), self._batch_size):
                rows = order[start : start + self._batch_size]
                rotated[rows] = self._letter_scores([prompts[row] for row in rows], letters)
        scores = np.zeros((len(contexts), n_options))
        for shift in range(n_options):
            # Shown at place p in rotation s was option (p + s) mod n.
            scores += np.roll(_log_softmax(rotated[shift::n_options]), shift, axis=1)
        return _log_softmax(scores / n_options)

    def _letter_scores(self, prompts: list[list[int]], letters: list[int]) -> np.ndarray:
        import torch

        device = self._model.get_input_embeddings().weight.device
        padded = _pad_left(prompts, int(self._tokenizer.pad_token_id or 0))
        tokens, mask = (values.to(device) for values in padded)
        with torch.no_grad():
            logits = self._model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=(mask.cumsum(1) - 1).clamp(min=0),
                use_cache=False,
                logits_to_keep=1,
            ).logits[:, -1, letters]
        return logits.double().cpu().numpy()

    def _letter_tokens(self, n_options: int) -> list[int]:
        letters = string.ascii_uppercase[:n_options]
        if n_options > len(letters):
            raise DataError(f"multiple choice: {n_options} options, but only {len(letters)} letters; use fewer options")
        tokens = [_tokenise(self._tokenizer, letter) for letter in letters]
        if any(len(ids) != 1 for ids in tokens) or len({ids[0] for ids in tokens}) < n_options:
            raise ModelError(f"{self._name}: no single token per letter; use choice_reward.scoring='likelihood'")
        return [ids[0] for ids in tokens]

    def _prompt_tokens(self, context: str, options: Sequence[str]) -> list[int]:
        shown = self._cut(context, self._max_context_tokens)
        lines = [
            f"{letter}. {self._cut(option, self._max_option_tokens)}"
            for letter, option in zip(string.ascii_uppercase, options, strict=False)
        ]
        question = "\n".join([f"A user: {shown}" if shown else "A user.", "", QUESTION, *lines])
        if self._tokenizer.chat_template is None:
            begin = self._tokenizer.bos_token_id
            return ([] if begin is None else [int(begin)]) + _tokenise(self._tokenizer, f"{question}\nAnswer:\n")
        rendered = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        return [int(token) for token in self._tokenizer(rendered, add_special_tokens=False)["input_ids"]]

    def _cut(self, text: str, n_tokens: int) -> str:
        """One line, without the marks that divide a chat into turns, of bounded length."""
        text = " ".join(remove_special_tokens(text, self._tokenizer).split())
        tokens = _tokenise(self._tokenizer, text)
        return text if len(tokens) <= n_tokens else str(self._tokenizer.decode(tokens[:n_tokens])).rstrip("\ufffd")


def remove_special_tokens(text: str, tokenizer: Any) -> str:
    """A text in which nothing is read as a mark of the tokenizer ("<|im_end|>"): each is replaced by a space."""
    for mark in tokenizer.get_added_vocab():
        text = text.replace(mark, " ")
    return text


def _tokenise(tokenizer: Any, text: str) -> list[int]:
    cleaned = remove_special_tokens(text, tokenizer)
    return [int(token) for token in tokenizer(cleaned, add_special_tokens=False)["input_ids"]]


def _count_options(contexts: Sequence[str], options: Sequence[Sequence[str]]) -> int:
    counts = {len(its) for its in options}
    if len(contexts) != len(options) or len(counts) > 1 or (counts and min(counts) < 1):
        raise DataError(
            f"multiple choice: {len(contexts)} contexts with {len(options)} lists of {sorted(counts)} options; "
            "give every context the same number of options, at least one"
        )
    return counts.pop() if counts else 0


def _pad_left(rows: list[list[int]], pad_token: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, both (n_rows, longest) int64."""
    import torch

    longest = max(len(row) for row in rows)
    ids = [[pad_token] * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


@contextmanager
def _reading(model: Any, frozen: Frozen, dtype: torch.dtype | None) -> Iterator[None]:
    """The model with its adapters off, without dropout and gradient checkpointing, also in the middle of training.

    With a `dtype` such as bfloat16 matrices are multiplied in it, its weights stay as they are: about twice as fast
    where the processor can do that, at the price of a few hundredths of a nat.
    """
    import torch

    device = model.get_input_embeddings().weight.device.type
    faster = torch.autocast(device, dtype) if dtype not in (None, torch.float32) else nullcontext()
    with frozen(), faster:
        was_training = model.training
        model.eval()
        try:
            yield
        finally:
            model.train(was_training)


def _log_softmax(scores: np.ndarray) -> Float32Array:
    if not scores.size:
        return scores.astype(np.float32)
    if not np.isfinite(scores).all():
        raise ModelError("multiple choice: the reading model gave scores that are not finite; load it in float32")
    shifted = scores - scores.max(axis=1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))).astype(np.float32)
