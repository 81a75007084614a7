"""How a profile is cut into sentences: the same for what is measured and for what is served."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bluerec.data.wishes import split_wishes

# More vectors than this would make one profile as dear as a crowd; what follows stays together as the last sentence.
MAX_SENTENCES = 48
# Titles are full of them: "Super Smash Bros. Melee", "Dr. Mario", "Vol. 2".
_ABBREVIATIONS = (
    "Dr", "Mr", "Ms", "Mrs", "St", "Jr", "Sr", "Bros", "No", "[Vv]s", "[Vv]ol", r"[Ee]\.g", r"[Ii]\.e",
)  # fmt: skip
_NO_END = "".join(rf"(?<!\b{short}\.)" for short in _ABBREVIATIONS)
_END = re.compile(rf"(?<=[.!?]){_NO_END}\s+|(?<=[。！？])|\n+")


def split_sentences(text: str) -> list[str]:
    """Sentences in reading order, at most `MAX_SENTENCES`; a line break ends a sentence, an abbreviation never does.

    What a sentence turns against is one of its own: `RPGs,` and `but not turn-based ones.`
    """
    parts = cut_sentences(text)
    if len(parts) <= MAX_SENTENCES:
        return parts
    return [*parts[: MAX_SENTENCES - 1], " ".join(parts[MAX_SENTENCES - 1 :])]


def cut_sentences(text: str) -> list[str]:
    """The same, however many they are. A sentence of these is one if it is cut again."""
    whole = (part.strip() for part in _END.split(text) if part and part.strip())
    return [part for sentence in whole for part in split_wishes(sentence)]


def join_sentences(sentences: Sequence[str]) -> str:
    """One text that is cut into these sentences again: spaces between them, or lines where one has no end."""
    joined = " ".join(sentences)
    return joined if cut_sentences(joined) == list(sentences) else "\n".join(sentences)
