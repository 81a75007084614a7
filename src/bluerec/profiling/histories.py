"""From histories to profiles with any writer: what may be an instruction is kept from the model, or from the profile.

A text that is an instruction for sure is withheld from the prompt. One that may be, or has any sign of it, is read
like any other, and what came of it is looked at: a profile that has words of it which are in no other text, or that
reads like an instruction itself, is written again without it, and if that does not help, composed of frequent words.
"Human: Fall Flat" has a sign too; a profile that names a product by the beginning of its title is not steered by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile

from bluerec.config import ProfilerConfig
from bluerec.data.instructions import count_points, is_instruction, is_obedient, is_suspect
from bluerec.errors import DataError
from bluerec.profiling.prompts import find_read_texts, leave_out_unnamed, render_prompt
from bluerec.profiling.shared_words import SharedWords
from bluerec.profiling.word_profiles import TEMPLATE_WRITER, compose_profile
from bluerec.types import History, ProfileWriter, Prompt

_WORD = re.compile(r"[^\W_]{4,}")
_ANY_WORD = re.compile(r"[^\W_]+")
_ARTICLES = frozenset(("a", "an", "the"))


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
    writer: ProfileWriter,
    histories: Sequence[History],
    config: ProfilerConfig,
    count_tokens: Callable[[str], int],
    words: SharedWords | None = None,
) -> list[WrittenText]:
    """A profile for each history, in their order; of what `words` does not know nothing is read.

    Raises `DataError` where the writer returns too few or too many.
    """
    if words:
        histories = [words.trim(history, n_reviews=config.max_events) for history in histories]
    prompts = [render_prompt(history, config, count_tokens) for history in histories]
    texts, names = _write(writer, prompts), [writer.name] * len(prompts)
    steering = [
        _find_steering_words(text, history, prompt, config)
        for text, history, prompt in zip(texts, histories, prompts, strict=True)
    ]
    again = [row for row, words in enumerate(steering) if words or _rests_on_nothing(texts[row], prompts[row])]
    if again:
        for row in again:
            prompts[row] = render_prompt(histories[row], config, count_tokens, withhold=_without(steering[row]))
        for row, text in zip(again, _write(writer, [prompts[row] for row in again]), strict=True):
            texts[row] = text
            more = _find_steering_words(text, histories[row], prompts[row], config, _without(steering[row]))
            if more or _rests_on_nothing(text, prompts[row]):
                texts[row], names[row] = _compose(histories[row]), TEMPLATE_WRITER
    return [WrittenText(*one) for one in zip(texts, names, prompts, strict=True)]


def _write(writer: ProfileWriter, prompts: Sequence[Prompt]) -> list[str]:
    texts = writer.write(prompts)
    if len(texts) != len(prompts):
        raise DataError(f"writer {writer.name!r} returned {len(texts)} texts for {len(prompts)} prompts")
    return list(texts)


def _rests_on_nothing(text: str, prompt: Prompt) -> bool:
    """Whether a profile is an instruction itself, or no event was left to write it from."""
    return is_obedient(text) or (prompt.n_withheld > 0 and not prompt.n_events)


def _find_steering_words(
    text: str,
    history: History,
    prompt: Prompt,
    config: ProfilerConfig,
    is_unread: Callable[[str], bool] = is_instruction,
) -> set[str]:
    """Words of a profile that only doubtful texts have, of those that were read, and that are no name of a product."""
    words = _find_words(text)
    doubtful: set[str] = set()
    elsewhere = _find_words(prompt.prefill) | _find_words(prompt.messages[-1]["content"].splitlines()[-1])
    for event in leave_out_unnamed(history.events[-config.max_events :]):
        for part, is_title in zip(find_read_texts(event), (True, False), strict=True):
            if not _is_doubtful(part):
                elsewhere |= _find_words(part)
            elif not is_unread(part):
                named = _find_name(part, text) if is_title and not is_suspect(part) else set()
                doubtful |= _find_words(part) - named
    return (doubtful & words) - elsewhere


def _find_name(title: str, text: str) -> set[str]:
    """The words that a title begins with, as far as a profile has them all; a leading article may be missing."""
    said = set(_ANY_WORD.findall(text.casefold()))
    return set(takewhile(said.__contains__, dropwhile(_ARTICLES.__contains__, _ANY_WORD.findall(title.casefold()))))


def _without(steering: set[str]) -> Callable[[str], bool]:
    """What the second prompt leaves out: all that may be an instruction, and what the steering words came from."""
    return lambda text: is_suspect(text) or (_is_doubtful(text) and not steering.isdisjoint(_find_words(text)))


def _is_doubtful(text: str) -> bool:
    return count_points(text) > 0


def _find_words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _compose(history: History) -> str:
    return compose_profile(event.item for event in history.events if not is_suspect(event.item.title))
