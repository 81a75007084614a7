"""The text of a version is cut into its sentences again, however it came about: edits, offers, older splitters."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.store.records import StoredVersion
from bluerec.store.sentences import MAX_SENTENCES, find_locked, join_sentences, split_sentences
from bluerec.store.store import Store
from bluerec.store.transactions import merge_written, next_version
from store.stores import EMBEDDER, make_store


def number(words: str, n: int) -> str:
    return " ".join(f"{words} {place}." for place in range(n))


def edit(last: StoredVersion | None, text: str) -> StoredVersion:
    sentences = split_sentences(text)
    locked = find_locked(sentences, last.sentences, last.locked) if last else sentences
    return next_version(last, text, sentences, locked)


def check(version: StoredVersion) -> None:
    assert list(version.sentences) == split_sentences(version.text)
    assert 0 < len(version.sentences) <= MAX_SENTENCES
    assert edit(version, version.text).locked == version.locked, "saving a text as it is locks nothing"


def test_an_offer_is_cut_so_that_all_sentences_are_served(tmp_path: Path) -> None:
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        store.save_written("u0001", number("Liked racing", 8), "model")
        text = f"{number('Only chess', 40)} {number('Liked racing', 8)}"
        mine = store.save_edit("u0001", text)
        assert len(mine.locked) == 40
        made = store.save_written("u0001", number("Likes golf", 40), "model")
        check(made)
        assert made.sentences == (*mine.locked, *split_sentences(number("Likes golf", 8)))
        assert (made.locked, made.offered) == (mine.locked, number("Likes golf", 40))
        assert store.save_edit("u0001", made.text).locked == mine.locked


def test_sentences_without_room_for_an_offer_stay() -> None:
    model = next_version(None, number("Likes golf", 60), split_sentences(number("Likes golf", 60)), ())
    mine = edit(model, f"{number('Only chess', 47)} {model.text}")
    assert mine.locked == mine.sentences[:47]
    check(mine)
    made = merge_written(mine, number("Likes golf", 60), "model")
    check(made)
    assert made.sentences == (*mine.locked, "Likes golf 0.")
    full = merge_written(edit(model, f"Likes golf 3. {number('Only chess', 60)}"), "Likes cars.", "model")
    check(full)
    assert (full.text, full.locked) == (number("Only chess", 60), full.sentences)


def test_the_last_sentence_of_a_long_text_is_locked_only_for_what_is_new_in_it() -> None:
    model = merge_written(None, number("Likes golf", 60), "model")
    shorter = edit(model, model.text.removeprefix("Likes golf 0. "))
    assert shorter.locked == ()
    longer = edit(model, f"{model.text} Only chess.")
    assert longer.locked == (longer.sentences[-1],)
    check(longer)


OLD = "Loves RPGs but not turn-based ones."


@pytest.mark.parametrize("locked", [(), (OLD,)])
def test_a_version_of_an_older_splitter_is_cut_as_today_when_it_is_written_anew(locked: Sequence[str]) -> None:
    parts = ("Loves RPGs", "but not turn-based ones.")
    old = StoredVersion(1, f"{OLD} Likes golf.", (OLD, "Likes golf."), tuple(locked), "model", 1.7e9, False, "seen")
    assert edit(old, old.text).locked == (parts if locked else ())
    made = merge_written(old, "Likes chess.", "model")
    check(made)
    assert (made.sentences, made.locked) == (((*parts, "Likes chess."), parts) if locked else (("Likes chess.",), ()))


def test_an_older_version_comes_back_as_it_is_cut_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        with monkeypatch.context() as older:
            older.setattr("bluerec.store.store.split_sentences", lambda text: text.split("\n"))
            store.save_edit("u0001", f"{OLD}\nLikes golf.")
        store.save_edit("u0001", "Likes chess.")
        made = store.revert("u0001", 2)
        check(made)
        assert made.locked == ("Loves RPGs", "but not turn-based ones.", "Likes golf.")
        assert len(store.view("u0001").vectors.vectors) == 3


ENDS = ["chess.", "golf!", "Dr. Mario?", "no end", "RPGs but not turn-based ones.", "but not golf.", "RPGs,", "Vol. 2",
        "Chess but not playing, without golf.", "。好", "もう一度。"]  # fmt: skip
PLAIN = st.builds(
    lambda words, place: f"Likes {words} {place}.", st.sampled_from(["chess", "golf"]), st.integers(0, 70)
)
SENTENCES = st.lists(PLAIN | st.sampled_from(ENDS), min_size=1, max_size=6) | st.builds(
    lambda words, n, rest: [*split_sentences(number(words, n))[:-1], *rest],
    st.sampled_from(["Likes chess", "Only golf", "RPGs but not chess"]),
    st.integers(30, 60),
    st.lists(st.sampled_from(ENDS), min_size=1, max_size=30),
)
TEXTS = st.builds(lambda sentences, between: between.join(sentences), SENTENCES, st.sampled_from([" ", "\n"]))


def has_all_of(sentences: Sequence[str], before: Sequence[str]) -> bool:
    """Whether all letters of the sentences from before are there, in their order."""
    there = iter("".join(sentences))
    return all(letter in there for letter in "".join("".join(before).split()))


@given(steps=st.lists(st.sampled_from(["write", "edit", "add"]), min_size=1, max_size=6), data=st.data())
@settings(max_examples=200, deadline=None)
def test_every_version_is_cut_into_its_sentences(steps: Sequence[str], data: st.DataObject) -> None:
    last = None
    for step in steps:
        text = data.draw(TEXTS)
        if step == "write":
            made = merge_written(last, text, "model")
            assert has_all_of(made.locked, last.locked if last else ())
        else:
            kept = [sentence for sentence in last.sentences if data.draw(st.booleans())] if last else []
            made = edit(last, join_sentences([*kept, text]) if step == "add" else text)
        check(made)
        last = made
