"""What the page shows, without a browser: changes, the plane of the map, the line of time, and what is training."""

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluerec.data.tables import FIRST_PLAUSIBLE_SECOND
from bluerec.serving import views
from bluerec.serving.changes import Piece, diff_words, find_gone, find_moves
from bluerec.serving.projection import HEIGHT, MARGIN, WIDTH, fit_plane
from bluerec.serving.timeline import build_timeline, show_day
from bluerec.serving.views import N_VERSIONS, describe_item, find_training
from bluerec.types import LAST_SECOND, Event, Interaction, Item
from serving.conftest import Served
from serving.memory_store import Row, Version


def rows_of(*item_ids: str) -> list[Row]:
    return [Row(Item(item_id, item_id), rank, "Chess.", ()) for rank, item_id in enumerate(item_ids, start=1)]


def events_at(*times: int) -> list[Event]:
    return [Event(Interaction("u", f"i{n}", time), Item(f"i{n}", f"title {n}")) for n, time in enumerate(times)]


def version(number: int, writer: str, *, edited: bool = False) -> Version:
    return Version(number, "Chess.", ("Chess.",), writer, 1.7e9, edited, ())


def test_moves_tell_from_where() -> None:
    moves = find_moves(rows_of("a", "b", "c", "d"), rows_of("d", "b", "x", "a"))
    assert [move.label for move in moves] == ["up 3, from 4", "unchanged", "new", "down 3, from 1"]
    assert [row.item.item_id for row in find_gone(rows_of("a", "b", "c"), rows_of("c", "x"))] == ["a", "b"]


def test_a_diff_holds_both_texts() -> None:
    old, new = "Likes chess and golf.", "Likes chess, cards and golf."
    pieces = diff_words(old, new)
    assert "".join(p.text for p in pieces if p.change != "removed").split() == new.split()
    assert "".join(p.text for p in pieces if p.change != "added").split() == old.split()
    assert {p.change for p in diff_words(old, old)} == {"same"}


COSTLY = [
    ("b " + "a " * 1_998 + "c", "d " + "a " * 1_998 + "e"),
    ("z " + "a " * 1_000, " ".join(f"a {n}" for n in range(1_000))),
    (" ".join(f"a {n}" for n in range(1_000)), " ".join(f"a x{n}" for n in range(1_000))),
]


@pytest.mark.parametrize(("old", "new"), COSTLY)
def test_texts_that_are_dear_to_compare_take_little_time(old: str, new: str) -> None:
    begin = time.thread_time()
    for _ in range(20):
        pieces = diff_words(old, new)
    assert time.thread_time() - begin < 1
    assert "".join(p.text for p in pieces if p.change != "removed") == new
    assert "".join(p.text for p in pieces if p.change != "added").split() == old.split()
    begin = time.thread_time()
    assert [p.change for p in diff_words(f"{old} {new}", f"{old} new {new}")] == ["same", "added", "same"]
    assert time.thread_time() - begin < 1


@given(st.text("ab .\n", max_size=60), st.text("ab .\n", max_size=60))
def test_a_diff_holds_all_words_of_any_texts(old: str, new: str) -> None:
    pieces = diff_words(old, new)
    assert "".join(p.text for p in pieces if p.change != "removed") == new
    assert [word for p in pieces if p.change != "added" for word in p.text.split()] == old.split()
    assert all(one.change != other.change for one, other in pairwise(pieces))
    assert old != new or {p.change for p in pieces} <= {"same"}


