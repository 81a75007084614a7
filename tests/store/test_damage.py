"""Damaged files give the right data or one named error; another embedder and another process are refused by name."""

import re
import shutil
from pathlib import Path

import pytest

from bluerec.config import EmbedderConfig
from bluerec.data.tables import build_dataset
from bluerec.errors import BluerecError, ConfigError, DataError, StoreError
from bluerec.profiling.embedders import HashingEmbedder
from bluerec.selftest.damage import read_everything
from bluerec.store.building import build_store, rebuild_store
from bluerec.store.recommender import Recommender
from bluerec.store.store import Store
from store.stores import CONFIG, EMBEDDER, make_store, make_world


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object]:
    folder = make_store(tmp_path_factory.mktemp("whole") / "store")
    return folder, read_everything(folder)


def read_or_fail(folder: Path) -> tuple[object, str | None]:
    try:
        return read_everything(folder), None
    except StoreError as error:
        return None, str(error)


@pytest.mark.parametrize("wanted", [b"u0001", b"i0005", b"oracle", b"all-ids"])
def test_damaged_names_never_lead_to_others(whole: tuple[Path, object], tmp_path: Path, wanted: bytes) -> None:
    folder, expected = whole
    content = (folder / "store.sqlite").read_bytes()
    pattern = rb"[ui]\d{4}" if wanted == b"all-ids" else re.escape(wanted)
    places = [match.start() + 4 for match in re.finditer(pattern, content)]
    assert places
    for place in places[:: max(1, len(places) // 40)]:
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        damaged = bytearray(content)
        damaged[place] ^= 1
        (copy / "store.sqlite").write_bytes(damaged)
        found, message = read_or_fail(copy)
        assert message is not None or found == expected, place
        shutil.rmtree(copy)


def test_missing_files_are_named(whole: tuple[Path, object], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="bluerec index"):
        Store.open(tmp_path)
    for name in ("store.sqlite", "items-*.vectors.npy"):
        copy = tmp_path / "copy"
        shutil.copytree(whole[0], copy)
        next(copy.glob(name)).unlink()
        with pytest.raises(StoreError, match="bluerec index"):
            Store.open(copy, embedder=EMBEDDER)
        shutil.rmtree(copy)


def test_another_embedder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = make_store(tmp_path / "store")
    with pytest.raises(StoreError, match=r"made with embedder hashing-256, not with hashing-64; .*--rebuild"):
        Store.open(folder, embedder=HashingEmbedder(64))
    with Store.open(folder) as store:  # the one that the store names
        assert store.save_edit("u0000", "Chess.").version == 2


def test_a_rebuild_changes_the_vectors_and_keeps_people(tmp_path: Path) -> None:
    folder = make_store(tmp_path / "store")
    with Store.open(folder, embedder=EMBEDDER) as store:
        store.save_edit("u0001", "Racing games. Nothing like chess.")
        before = [store.export_user(user) for user in store.user_ids("", 10)]
    dataset = make_world().dataset
    shuffled = build_dataset(dataset_events(dataset), dataset.items.reverse())
    other = HashingEmbedder(64)
    rebuild_store(folder, shuffled, other, CONFIG)
    with Store.open(folder, embedder=other) as store:
        assert [store.export_user(user) for user in store.user_ids("", 10)] == before
        rows = Recommender(store).recommend_with_reasons("u0001", k=120)
        assert len(rows) == 120 - len({event.item.item_id for event in store.history("u0001")})
        assert store.stale_users() == []
    assert len(list(folder.glob("*.npy"))) == 1
    with pytest.raises(StoreError, match="hashing-64"):
        Store.open(folder, embedder=EMBEDDER)


def test_a_rebuild_without_an_item_of_a_history_is_refused(tmp_path: Path) -> None:
    folder = make_store(tmp_path / "store")
    before = read_everything(folder)
    dataset = make_world().dataset
    events = dataset_events(dataset)
    taken = events.filter(events["user_id"] == "u0000")["item_id"][0]
    fewer = build_dataset(
        events.filter(events["item_id"] != taken), dataset.items.filter(dataset.items["item_id"] != taken)
    )
    with pytest.raises(DataError, match="lacks 1 item"):
        rebuild_store(folder, fewer, EMBEDDER, CONFIG)
    assert read_everything(folder) == before


def change_first(store: Store, user: str, change: str) -> None:
    """Something of the first item in a history is another than was written."""
    taken = store.history(user)[0].interaction.item_id
    with store.writing() as writer:
        where = "item_row = (SELECT item_row FROM items WHERE item_id = ?)"
        assert writer.execute(f"UPDATE {change} WHERE {where}", (taken,)).rowcount


def test_a_rebuild_takes_over_no_damaged_history(tmp_path: Path) -> None:
    """Packed anew with a checksum that fits, what was damaged would count as whole."""
    folder = make_store(tmp_path / "store")
    with Store.open(folder, embedder=EMBEDDER) as store:
        change_first(store, "u0001", "interactions SET rating = 7.5")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"damaged \(interactions: .* its checksum, user row 2"):
            rebuild_store(folder, make_world().dataset, EMBEDDER, CONFIG)
    with Store.open(folder, embedder=EMBEDDER) as store, pytest.raises(StoreError, match="damaged"):
        store.history("u0001")


def test_a_rebuild_mends_a_damaged_catalogue(tmp_path: Path) -> None:
    folder = make_store(tmp_path / "store")
    with Store.open(folder, embedder=EMBEDDER) as store:
        before = store.export_user("u0001")
    with Store.open(folder, embedder=EMBEDDER) as store:
        change_first(store, "u0001", "items SET title = 'Other'")
    rebuild_store(folder, make_world().dataset, EMBEDDER, CONFIG)
    with Store.open(folder, embedder=EMBEDDER) as store:
        assert store.export_user("u0001") == before


def dataset_events(dataset):
    import numpy as np
    import polars as pl

    users = np.repeat(np.array(dataset.user_ids), np.diff(dataset.user_offsets))
    items = np.array(dataset.item_ids)[dataset.item_rows]
    return pl.DataFrame(
        {"user_id": users, "item_id": items, "timestamp": dataset.timestamps, "rating": dataset.ratings}
    )


def test_a_store_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    world = make_world()

    class Failing(HashingEmbedder):
        def embed(self, texts, kind):
            if kind == "profile":
                raise ConfigError("planted")
            return super().embed(texts, kind)

    from store.stores import make_profiles

    with pytest.raises(BluerecError, match="planted"):
        build_store(
            tmp_path / "store", world.dataset, Failing(), EmbedderConfig(model="hashing"),
            profiles=make_profiles(world, ["u0000"]),
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    make_store(tmp_path / "store")
    with pytest.raises(ConfigError, match="not empty"):
        make_store(tmp_path / "store")


def test_unknown_items_and_empty_texts_are_refused(tmp_path: Path) -> None:
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        with pytest.raises(DataError, match="nowhere"):
            store.add_interactions("u0000", [{"item_id": "nowhere", "timestamp": 1}])
        for text in ("", " \n", "\u200b\u202e\x1b"):
            with pytest.raises(DataError, match="text"):
                store.save_edit("u0000", text)
        assert store.save_edit("u0000", "Ch\u202eess\x1b[31m \U000e0041").text == "Chess"
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.profile("u0000")
