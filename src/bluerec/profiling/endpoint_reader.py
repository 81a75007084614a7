"""Questions to a model behind an OpenAI-compatible endpoint: it is asked in words, and its answer is read.

Such servers give no likelihoods that one could rely on, so a letter or a digit is asked for. What cannot be read counts
as no answer. Answers are kept in a file as they come in: a stopped run, or a server that fails, costs none of them.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bluerec.errors import DataError, RefusedError
from bluerec.profiling.endpoint import CHARACTERS_PER_TOKEN, ChatEndpoint, Patience
from bluerec.profiling.readers import MAX_CONTEXT_TOKENS, MAX_OPTION_TOKENS, QUESTION, count_options
from bluerec.runs import append_row
from bluerec.types import Float32Array

# Room for a model that repeats the option; one that thinks before it answers wants more.
ANSWER_TOKENS = 64
MAX_KEPT_CHARACTERS = 200
# Thousands of questions outlast a server that is restarted, or that asks for a minute's rest.
PATIENT = Patience(answer_seconds=300.0, n_tries=6, between_tries=1.0, most_between_tries=60.0, n_failures=1_000)
# A chosen option's log-probability is 0 to the fifth digit; the others are alike.
_CHOSEN = 12.0
# Refusals of one question, as by a filter of contents, where others were answered.
_REFUSALS = frozenset((400, 413, 422))
# Letters that are words, too: these count where a mark or the end of the line follows only.
_WORDS = "AI"
_SAID = r"(?i:\b(?:answer|option|choice|letter|choose|pick|is|be)\b)"
_DIGIT = re.compile(r"(?<![\w.,-])[1-5](?!\w|[.,/-]\d)")
_OUT_OF = re.compile(r"(?:/|out of|from|on a scale of)\s*(?:1\s*(?:to|-)\s*)?5\b", re.IGNORECASE)


class KeptAnswers:
    """Answers by a digest of what was asked, in a file of JSON lines. Any thread may use it.

    A last line that was cut off is left out, and its question asked again. Raises `DataError` for a damaged file, when
    it is first looked at.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, str] | None = None

    def get(self, asked: str) -> str | None:
        """The answer to a question; None if it was not asked."""
        with self._lock:
            return self._answers().get(_digest(asked))

    def keep(self, asked: str, answer: str) -> None:
        """Remember an answer, and write it to the file before the next is asked for."""
        key = _digest(asked)
        with self._lock:
            self._answers()[key] = answer
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                append_row(self._path, {"key": key, "answer": answer})

    def _answers(self) -> dict[str, str]:
        if self._known is None:
            self._known = _load_answers(self._path) if self._path is not None and self._path.exists() else {}
        return self._known


def _load_answers(path: Path) -> dict[str, str]:
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    answers = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            row = json.loads(line)
            answers[row["key"]] = row["answer"]
            if not isinstance(row["answer"], str):
                raise TypeError
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}:{number}: not a kept answer; delete this line to ask its question again"
            ) from error
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return answers