def test_of_many_versions_the_latest_are_compared_and_no_other(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def note(old: str, new: str) -> list[Piece]:
        compared.append((old, new))
        return diff_words(old, new)

    monkeypatch.setattr(views, "diff_words", note)
    texts = [version.text for version in served.store.versions("u0001")] + [f"Games of {n}." for n in range(24)]
    for text in texts[1:]:
        served.store.save_edit("u0001", text)
    served.client.get(f"/studio/sign-in?token={served.token}")
    page = served.client.get("/studio/users/u0001").text
    assert compared == list(pairwise(texts[-N_VERSIONS - 1 :]))
    assert page.count("<strong>Version") == N_VERSIONS
    assert "<del>3.</del><ins>4.</ins>" in page.replace("\n", "")


def test_the_first_of_few_versions_is_marked_nowhere(served: Served) -> None:
    served.store.save_edit("u0001", "Games.")
    served.client.get(f"/studio/sign-in?token={served.token}")
    first = served.client.get("/studio/users/u0001").text.split("<strong>Version 1<")[1].split("</li>")[0]
    assert "<ins>" not in first
    assert "<del>" not in first


def test_the_plane_shows_distances_and_stays_while_a_draft_moves() -> None:
    rng = np.random.default_rng(0)
    items = np.zeros((20, 8), dtype=np.float32)
    items[:, 2], items[:, 5] = rng.normal(size=20) * 5, rng.normal(size=20)  # all that differs
    plane = fit_plane(items, items[:1])
    places = plane.place(items)
    assert places.min() >= MARGIN
    assert (places.max(axis=0) <= [WIDTH - MARGIN, HEIGHT - MARGIN]).all()
    assert abs(np.corrcoef(places[:, 0], items[:, 2])[0, 1]) > 0.999
    assert abs(np.corrcoef(places[:, 1], items[:, 5])[0, 1]) > 0.999
    far = np.full((1, 8), 1e6, dtype=np.float32)
    np.testing.assert_array_equal(plane.place(np.concatenate([items, far]))[:20], places)
    assert (plane.place(far) <= [[WIDTH - MARGIN, HEIGHT - MARGIN]]).all()


@pytest.mark.parametrize("n_items", [0, 1, 2])
def test_a_plane_of_almost_nothing(n_items: int) -> None:
    items = np.eye(4, dtype=np.float32)[:n_items]
    others = np.eye(4, dtype=np.float32)[3:]
    assert np.isfinite(fit_plane(items, others).place(others)).all()
    assert np.isfinite(fit_plane(items[:0], others[:0]).place(others)).all()


def test_the_line_of_time_is_in_proportion_and_stacks_what_came_together() -> None:
    year = 365 * 24 * 3600
    line = build_timeline(events_at(*(FIRST_PLAUSIBLE_SECOND + n_years * year for n_years in (0, 0, 1, 4))))
    x = [dot.x for dot in line.dots]
    assert x[0] == x[1] < x[2] < x[3]
    assert line.dots[1].y < line.dots[0].y
    assert (x[2] - x[0]) / (x[3] - x[0]) == pytest.approx(0.25, abs=0.02)
    assert [tick.label for tick in line.ticks] == ["1974", "1975", "1976", "1977"]
    assert line.dots[0].label == "3 Mar 1973: title 0"


def test_positions_are_no_times() -> None:
    line = build_timeline(events_at(0, 1, 2))
    assert list(line.ticks) == []
    assert [dot.label for dot in line.dots] == ["title 0", "title 1", "title 2"]
    assert build_timeline([]).dots == ()
    assert len(build_timeline(events_at(7)).dots) == 1


def test_a_time_that_no_calendar_has_stays_a_number() -> None:
    line = build_timeline(events_at(FIRST_PLAUSIBLE_SECOND, 1_700_000_000_000))
    assert [dot.label for dot in line.dots] == ["3 Mar 1973: title 0", "title 1"]
    assert len(line.ticks) < 20
    assert list(build_timeline(events_at(LAST_SECOND + 1, LAST_SECOND + 2)).ticks) == []
    assert show_day(LAST_SECOND) == "31 Dec 9999"
    assert [show_day(number) for number in (7, 12_345_678, LAST_SECOND + 1)] == ["7", "12345678", "253402300800"]


def test_before_and_after_training_are_the_latest_of_one_model() -> None:
    versions = [version(1, "small"), version(2, "small+a"), version(3, "person", edited=True), version(4, "small+b")]
    assert [v.version for v in find_training(versions)] == [1, 4]
    assert find_training(versions[:1]) is None
    assert find_training([version(1, "other"), version(2, "small+a")]) is None


def test_an_item_is_described_once() -> None:
    assert describe_item(Item("i", "t", brand="Oak", categories=("games", "card_games"), price=4.5)) == (
        "Oak · card games · 4.50"
    )
    assert describe_item(Item("i", "t", brand="Oak", categories=("Oak",))) == "Oak"
    assert describe_item(Item("i", "t")) == ""
