"""What a sentence of a profile asks for: more of what it names, or less.

An embedder sees what a sentence names and not whether that is wanted: "No longer interested in horror" lies among
horror games. So the wording is read by rule, and what is left of it, "horror", counts against what is near. English
only; a sentence that no rule knows is wanted, as it stands. A title must not be taken for a wish: in "No More Heroes"
and "Never Alone" all words are capital, in "No more heroes" they are not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bluerec.types import Float32Array, IntArray

# What the nearest unwanted thing takes from an item's score.
UNWANTED_WEIGHT = 0.5


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> list[str]:
    return [" ".join(phrase.split()) for phrase in text.split(";")]


# What decides against.
_AGAINST = frozenset(
    _phrases("""
        no; not; never; no longer; no more; no interest in; no need for; nothing; nothing like; nothing from; nothing
        by; nothing about; nothing with; nothing more like; anything but; everything but; everything except; all but;
        don't; doesn't; didn't; won't; wouldn't; isn't; aren't; wasn't; cannot stand; can't stand; cannot bear; can't
        bear; avoid; avoids; hate; hates; hated; dislike; dislikes; detest; detests; loathe; loathes; skip; hide;
        exclude; leave out; stop; stopped; quit; given up; enough; less; fewer; spare me; tired; bored; sick; fed up;
        done with; used to; lost interest in; lost all interest in; without; except; except for; apart from; other
        than; rather than; instead of; as opposed to
    """)
)
_LONGEST = max(len(phrase.split()) for phrase in _AGAINST)
# Of these, verbs that no title begins with.
_VERBS = _words("avoid avoids hate hates dislike dislikes detest detests loathe loathes exclude")
# What may stand before what decides.
_BEFORE = _words("""
    i i'm i'd i've we we're we've they they're they've he he's she she's this the that user shopper customer reader
    player person reviewer am are is was were have has had do does did will would can could should really just simply
    also now definitely absolutely particularly especially currently honestly please so very and but though although
    yet
""")
# What may stand between what decides and what is named: ways to say "like" or "show", and words that join.
_LIKING = _words("""
    like likes liked liking love loves loved enjoy enjoys enjoyed want wants wanted need needs buy buys buying bought
    play plays playing read reads reading use uses using wear wears wearing watch watches watching prefer prefers
    care cares look looks looking fancy recommend recommending show showing suggest suggesting send sending give
    giving see interested into keen fond fan fans big huge great mood after more anymore much really very
""")
# Of these, what may be named itself: "not interested in watches".
_NOUNS = _words("play playing reading show watches")
_JOINING = _words("for about of on in to from by with at up a an the any that me us my your be have get")
_BETWEEN = _LIKING | _JOINING
# With one of these, "no" and "not" make no wish: "not only chess", "no one beats Mario", "never tired of racing".
_NO_WISH = _words("""
    only just merely one nothing than matter doubt wonder less least mention sure hate hates dislike dislikes mind
    tire tires tired bored sick enough miss misses fail fails stop stops without beats beat better bad