class EndpointReader:
    """Chooses by a letter that a model behind an endpoint is asked for, at temperature 0.

    A `Reader`: log-probabilities are near 0 for the chosen option, all alike where the answer names none. A question
    that is refused where others were answered has no answer; neither that nor an empty answer is kept.
    """

    def __init__(
        self, endpoint: ChatEndpoint, kept: KeptAnswers | None = None, *, max_tokens: int = ANSWER_TOKENS
    ) -> None:
        self._endpoint = endpoint
        self._kept = kept or KeptAnswers(None)
        self._max_tokens = max_tokens
        self._has_answered = False

    @property
    def name(self) -> str:
        return f"endpoint:{self._endpoint.name}"

    def choose(self, contexts: Sequence[str], options: Sequence[Sequence[str]]) -> Float32Array:
        """Log-probabilities (n_contexts, n_options).

        Raises `DataError` for ragged or empty options, `UnavailableError` or `ModelError` where the endpoint fails.
        """
        n_options = count_options(contexts, options)
        if n_options > len(string.ascii_uppercase):
            raise DataError(f"multiple choice: {n_options} options, but only 26 letters; use fewer options")
        questions = [render_choice(*both) for both in zip(contexts, options, strict=True)]
        scores = np.zeros((len(questions), n_options))
        for row, answer in enumerate(self.ask(questions)):
            place = read_letter(answer, options[row])
            if place is not None:
                scores[row, place] = _CHOSEN
        return np.asarray(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True), dtype=np.float32)

    def rate(self, contexts: Sequence[str], titles: Sequence[str], shares: Sequence[float]) -> Float32Array:
        """Ratings (n_contexts,) from 1 to 5, NaN where the answer names none.

        `shares` of the ratings 1 to 5 among all are told to the model, as a median is what it is measured by.
        """
        questions = [render_rating(*both, shares) for both in zip(contexts, titles, strict=True)]
        answers = [read_digit(answer) for answer in self.ask(questions)]
        return np.array([np.nan if answer is None else answer for answer in answers], dtype=np.float32)

    def ask(self, questions: Sequence[str]) -> list[str]:
        """The answers. What is kept is not asked for again, and a question that comes twice is asked once."""
        distinct = list(dict.fromkeys(questions))
        answers = dict(zip(distinct, self._endpoint.ask_all(self._ask_one, distinct), strict=True))
        return [answers[question] for question in questions]

    def _ask_one(self, question: str) -> str:
        asked = f"{self.name}\n{question}"
        answer = self._kept.get(asked)
        if answer is None:
            answer = self._ask_endpoint(question)
            if answer:
                self._kept.keep(asked, answer)
        return answer

    def _ask_endpoint(self, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        try:
            answer = self._endpoint.ask(messages, max_tokens=self._max_tokens, temperature=0.0)
        except RefusedError as error:
            if error.status in _REFUSALS and self._has_answered:
                return ""
            raise
        self._has_answered = True
        return answer.strip()[:MAX_KEPT_CHARACTERS]


def render_choice(context: str, options: Sequence[str]) -> str:
    """A multiple choice in words."""
    lines = [
        f"{letter}. {_cut(option, MAX_OPTION_TOKENS)}"
        for letter, option in zip(string.ascii_uppercase, options, strict=False)
    ]
    return "\n".join([_introduce(context), "", QUESTION, *lines])


def render_rating(context: str, title: str, shares: Sequence[float]) -> str:
    """A question for a rating in words."""
    known = ", ".join(f"{rating}: {share:.0%}" for rating, share in enumerate(shares, start=1))
    return "\n".join(
        [
            _introduce(context),
            "",
            f"Item: {_cut(title, MAX_OPTION_TOKENS)}",
            f"Of all ratings in this shop, from 1 (worst) to 5 (best), are {known}.",
            "Which rating does this user give to the item? Answer with one digit.",
        ]
    )


def read_letter(answer: str, options: Sequence[str]) -> int | None:
    """The place of the option that an answer names by its title or letter; None where it names none, or several."""
    text = answer.strip().strip("*`\"'( ")
    said = {_bare(text), _bare(text.partition("\n")[0])}
    titles = [
        place
        for place, option in enumerate(options)
        if not said.isdisjoint((_bare(option), _bare(_cut(option, MAX_OPTION_TOKENS))))
    ]
    if len(titles) == 1:
        return titles[0]
    letters = string.ascii_uppercase[: len(options)]
    no_word = "".join(letter for letter in letters if letter not in _WORDS) or "-"
    marked = rf"([{letters}])(?=\s*$|[.):*`\"]+(?:\s|$))"
    patterns = (
        rf"^\W*{marked}",
        rf"^\W*([{no_word}])(?=[\s,])",
        rf"{_SAID}\W*([{letters}])(?=\s*$|[.,):*`\"]+(?:\s|$))",
        rf"{_SAID}\W*([{no_word}])\b(?!['\u2019.]\w)",
        rf"(?<!\w)([{letters}])\)",
    )
    named = {found for pattern in patterns for found in re.findall(pattern, text, re.MULTILINE)}
    return letters.index(named.pop()) if len(named) == 1 else None


def read_digit(answer: str) -> int | None:
    """The one digit from 1 to 5 that an answer names; None where it names none, or several."""
    named = set(_DIGIT.findall(_OUT_OF.sub("", answer)))
    return int(named.pop()) if len(named) == 1 else None


def _introduce(context: str) -> str:
    shown = _cut(context, MAX_CONTEXT_TOKENS)
    return f"A user: {shown}" if shown else "A user."


def _bare(title: str) -> str:
    return title.casefold().strip(" .\"'*")


def _cut(text: str, n_tokens: int) -> str:
    return text[: n_tokens * CHARACTERS_PER_TOKEN]


def _digest(asked: str) -> str:
    return hashlib.sha256(asked.encode()).hexdigest()[:32]
