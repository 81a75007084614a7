"""A profile as sentences: how it is cut, what a person's sentences are, and what survives when it is written anew."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bluerec.data.hidden_characters import strip_hidden
from bluerec.data.sentences import MAX_SENTENCES, cut_sentences, join_sentences, split_sentences

__all__ = [
    "MAX_SENTENCES",
    "clean_line",
    "clean_text",
    "cut_each",
    "cut_sentences",
    "find_locked",
    "join_sentences",
    "merge_offer",
    "quote_title",
    "split_sentences",
]

MAX_TITLE_CHARACTERS = 100
_CONTROL = re.compile("[\x0b\x0c\x1c-\x1f\x85]")


def clean_text(text: str) -> str:
    """The text without characters that do not show, line breaks kept; surrogates that are alone become `?`."""
    plain = strip_hidden(text).replace("\r\n", "\n").replace("\t", " ").replace("\r", "\n")
    return _CONTROL.sub("", plain).encode("utf-8", "replace").decode("utf-8").strip()


def clean_line(text: str) -> str:
    """The same on one line."""
    return " ".join(clean_text(text).split())


def cut_each(sentences: Sequence[str]) -> list[str]:
    """Sentences one by one: what stayed together as the last of a long text, or before an older splitter, is cut."""
    return [part for sentence in sentences for part in cut_sentences(sentence)]


def find_locked(sentences: Sequence[str], known: Sequence[str], locked: Sequence[str]) -> list[str]:
    """The sentences of an edited text that are a person's: those that are new, and those locked before.

    Of a sentence that was cut elsewhere before it counts whether its parts are new or locked.
    """
    before, kept = set(known), set(locked)
    parts_before, parts_kept = set(cut_each(known)), set(cut_each(locked))

    def is_locked(sentence: str) -> bool:
        if sentence in before:
            return sentence in kept
        parts = cut_sentences(sentence)
        return not parts_before.issuperset(parts) or not parts_kept.isdisjoint(parts)

    return [sentence for sentence in sentences if is_locked(sentence)]


def merge_offer(current: Sequence[str], locked: Sequence[str], offered: Sequence[str]) -> list[str] | None:
    """The sentences after a profile is written anew: locked ones stay in their order, what was written takes the place
    of the others, as much of it as makes `MAX_SENTENCES` in all. None where a person wrote all of it: then nothing may
    change.
    """
    mine = set(locked)
    if current and all(sentence in mine for sentence in current):
        return None
    room = MAX_SENTENCES - sum(sentence in mine for sentence in current)
    new = [sentence for sentence in offered if sentence not in mine][: max(0, room)]
    merged: list[str] = []
    placed = False
    for sentence in current:
        if sentence in mine:
            merged.append(sentence)
        elif not placed:
            merged += new
            placed = True
    return merged if placed else [*merged, *new]


def quote_title(title: str) -> str:
    """A title as part of one sentence: one line, cut, and nothing in it that ends a sentence."""
    flat = re.sub(r"[.!?]+(?=\s|$)|[。！？]", "", clean_line(title))
    if len(flat) > MAX_TITLE_CHARACTERS:
        flat = flat[:MAX_TITLE_CHARACTERS].rsplit(" ", 1)[0]
    return flat.strip() or "untitled item"
