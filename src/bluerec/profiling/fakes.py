"""Legible stand-ins for language models: deterministic, instant, and right about what a text plainly says.

They keep the protocols that the real ones keep (`bluerec.types`), so that everything around a model can be tested
and shown without one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from bluerec.profiling.frozen import log_softmax
from bluerec.profiling.readers import count_options
from bluerec.types import Float32Array, Prompt

ECHOED_WORDS = 8
_WORD = re.compile(r"[^\W\d_]{3,}")
# fmt: off
_STOP_WORDS = frozenset((
    "and", "are", "but", "for", "from", "has", "have", "her", "him", "his", "into", "its", "most", "not", "one", "our",
    "out", "she", "that", "the", "their", "them", "these", "they", "this", "user", "what", "with", "you", "your",
))
# fmt: on


class EchoWriter:
    """Writes down the words that recur in the prompt: `Likes racing, kart and nintendo.`

    Words are taken from the last message, most frequent by line first, ties by their latest line, so that what the
    history repeats comes before what it mentions once.
    """

    def __init__(self, n_words: int = ECHOED_WORDS) -> None:
        self._n_words = n_words

    @property
    def name(self) -> str:
        return "echo"

    def write(self, prompts: Sequence[Prompt]) -> list[str]:
        return [self._write_one(prompt) for prompt in prompts]

    def _write_one(self, prompt: Prompt) -> str:
        lines = prompt.messages[-1]["content"].splitlines() if prompt.messages else []
        n_lines: Counter[str] = Counter()
        for line in reversed(lines):  # a Counter keeps the order of first sight, and so the latest line first
            words = [word for word in _WORD.findall(line.casefold()) if word not in _STOP_WORDS]
            n_lines.update(list(dict.fromkeys(words)))
        chosen = [word for word, _ in n_lines.most_common(self._n_words)]
        if not chosen:
            return "Likes nothing in particular."
        return f"{prompt.prefill.strip() or 'Likes'} {', '.join(chosen)}."


class FakeReader:
    """Scores an option by the number of words it shares with the context; a softmax over the options follows."""

    @property
    def name(self) -> str:
        return "fake"

    def choose(self, contexts: Sequence[str], options: Sequence[Sequence[str]]) -> Float32Array:
        """Log-probabilities (n_contexts, n_options). Raises `DataError` for ragged options."""
        n_options = count_options(contexts, options)
        shared = [
            [len(_words(context) & _words(option)) for option in its]
            for context, its in zip(contexts, options, strict=True)
        ]
        return log_softmax(np.array(shared, dtype=np.float64).reshape(len(contexts), n_options))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
