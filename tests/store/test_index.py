"""The index finds what the exact search finds, lets no item through that a filter excludes, and fails by name."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bluerec.data.tables import Dataset, build_dataset
from bluerec.errors import MissingExtraError, StoreError
from bluerec.profiling.embedders import HashingEmbedder
from bluerec.store import building, indexing
from bluerec.store.building import build_store, rebuild_store
from bluerec.store.index import IndexedSearch, SearchFacts, load_index, recall_of, save_lists, train_lists
from bluerec.store.indexing import MIN_RECALL, Sample, make_index, reindex_store
from bluerec.store.recommender import Recommender
from bluerec.store.search import N_NEAR, ExactSearch
from bluerec.store.store import Store
from store.stores import CONFIG, make_profiles, make_world

pytest.importorskip("faiss", reason="the index needs faiss: pip install 'bluerec[ann]'")

# Few values, so that texts have neighbourhoods: in hashes of many, most items are equally far from a sentence.
EMBEDDER = HashingEmbedder(16)
N_ITEMS = 6_000
DIMENSION = 48
N_GROUPS = 40


def spread(rng: np.random.Generator, centres: np.ndarray, groups: np.ndarray, noise: float) -> np.ndarray:
    vectors = centres[groups] + noise * rng.normal(size=(len(groups), centres.shape[1])) / centres.shape[1] ** 0.5
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def catalogue() -> tuple[np.ndarray, np.ndarray, Callable[[int], np.ndarray]]:
    """Item vectors in groups, the group of each, and queries by seed. One in ten items is another's twin."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(N_GROUPS, DIMENSION))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    groups = rng.integers(0, N_GROUPS, N_ITEMS)
    vectors = spread(rng, centres, groups, 1.0)
    vectors[: N_ITEMS // 10] = vectors[N_ITEMS // 10 : N_ITEMS // 5]
    groups[: N_ITEMS // 10] = groups[N_ITEMS // 10 : N_ITEMS // 5]

    def ask(seed: int, n: int = 100) -> np.ndarray:
        draw = np.random.default_rng(seed + 1000)
        return spread(draw, centres, draw.integers(0, N_GROUPS, n), 0.8)

    return vectors, groups, ask


def make_filters(groups: np.ndarray, seed: int) -> dict[str, np.ndarray | None]:
    draw = np.random.default_rng(seed)
    return {
        "": None,
        "half": draw.random(N_ITEMS) < 0.5,
        "tenth": draw.random(N_ITEMS) < 0.1,
        "few groups": groups < N_GROUPS // 5,
        "no even group": groups % 2 == 1,
        "nearly all": draw.random(N_ITEMS) < 0.99,
    }


@pytest.fixture(scope="module")
def searched(catalogue, tmp_path_factory: pytest.TempPathFactory) -> tuple[IndexedSearch, SearchFacts, Path]:
    vectors, groups, ask = catalogue
    folder = tmp_path_factory.mktemp("index")
    facts = make_index(folder, vectors, Sample(ask(0), make_filters(groups, 0)))
    return load_index(folder / facts.file, vectors, facts), facts, folder


def test_recall_holds_for_queries_and_filters_it_was_not_measured_with(catalogue, searched) -> None:
    vectors, groups, ask = catalogue
    search, facts, _ = searched
    assert min(facts.recall, facts.filtered_recall) >= MIN_RECALL
    assert facts.n_scanned < N_ITEMS // 2  # or the index would be the exact search in disguise
    exact = ExactSearch(vectors)
    for seed in range(1, 4):
        queries = ask(seed)
        for name, allowed in make_filters(groups, seed).items():
            found, right = search.find_near(queries, allowed), exact.find_near(queries, allowed)
            assert recall_of(found[1], right[1], (10, N_NEAR)) >= MIN_RECALL, name
            signs = np.array([1, 1, -1])
            hits = []
            for start in range(0, 60, 3):
                best = search.find_best(queries[start : start + 3], signs, 10, allowed)
                wanted = exact.find_best(queries[start : start + 3], signs, 10, allowed)
                hits.append(np.mean(best.scores >= wanted.scores[-1] - 1e-6))
            assert np.mean(hits) >= MIN_RECALL, name


def test_too_little_effort_is_seen(catalogue, searched) -> None:
    """The recall that is measured can fall: it is not one whatever the index finds."""
    vectors, _, ask = catalogue
    hasty = searched[0].with_effort(2 * N_NEAR)
    right = ExactSearch(vectors).find_near(ask(1))[1]
    assert recall_of(hasty.find_near(ask(1))[1], right, (10, N_NEAR)) < searched[1].recall
    assert recall_of(right - 0.01, right, (10,)) < 0.9
    assert recall_of(right, right, (10, N_NEAR)) == 1


def test_filters_are_inside_the_search(catalogue, searched) -> None:
    """Nothing foreign, nothing twice, every list as long as there are items, every score the true cosine."""
    vectors, groups, ask = catalogue
    search = searched[0]
    queries = ask(7, 4)
    draw = np.random.default_rng(3)
    masks = [draw.random(N_ITEMS) < share for share in (0.0, 0.0005, 0.02, 0.05, 0.1, 0.3, 0.9, 1.0)]
    masks += [groups == group for group in range(0, N_GROUPS, 8)]
    masks += [np.arange(N_ITEMS) == row for row in (0, N_ITEMS - 1)]
    # Only what is farthest from the first query: no list near it holds anything that is allowed.
    far = vectors @ queries[0]
    masks.append(far <= np.quantile(far, 0.2))
    for allowed in masks:
        n_allowed = int(allowed.sum())
        rows, scores = search.find_near(queries, allowed)
        assert rows.shape == (4, min(N_NEAR, n_allowed))
        assert allowed[rows].all()
        for query, line, cosines in zip(queries, rows, scores, strict=True):
            assert len(set(line.tolist())) == len(line)
            assert np.allclose(vectors[line] @ query, cosines, atol=1e-5)
            assert (np.diff(cosines) <= 1e-6).all()
        for k in (1, 10, N_NEAR + 100):
            found = search.find_best(queries, np.array([1, 1, 1, -1]), k, allowed)
            assert len(found.rows) == min(k, n_allowed)
            assert allowed[found.rows].all()
            assert set(found.sentences.tolist()) <= {0, 1, 2}
    assert recall_of(search.find_near(queries[:1], masks[-1])[1],
                     ExactSearch(vectors).find_near(queries[:1], masks[-1])[1], (10, N_NEAR)) >= 0.95  # fmt: skip


def test_what_is_not_a_number_is_searched_exactly(catalogue, searched) -> None:
    rows, _ = searched[0].find_near(np.full((1, DIMENSION), np.nan, dtype=np.float32))
    assert rows.shape == (1, N_NEAR)
    assert searched[0].find_near(np.zeros((0, DIMENSION), dtype=np.float32))[0].shape == (0, N_NEAR)


def test_an_index_without_enough_recall_is_not_kept(tmp_path: Path) -> None:
    """Directions by lot have no neighbourhoods: half of the items hold half of what is near."""
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(4_000, 256)), rng.normal(size=(60, 256))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    sample = Sample(queries.astype(np.float32), {"": None, "half": rng.random(4_000) < 0.5})
    facts = make_index(tmp_path, vectors.astype(np.float32), sample)
    assert facts.recall < MIN_RECALL
    assert facts.file == ""
    assert list(tmp_path.iterdir()) == []
    assert facts.describe().startswith("exact: an index came to a recall of 0.")


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "missing", "other", "dimension", "effort"])
def test_a_damaged_index_is_named(catalogue, searched, tmp_path: Path, harm: str) -> None:
    vectors, _, _ = catalogue
    _, facts, folder = searched
    path = tmp_path / facts.file
    content = bytearray((folder / facts.file).read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[: {"cut": len(content) // 2, "empty": 0}.get(harm, len(content))])
    if harm == "missing":
        path.unlink()
    if harm == "other":  # whole, but of other vectors
        facts = replace(facts, checksum=save_lists(tmp_path, facts.file, train_lists(vectors[:2_000])))
    if harm == "effort":
        facts = replace(facts, n_scanned=0)
    shape = vectors[:, :-1] if harm == "dimension" else vectors
    with pytest.raises(StoreError, match=r"damaged or missing \(.+\); make it again with: bluerec reindex"):
        load_index(path, shape, facts)


def big_world() -> Dataset:
    return make_world(20, 6_000).dataset


def make_big_store(folder: Path, exact_up_to: int = 1_000) -> Path:
    world = make_world(20, 6_000)
    users = sorted(world.tastes)[:12]
    return build_store(
        folder, world.dataset, EMBEDDER, CONFIG, users=users, profiles=make_profiles(world, users),
        exact_up_to=exact_up_to,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_big_store(tmp_path_factory.mktemp("big") / "store")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "store")


def index_files(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.index.faiss")]


def ask_everything(folder: Path, embedder: HashingEmbedder = EMBEDDER) -> dict[str, pl.DataFrame]:
    """Lists of all users and of texts, with and without filters."""
    with Store.open(folder, embedder=embedder) as store:
        shop = Recommender(store)
        users = list(store.user_ids("", 20))
        items = store.catalogue.items_at(range(store.catalogue.n_items))
        price = float(np.median([item.price for item in items if item.price is not None]))
        category = items[0].categories[0]
        made = {}
        for name, options in {
            "plain": {}, "seen too": {"unseen": False}, "cheap": {"max_price": price},
            "category": {"category": category}, "domain": {"domain": items[0].domain},
        }.items():  # fmt: skip
            made[name] = shop.recommend(users, k=20, **options)
            made[f"{name}, text"] = shop.recommend(text="Racing games. Nothing like chess.", k=20, **options)
        kept = {item.item_id: item for item in items}
        for name in ("cheap", "cheap, text"):
            assert all(kept[item_id].price <= price for item_id in made[name]["item_id"])
        for name in ("category", "category, text"):
            assert all(category in kept[item_id].categories for item_id in made[name]["item_id"])
        for user in users:
            seen = {event.item.item_id for event in store.history(user)}
            assert not seen & set(made["plain"].filter(pl.col("user_id") == user)["item_id"])
    return made


def agree(found: dict[str, pl.DataFrame], right: dict[str, pl.DataFrame]) -> float:
    """The share of places whose score is at least that of the last place of the exact list, over all lists."""
    hits = []
    for name, frame in right.items():
        assert (
            found[name]
            .group_by("user_id", maintain_order=True)
            .len()
            .equals(frame.group_by("user_id", maintain_order=True).len())
        )
        last = frame.group_by("user_id").agg(pl.col("score").min().alias("least"))
        joined = found[name].join(last, on="user_id", nulls_equal=True)
        hits += (joined["score"] >= joined["least"] - 1e-5).to_list()
    return float(np.mean(hits))


def test_a_store_above_the_limit_has_an_index_and_the_lists_of_exact_search(folder: Path, tmp_path: Path) -> None:
    with Store.open(folder, embedder=EMBEDDER) as store:
        facts = store.search_facts
        assert isinstance(store.catalogue.search, IndexedSearch)
    assert index_files(folder) == [facts.file]
    assert min(facts.recall, facts.filtered_recall) >= MIN_RECALL
    assert facts.n_queries >= 50
    exact = make_big_store(tmp_path / "exact", exact_up_to=6_000)
    assert index_files(exact) == []
    assert agree(ask_everything(folder), ask_everything(exact)) >= MIN_RECALL


def test_an_edit_is_found_through_the_index(folder: Path) -> None:
    with Store.open(folder, embedder=EMBEDDER) as store:
        item = store.catalogue.items_at([777])[0]
        store.save_edit("u0000", f"More like {item.title} {item.description}.")
        near = store.view("u0000").vectors
        assert near.near_rows.shape == (1, N_NEAR)
        exact = ExactSearch(store.catalogue.vectors).find_near(near.vectors)
        assert recall_of(near.near_scores, exact[1], (10, N_NEAR)) >= MIN_RECALL
        assert store.delete_user("u0000")["texts_found"] == 0


def test_a_damaged_store_is_mended_by_reindex(folder: Path) -> None:
    before = ask_everything(folder)
    path = folder / index_files(folder)[0]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StoreError, match=r"bluerec reindex"):
        Store.open(folder, embedder=EMBEDDER)
    facts = reindex_store(folder, exact_up_to=1_000, embedder=EMBEDDER)
    assert index_files(folder) == [facts.file] != [path.name]
    assert agree(ask_everything(folder), before) >= MIN_RECALL
    assert reindex_store(folder, exact_up_to=6_000).describe() == "exact"
    assert index_files(folder) == []
    assert agree(before, ask_everything(folder)) >= MIN_RECALL


def test_a_rebuild_brings_its_own_index(folder: Path) -> None:
    old = index_files(folder)
    other = HashingEmbedder(20)
    dataset = big_world()
    events = pl.DataFrame(
        {
            "user_id": np.repeat(np.array(dataset.user_ids), np.diff(dataset.user_offsets)),
            "item_id": np.array(dataset.item_ids)[dataset.item_rows],
            "timestamp": dataset.timestamps,
            "rating": dataset.ratings,
        }
    )
    rebuild_store(folder, build_dataset(events, dataset.items.reverse()), other, CONFIG, exact_up_to=1_000)
    made = index_files(folder)
    assert len(made) == 1
    assert made != old
    found = ask_everything(folder, other)
    reindex_store(folder, exact_up_to=6_000)
    assert agree(found, ask_everything(folder, other)) >= MIN_RECALL
    rebuild_store(folder, dataset, EMBEDDER, CONFIG)  # the default limit lies far above
    assert index_files(folder) == []
    ask_everything(folder)


@pytest.mark.parametrize("step", ["make_index", "save_facts"])
def test_a_rebuild_that_ends_in_between_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before, old = ask_everything(folder), index_files(folder)
    real = getattr(building, step)

    def die(*arguments, **options):
        made = real(*arguments, **options)
        if step == "make_index" or "search" in arguments[1]:  # facts are set twice
            raise KeyboardInterrupt
        return made

    monkeypatch.setattr(building, step, die)
    with pytest.raises(KeyboardInterrupt):
        rebuild_store(folder, big_world(), HashingEmbedder(20), CONFIG, exact_up_to=1_000)
    monkeypatch.undo()
    assert set(old) < set(index_files(folder))  # the new one lies there and does not count
    after = ask_everything(folder)
    assert all(after[name].equals(frame) for name, frame in before.items())
    reindex_store(folder, exact_up_to=1_000, embedder=EMBEDDER)
    assert len(index_files(folder)) == 1


def test_a_reindex_that_ends_in_between_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ask_everything(folder)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(indexing, "save_facts", die)
    with pytest.raises(KeyboardInterrupt):
        reindex_store(folder, exact_up_to=1_000, embedder=EMBEDDER)
    monkeypatch.undo()
    after = ask_everything(folder)
    assert all(after[name].equals(frame) for name, frame in before.items())


def test_without_the_library_one_line_names_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    for ask in (
        lambda: make_big_store(tmp_path / "new"),
        lambda: Store.open(folder, embedder=EMBEDDER),
        lambda: reindex_store(folder, exact_up_to=1_000),
        lambda: rebuild_store(folder, big_world(), EMBEDDER, CONFIG, exact_up_to=1_000),
    ):
        with pytest.raises(MissingExtraError, match=r"^faiss-cpu is not installed; run: pip install 'bluerec\[ann\]'$"):
            ask()
    assert not (tmp_path / "new").exists()
    assert reindex_store(folder, exact_up_to=6_000).file == ""  # exact search needs nothing
    ask_everything(folder)


def test_facts_survive_their_text_and_others_are_refused() -> None:
    facts = SearchFacts(10, 0.99, 0.985, 200, "x.index.faiss", 5)
    assert SearchFacts.from_json(facts.as_json()) == facts
    assert SearchFacts.from_json(None) == SearchFacts()
    assert facts.describe() == "an index, recall 0.990, under filters 0.985"
    for text in ("{", json.dumps({"unknown": 1}), "[1]"):
        with pytest.raises(ValueError):
            SearchFacts.from_json(text)
