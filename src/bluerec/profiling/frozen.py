"""A frozen causal language model that is asked: read without its adapters, answered in single tokens.

The readers of the multiple choice and the judge of profiles stand on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from bluerec.errors import ModelError
from bluerec.profiling.heads import rows_side_by_side
from bluerec.types import Float32Array

if TYPE_CHECKING:
    import torch

Frozen = Callable[[], AbstractContextManager[object]]


class ReadingOptions(TypedDict, total=False):
    """How a model is read.

    `frozen` is a context manager that switches adapters off, `dtype` the precision of matrix products (see
    `FrozenModel.reading`), `batch_size` the texts that are read at once, 8 by default.
    """

    frozen: Frozen
    dtype: torch.dtype | None
    batch_size: int


class FrozenModel:
    """A model and tokenizer that are already in memory, under the name of whoever asks; `ReadingOptions` as there."""

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
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.batch_size = batch_size
        self._frozen = frozen
        self._dtype = dtype

    @property
    def pad_token(self) -> int:
        """What fills short rows."""
        return int(self.tokenizer.pad_token_id or 0)

    @property
    def first_tokens(self) -> list[int]:
        """The mark that a text begins with, where the tokenizer has one."""
        begin = self.tokenizer.bos_token_id
        return [] if begin is None else [int(begin)]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """The model with its adapters off, without dropout and gradient checkpointing, also in the middle of training.

        With a `dtype` such as bfloat16 matrices are multiplied in it, its weights stay as they are: about twice as fast
        where the processor can do that, at the price of a few hundredths of a nat.
        """
        import torch

        device = self.model.get_input_embeddings().weight.device.type
        faster = torch.autocast(device, self._dtype) if self._dtype not in (None, torch.float32) else nullcontext()
        with self._frozen(), faster:
            was_training = self.model.training
            self.model.eval()
            try:
                yield
            finally:
                self.model.train(was_training)

    def tokenise(self, text: str) -> list[int]:
        """Token ids of a text, nothing of which is read as a mark of the tokenizer."""
        cleaned = remove_special_tokens(text, self.tokenizer)
        return [int(token) for token in self.tokenizer(cleaned, add_special_tokens=False)["input_ids"]]

    def cut(self, text: str, n_tokens: int) -> str:
        """One line, without the marks that divide a chat into turns, of bounded length."""
        text = " ".join(remove_special_tokens(text, self.tokenizer).split())
        tokens = self.tokenise(text)
        return text if len(tokens) <= n_tokens else str(self.tokenizer.decode(tokens[:n_tokens])).rstrip("\ufffd")

    def ask(self, question: str) -> list[int]:
        """Token ids of a question in the chat format, up to where the answer begins."""
        rendered = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        return [int(token) for token in self.tokenizer(rendered, add_special_tokens=False)["input_ids"]]

    def find_single_tokens(self, answers: Sequence[str]) -> list[int] | None:
        """The token of each answer; None unless each is one token, and all differ."""
        tokens = [self.tokenise(answer) for answer in answers]
        is_single = all(len(ids) == 1 for ids in tokens)
        return [ids[0] for ids in tokens] if is_single and len({ids[0] for ids in tokens}) == len(answers) else None

    def score_answers(self, prompts: Sequence[list[int]], answers: list[int]) -> np.ndarray:
        """Logits (n_prompts, n_answers) float64 of single tokens after each prompt, whatever else is in its batch."""
        scores = np.empty((len(prompts), len(answers)))
        order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
        with self.reading():
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                scores[rows] = self._score_batch([prompts[row] for row in rows], answers)
        return scores

    def _score_batch(self, prompts: list[list[int]], answers: list[int]) -> np.ndarray:
        import torch

        device = self.model.get_input_embeddings().weight.device
        tokens, mask = (values.to(device) for values in _pad_left(prompts, self.pad_token))
        with torch.no_grad(), rows_side_by_side(self.model):
            logits = self.model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=(mask.cumsum(1) - 1).clamp(min=0),
                use_cache=False,
                logits_to_keep=1,
            ).logits[:, -1, answers]
        scores: np.ndarray = logits.double().cpu().numpy()
        return scores


def remove_special_tokens(text: str, tokenizer: Any) -> str:
    """A text in which nothing is read as a mark of the tokenizer ("<|im_end|>"): each is replaced by a space."""
    for mark in tokenizer.get_added_vocab():
        text = text.replace(mark, " ")
    return text


def log_softmax(scores: np.ndarray) -> Float32Array:
    """Log-probabilities over the last axis of (n_rows, n). Raises `ModelError` for scores that are not finite."""
    if not scores.size:
        return scores.astype(np.float32)
    if not np.isfinite(scores).all():
        raise ModelError("the reading model gave scores that are not finite; load it in float32")
    shifted = scores - scores.max(axis=1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))).astype(np.float32)


def _pad_left(rows: list[list[int]], pad_token: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, both (n_rows, longest) int64."""
    import torch

    longest = max(len(row) for row in rows)
    ids = [[pad_token] * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)