""")
# Ends that say nothing, and ends that decide against what is before them.
_IDLE_ENDS = tuple(
    _phrases("please; thanks; thank you; anymore; any more; any longer; at all; for now; ever again; again")
)
_AGAINST_ENDS = tuple(
    _phrases("""
        is not for me; are not for me; isn't for me; aren't for me; is no longer for me; are no longer for me; not
        for me; is not my thing; are not my thing; isn't my thing; aren't my thing; not my thing; no thanks; no thank
        you; bores me; bore me
    """)
)
_MORE_LIKE = re.compile(r"^more like\s+(?=\S)", re.IGNORECASE)
# Where a wish for something may turn into one against something: "RPGs, but not turn-based ones".
_TURN = re.compile(
    r"\s+(?=(?:but|though|although|yet|except|apart from|other than|rather than|instead of|as opposed to)\s)|"
    r"(?<=[,;])\s+(?=(?:not|no|never|without)\s)"
)
# A sentence that turns more often stays whole: nobody writes so, and each turn costs a pass over what is before it.
_MOST_TURNS = 2


@dataclass(frozen=True, slots=True)
class Wish:
    """What of a sentence is searched for, and whether it is wanted (1) or not (-1)."""

    content: str
    sign: int


def read_wish(sentence: str) -> Wish:
    """The wish of one sentence: `Not interested in X.` is X, unwanted; `More like X.` is X, wanted.

    A sentence that names nothing beside its wish ("Nothing.") is wanted as it stands, so that it has a content.
    """
    body = sentence.rstrip(" .!。！")
    unwanted = _read_against(body.lower() if body.isupper() else body)
    if unwanted:
        return Wish(unwanted + sentence[len(body) :].strip(), -1)
    wanted = _MORE_LIKE.match(sentence)
    return Wish(sentence[wanted.end() :] if wanted else sentence, 1)


def split_wishes(sentence: str) -> list[str]:
    """A sentence that turns against something, as two: `RPGs,` and `but not turn-based ones.`; else as it is.

    What comes before a turn may turn once more. No part is cut if it is given again.
    """
    parts = [sentence]
    for _ in range(_MOST_TURNS + 1):
        cut = _cut_turn(parts[0])
        if not cut:
            return parts
        parts[:1] = cut
    return [sentence]


def read_contents(sentences: Sequence[str]) -> list[str]:
    """What each sentence is searched for by."""
    return [read_wish(sentence).content for sentence in sentences]


def read_signs(sentences: Sequence[str]) -> IntArray:
    """1 for each sentence that is wanted, -1 for each that is not: (n_sentences,)."""
    return np.array([read_wish(sentence).sign for sentence in sentences], dtype=np.int64)


def combine_wishes(cosines: Float32Array, signs: IntArray) -> tuple[Float32Array, IntArray]:
    """Scores (n_items,) from the cosines of items with sentences (n_items, n_sentences), and whose each score is.

    An item's score is its cosine with the nearest wanted sentence, less half of that with the nearest unwanted one,
    where that is above 0. The second array is the place of that wanted sentence; 0 where none is wanted.
    """
    wanted = np.flatnonzero(signs > 0)
    scores, brought = np.zeros(len(cosines), np.float32), np.zeros(len(cosines), np.int64)
    if len(wanted):
        liked = cosines[:, wanted]
        nearest = liked.argmax(axis=1)
        scores, brought = np.take_along_axis(liked, nearest[:, None], 1)[:, 0], wanted[nearest]
    if len(wanted) < len(signs):
        scores = scores - UNWANTED_WEIGHT * np.maximum(cosines[:, signs < 0].max(axis=1), 0.0)
    return scores, brought


def _cut_turn(sentence: str) -> tuple[str, str] | None:
    """What is before the first turn of a sentence against something, and the rest; None where it has none."""
    if not _MORE_LIKE.match(sentence) and read_wish(sentence).sign > 0:
        for turn in _TURN.finditer(sentence):
            head, tail = sentence[: turn.start()], sentence[turn.end() :]
            if head.strip() and read_wish(tail).sign < 0:
                return head, tail
    return None


def _read_against(body: str) -> str:
    """What a sentence without its last mark is against, or nothing."""
    lowered = body.lower().replace("’", "'")
    if end := _find_end(lowered, _AGAINST_ENDS):
        return body[:-end].rstrip(" ,:?")
    while end := _find_end(lowered, _IDLE_ENDS):
        lowered = lowered[:-end].rstrip(" ,")
    folded = [word.strip(',;:"“”()') for word in lowered.split()]
    words = body.split()[: len(folded)]
    start = 0
    while not (length := _find_against(folded, words, start)):
        if start == len(words) or folded[start] not in _BEFORE:
            return ""
        start += 1
    place = start + length
    while place < len(words) and folded[place] in _BETWEEN and words[place][0].islower():
        place += 1
    if place == len(words) and place > start + length and folded[-1] in _NOUNS:
        place -= 1
    if place == len(words) or not _NO_WISH.isdisjoint((folded[start + length], folded[place])):
        return ""
    may_be_title = length == 1 and words[start][0].isupper() and folded[start] not in _VERBS
    if may_be_title and _LIKING.isdisjoint(folded[start + length : place]) and _is_name(words[place:]):
        return ""
    return " ".join(words[place:]).rstrip(" ,")


def _is_name(words: Sequence[str]) -> bool:
    """Whether all words are capital, but for those that join: `Alone for PlayStation 4`."""
    return all(not word[0].islower() or word in _JOINING for word in words)


def _find_against(folded: Sequence[str], words: Sequence[str], start: int) -> int:
    """How many words from `start` on decide against what follows; 0 if none. Longer ones are in small letters."""
    for length in range(min(_LONGEST, len(words) - start), 0, -1):
        rest = words[start + 1 : start + length]
        if " ".join(folded[start : start + length]) in _AGAINST and not any(word[0].isupper() for word in rest):
            return length
    return 0


def _find_end(lowered: str, ends: tuple[str, ...]) -> int:
    """How many characters at the end are one of these, the longest; 0 if none, or if nothing is before it."""
    if not lowered.endswith(ends):
        return 0
    longest = max(len(end) for end in ends if lowered.endswith(end))
    return longest if lowered[:-longest].endswith((" ", ",")) else 0
