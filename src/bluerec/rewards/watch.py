"""What a profiler under reinforcement learning exploits, measured on the text alone.

Every measure is a pure function of text: deterministic, no model, cheap enough for each step. The names are log
keys. Per text: `copied`, `foreign_title`, `repetition`, `invented_person`, `unfinished`, `listing` lie between 0
(good) and 1 (bad), `n_words` is a count. Per batch, further: `diversity`, `distinct_2` (1 is good) and
`boilerplate` (0 is good).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

from bluerec.errors import DataError
from bluerec.rewards.person_facts import find_person_facts
from bluerec.rewards.title_index import TitleIndex, n_grams, normalise_words

OPENING_WORDS = 5
MAX_LIST_ENTRY_WORDS = 6
MIN_LIST_ENTRIES = 3
# Comparing all pairs of more texts than this is slow and says no more.
MAX_COMPARED = 256

_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]*_]*\s*$")
_ENTRY_BREAK = re.compile(r"[,;|•·\n]+|(?<=\w)[.:!?]+\s")


def measure(
    text: str, history_titles: Sequence[str], *, index: TitleIndex | None = None, support: str = ""
) -> dict[str, float]:
    """All measures of one profile; `foreign_title` only where the catalogue's `index` is given.

    `support` is what else the prompt showed of the history (review texts), see `find_person_facts`.
    """
    words = normalise_words(text)
    measures = {
        "copied": measure_copied(text, history_titles),
        "repetition": measure_repetition(text),
        "invented_person": float(bool(find_person_facts(text, support))),
        "unfinished": measure_unfinished(text),
        "listing": measure_listing(text),
        "n_words": float(len(words)),
    }
    if index is not None:
        measures["foreign_title"] = float(bool(index.find_foreign(text, history_titles)))
    return measures


def summarise(
    texts: Sequence[str],
    history_titles: Sequence[Sequence[str]],
    *,
    user_ids: Sequence[str] | None = None,
    index: TitleIndex | None = None,
) -> dict[str, float]:
    """Means of `measure` over a batch, and what only a batch shows.

    Texts of one user (the candidates of a group) are not compared with each other in `diversity` and
    `boilerplate`; without `user_ids` each text is its own user. Raises `DataError` if the lengths differ or the
    batch is empty.
    """
    users = list(user_ids) if user_ids is not None else [str(row) for row in range(len(texts))]
    if not texts or not len(texts) == len(history_titles) == len(users):
        raise DataError(
            f"watch list: {len(texts)} texts, {len(history_titles)} histories, {len(users)} users; "
            "pass one history and user per text, and at least one text"
        )
    rows = [measure(text, titles, index=index) for text, titles in zip(texts, history_titles, strict=True)]
    summary = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    summary["diversity"] = measure_diversity(texts, users)
    summary["distinct_2"] = measure_distinct(texts, 2)
    summary["boilerplate"] = measure_boilerplate(texts, users)
    return summary


def measure_copied(text: str, history_titles: Iterable[str]) -> float:
    """Share of the word trigrams that stand in a title of the history; 0 for fewer than three words."""
    trigrams = n_grams(normalise_words(text), 3)
    if not trigrams:
        return 0.0
    known = {trigram for title in history_titles for trigram in n_grams(normalise_words(title), 3)}
    return sum(trigram in known for trigram in trigrams) / len(trigrams)


def measure_repetition(text: str) -> float:
    """Share of the word trigrams that the text has already used; 0 for fewer than three words."""
    trigrams = n_grams(normalise_words(text), 3)
    return 1.0 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0


def measure_unfinished(text: str) -> float:
    """1 where the text does not end as a sentence does, 0 otherwise; an empty text is unfinished."""
    return 0.0 if _SENTENCE_END.search(text) else 1.0


def measure_listing(text: str) -> float:
    """Share of the words that stand in a list: three or more short entries in a row between commas or line breaks."""
    entries = [len(normalise_words(entry)) for entry in _ENTRY_BREAK.split(text)]
    entries = [n_words for n_words in entries if n_words]
    if not entries:
        return 0.0
    n_listed, run = 0, []
    for n_words in [*entries, MAX_LIST_ENTRY_WORDS + 1]:
        if n_words <= MAX_LIST_ENTRY_WORDS:
            run.append(n_words)
            continue
        n_listed += sum(run) if len(run) >= MIN_LIST_ENTRIES else 0
        run = []
    return n_listed / sum(entries)


def measure_distinct(texts: Sequence[str], n: int) -> float:
    """Distinct-n of Li et al. (2016): different word n-grams of a batch over all of them; 0 where there is none."""
    grams = [gram for text in texts for gram in n_grams(normalise_words(text), n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def measure_diversity(texts: Sequence[str], user_ids: Sequence[str]) -> float:
    """Mean Jaccard distance between the word bigrams of profiles of different users: 0 if all are the same.

    1 where no two users are there to compare. More than `MAX_COMPARED` texts are thinned evenly.
    """
    step = -(-len(texts) // MAX_COMPARED)
    bags = [set(n_grams(("", *normalise_words(text)), 2)) for text in texts[::step]]
    distances = [
        1.0 - len(bags[one] & bags[other]) / max(len(bags[one] | bags[other]), 1) if bags[one] or bags[other] else 0.0
        for one, other in combinations(range(len(bags)), 2)
        if user_ids[one * step] != user_ids[other * step]
    ]
    return sum(distances) / len(distances) if distances else 1.0


def measure_boilerplate(texts: Sequence[str], user_ids: Sequence[str]) -> float:
    """Share of the texts whose first five words also open the profile of another user."""
    openings = [normalise_words(text)[:OPENING_WORDS] for text in texts]
    n_users = Counter(opening for opening, _ in set(zip(openings, user_ids, strict=True)))
    return sum(n_users[opening] > 1 for opening in openings) / len(openings) if openings else 0.0
