"""The search is exact, with and without the neighbours that are kept, and filters shorten no list."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bluerec.data.wishes import UNWANTED_WEIGHT
from bluerec.errors import DataError
from bluerec.store.building import build_store
from bluerec.store.recommender import MAX_SHORT_LIST, Recommender
from bluerec.store.records import SentenceVectors
from bluerec.store.search import find_near, search_all, search_near
from bluerec.store.sentences import MAX_SENTENCES, quote_title, split_sentences
from bluerec.store.store import Store
from store.stores import CONFIG, EMBEDDER, make_store, make_world


def unit(rng: np.random.Generator, n: int, dimension: int = 16) -> np.ndarray:
    vectors = rng.normal(size=(n, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def search_naively(items: np.ndarray, vectors: np.ndarray, signs: np.ndarray, k: int, masked: set[int]) -> list[int]:
    scored = []
    for row, item in enumerate(items):
        if row in masked:
            continue
        wanted = max(float(item @ vector) for vector, sign in zip(vectors, signs, strict=True) if sign > 0)
        not_wanted = [float(item @ vector) for vector, sign in zip(vectors, signs, strict=True) if sign < 0]
        scored.append((-(wanted - UNWANTED_WEIGHT * max([0.0, *not_wanted])), row))
    return [row for _, row in sorted(scored)[:k]]


@pytest.mark.parametrize("seed", range(40))
def test_search_is_exact(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bluerec.store.search._BLOCK_ITEMS", 37)
    rng = np.random.default_rng(seed)
    items, vectors = unit(rng, 300), unit(rng, int(rng.integers(1, 5)))
    signs = np.where(rng.random(len(vectors)) < 0.3, -1, 1)
    signs[0] = 1
    masked = np.unique(rng.integers(0, 300, size=int(rng.integers(0, 40))))
    allowed = np.ones(300, dtype=bool)
    allowed[masked] = False
    expected = search_naively(items, vectors, signs, 10, set(masked.tolist()))
    found = search_all(items, vectors, signs, 10, allowed)
    assert found.rows.tolist() == expected
    assert all(signs[place] > 0 for place in found.sentences)
    for n_near in (12, 60, 300):
        rows, scores = find_near(items, vectors, n_near)
        near = search_near(items, SentenceVectors(vectors, rows, scores), signs, 10, masked)
        assert near is None or near.rows.tolist() == expected
        assert near is None or np.allclose(near.scores, found.scores, atol=1e-6)
        assert n_near < 300 or near is not None


def test_neighbours_usually_suffice() -> None:
    """Or every list would cost a whole search."""
    rng = np.random.default_rng(1)
    items = unit(rng, 5_000)
    answered = 0
    for _ in range(50):
        vectors = unit(rng, 3)
        stored = SentenceVectors(vectors, *find_near(items, vectors))
        answered += search_near(items, stored, np.ones(3, dtype=np.int64), 10, np.arange(100)) is not None
    assert answered >= 45


@pytest.fixture
def recommender(tmp_path: Path):
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        yield Recommender(store)


def test_recommend_gives_a_table(recommender: Recommender) -> None:
    table = recommender.recommend("u0000", k=5)
    assert table.schema == {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int64, "score": pl.Float32}
    assert table["rank"].to_list() == [1, 2, 3, 4, 5]
    assert table["score"].is_sorted(descending=True)
    rows = recommender.recommend_with_reasons("u0000", k=5)
    assert [row.item.item_id for row in rows] == table["item_id"].to_list()
    both = recommender.recommend(["u0001", "u0000"], k=5)
    assert both.filter(pl.col("user_id") == "u0000").equals(table)
    from_text = recommender.recommend(text="Racing games.", k=3)
    assert (from_text.height, from_text["user_id"].null_count()) == (3, 3)


@pytest.fixture
def bounded(tmp_path: Path):
    """More items than are kept near a sentence."""
    with Store.open(make_store(tmp_path / "store", n_items=400), embedder=EMBEDDER) as store:
        yield Recommender(store)


def test_a_list_at_once_is_that_of_the_whole_catalogue(bounded: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    version = bounded.store.save_edit("u0000", "Racing games. But not shooters.").version
    for user, expected in (("u0000", version), ("u0001", 1), ("u0002", 1)):
        for unseen in (True, False):
            at_once = bounded.recommend_at_once(user, 7, unseen=unseen)
            with monkeypatch.context() as patch:
                patch.setattr("bluerec.store.recommender.search_near", lambda *_: None)
                searched = bounded.recommend_from_profile(user, 7, unseen=unseen)
            assert at_once is not None
            assert searched is not None
            assert at_once[0] == searched[0] == expected
            for one, other in zip(at_once[1], searched[1], strict=True):
                assert replace(one, score=0.0) == replace(other, score=0.0)
                assert one.score == pytest.approx(other.score, abs=1e-5)


def test_what_would_take_longer_gives_no_list_at_once(bounded: Recommender) -> None:
    assert bounded.recommend_at_once("nobody") is None
    assert bounded.recommend_from_profile("nobody") is None
    assert bounded.recommend_at_once("u0000", MAX_SHORT_LIST) is not None
    assert bounded.recommend_at_once("u0000", MAX_SHORT_LIST + 1) is None
    # 256 items are kept near a sentence: who has taken them all gets none from them.
    near = bounded.store.view("u0000").vectors.near_rows.ravel()
    rows = [{"item_id": item.item_id, "timestamp": 1} for item in bounded.store.catalogue.items_at(sorted(set(near)))]
    bounded.store.add_interactions("u0000", rows)
    assert bounded.recommend_at_once("u0000", 10) is None
    assert len(bounded.recommend_from_profile("u0000", 10)[1]) == 10
    bounded.store.save_edit("u0000", "Nothing like chess.")
    assert bounded.recommend_at_once("u0000") == bounded.recommend_from_profile("u0000") == (2, [])


def test_wrong_questions_are_refused(recommender: Recommender) -> None:
    for question in ({}, {"user_id": "u0000", "text": "x"}, {"user_id": "nobody"}):
        with pytest.raises(DataError):
            recommender.recommend(**question)
    with pytest.raises(DataError, match="nowhere"):
        recommender.item_vectors(["i0001", "nowhere"])
    with pytest.raises(DataError, match="nowhere"):
        recommender.more_like("x", "nowhere")


def test_filters_are_inside_the_search(recommender: Recommender) -> None:
    """However rare what passes is, the list is as long as there are such items."""
    store = recommender.store
    items = store.catalogue.items_at(range(store.catalogue.n_items))
    seen = {event.item.item_id for event in store.history("u0000")}
    category = min({name for item in items for name in item.categories})
    prices = sorted(item.price for item in items if item.price is not None)
    tests = {
        "category": (category, lambda item: category in item.categories),
        "domain": (items[0].domain, lambda item: item.domain == items[0].domain),
        "max_price": (prices[4], lambda item: item.price is not None and item.price <= prices[4]),
    }
    for name, (value, passes) in tests.items():
        expected = {item.item_id for item in items if passes(item) and item.item_id not in seen}
        found = recommender.recommend("u0000", k=1000, **{name: value})["item_id"].to_list()
        assert set(found) == expected, name
        assert len(found) == len(expected)
    assert recommender.recommend("u0000", k=5, domain="no such").height == 0
    everything = recommender.recommend("u0000", k=1000, unseen=False)
    assert everything.height == 120
    assert seen <= set(everything["item_id"])


def test_not_this_sinks_the_item_and_more_like_lifts_it(recommender: Recommender) -> None:
    store = recommender.store
    text = store.profile("u0000").text
    before = recommender.recommend(text=text, k=120)["item_id"].to_list()
    first, late = before[0], before[60]
    assert recommender.recommend(text=recommender.not_this(text, first), k=120)["item_id"].to_list().index(first) > 10
    assert recommender.recommend(text=recommender.more_like(text, late), k=120)["item_id"].to_list().index(late) < 30
    assert recommender.recommend_with_reasons(text="Nothing like chess.") == []


def test_a_wish_needs_a_name_and_room(recommender: Recommender, tmp_path: Path) -> None:
    full = "Chess. " * MAX_SENTENCES
    with pytest.raises(DataError, match="at most 48 sentences; take one out first"):
        recommender.not_this(full, "i0005")
    assert recommender.more_like("Chess. " * (MAX_SENTENCES - 1), "i0005").count("More like ") == 1
    world = make_world()
    items = world.dataset.items.with_columns(
        title=pl.lit(""),
        brand=pl.Series(["Acme", *[None] * (world.dataset.n_items - 1)]),
        categories=pl.lit([], pl.List(pl.String)),
    )
    folder = build_store(tmp_path / "untitled", replace(world.dataset, items=items), EMBEDDER, CONFIG, users=[])
    with Store.open(folder, embedder=EMBEDDER) as store:
        assert Recommender(store).not_this("Chess.", "i0000") == "Chess. Nothing like Acme."
        with pytest.raises(DataError, match="no title, brand or category"):
            Recommender(store).not_this("Chess.", "i0001")


def test_a_person_may_say_in_many_ways_what_is_not_wanted(recommender: Recommender) -> None:
    text = recommender.store.profile("u0000").text
    first = recommender.recommend(text=text, k=1)["item_id"][0]
    title = quote_title(recommender.store.catalogue.item(first).title)
    for wish in (f"No longer interested in {title}.", f"I don't want {title}.", f"Games, but not {title}."):
        assert first not in recommender.recommend(text=f"{text} {wish}", k=3)["item_id"].to_list()


def test_evidence_is_of_the_history_and_empty_for_what_is_not_wanted(recommender: Recommender) -> None:
    item = recommender.store.history("u0000")[0].item
    words = f"{item.title} {item.description}"
    found = recommender.evidence("u0000", [words, f"Nothing like {words}", "Zzzz qqqq."])
    assert found[0][0] == item
    assert found[1:] == [[], []]


def test_sentences() -> None:
    assert split_sentences("Likes Dr. Mario vs. Luigi. Wants more!\nNo end\n\n好。再来。") == [
        "Likes Dr. Mario vs. Luigi.", "Wants more!", "No end", "好。", "再来。",
    ]  # fmt: skip
    assert len(split_sentences("A. " * 500)) == MAX_SENTENCES
    assert "".join(split_sentences("A. " * 500)).count("A.") == 500
    hostile = "Game! Ignore all. \u202eNow\nlike this? " + "x" * 300
    assert len(split_sentences(f"Nothing like {quote_title(hostile)}.")) == 1
    assert quote_title(" \n") == "untitled item"
