"""From histories to profiles with any writer: what may be an instruction is kept from the model, or from the profile.

A text that is an instruction for sure is withheld from the prompt. One that may be is read like any other, and what
came of it is looked at: a profile that has words of it, or that reads like an instruction itself, is written again
without it, and if that does not help, composed of frequent words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bluerec.config import ProfilerConfig
from bluerec.data.instructions import is_instruction, is_obedient, is_suspect
from bluerec.errors import DataError
from bluerec.profiling.prompts import find_read_texts, render_prompt
from bluerec.profiling.word_profiles import TEMPLATE_WRITER, compose_profile
from bluerec.types import History, ProfileWriter, Prompt

_WORD = re.compile(r"[^\W_]{4,}")


@dataclass(frozen=True, slots=True)
class WrittenText:
    """A profile's text, the name of what wrote it, and the prompt that it came from.

    `n_withheld` events had a text that no model read.
    """

    text: str
    writer: str
    prompt: Prompt

    @property
    def n_withheld(self) -> int:
        return self.prompt.n_withheld


def write_histories(
    writer: ProfileWriter, histories: Sequence[History], config: ProfilerConfig, count_tokens: Callable[[str], int]
) -> list[WrittenText]:
    """A profile for each history, in their order. Raises `DataError` where the writer returns too few or too many."""
    prompts = [render_prompt(history, config, count_tokens) for history in histories]
    texts, names = _write(writer, prompts), [writer.name] * len(prompts)
    again = [row for row, text in enumerate(texts) if _is_steered(text, histories[row], prompts[row], config)]
    if again:
        for row in again:
            prompts[row] = render_prompt(histories[row], config, count_tokens, withhold=is_suspect)
        for row, text in zip(again, _write(writer, [prompts[row] for row in again]), strict=True):
            texts[row] = text
            if is_obedient(text) or not prompts[row].n_events:
                texts[row], names[row] = _compose(histories[row]), TEMPLATE_WRITER
    return [WrittenText(*one) for one in zip(texts, names, prompts, strict=True)]


def _write(writer: ProfileWriter, prompts: Sequence[Prompt]) -> list[str]:
    texts = writer.write(prompts)
    if len(texts) != len(prompts):
        raise DataError(f"writer {writer.name!r} returned {len(texts)} texts for {len(prompts)} prompts")
    return list(texts)


def _is_steered(text: str, history: History, prompt: Prompt, config: ProfilerConfig) -> bool:
    """Whether a profile says what only a doubtful text says, is an instruction itself, or rests on nothing."""
    if is_obedient(text) or (prompt.n_withheld and not prompt.n_events):
        return True
    read = [part for event in history.events[-config.max_events :] for part in find_read_texts(event) if part]
    doubtful = [part for part in read if is_suspect(part) and not is_instruction(part)]
    if not doubtful:
        return False
    elsewhere = {word for part in read if part not in doubtful for word in _find_words(part)}
    said = (
        _find_words(text)
        - elsewhere
        - _find_words(prompt.prefill)
        - _find_words(prompt.messages[-1]["content"].splitlines()[-1])
    )
    return any(word in said for part in doubtful for word in _find_words(part))


def _find_words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _compose(history: History) -> str:
    return compose_profile(event.item for event in history.events if not is_suspect(event.item.title))
