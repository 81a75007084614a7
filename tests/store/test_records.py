"""What is written is what is read: numbers that SQLite keeps as others, through every door by which they come."""

import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluerec.errors import DataError
from bluerec.store.building import build_store, rebuild_store
from bluerec.store.database import SCHEMA
from bluerec.store.records import EVENT_COLUMNS, ITEM_COLUMNS, pack_event, pack_item, unpack_event, unpack_item
from bluerec.store.refreshing import refresh_store
from bluerec.store.store import Store
from bluerec.store.transactions import insert_events
from bluerec.types import Interaction, Item
from store.stores import CONFIG, EMBEDDER, make_store, make_world

LATER = 2**33


def kept(number: float | None) -> float | None:
    """What SQLite gives back for a number."""
    return None if number is None or math.isnan(number) else number + 0.0


@given(number=st.none() | st.floats(allow_nan=True, allow_infinity=True))
def test_every_number_is_read_as_it_was_written(number: float | None) -> None:
    with closing(sqlite3.connect(":memory:")) as writer:
        writer.executescript(SCHEMA)
        writer.execute(f"INSERT INTO items VALUES ({'?, ' * 8}?)", pack_item(0, Item("i", "Chess", price=number)))
        writer.execute("INSERT INTO users (user_row, user_id, history_digest) VALUES (1, 'u', 'none')")
        insert_events(writer, [pack_event(1, 0, Interaction("u", "i", LATER, number))])
        item = unpack_item(writer.execute(f"SELECT {ITEM_COLUMNS} FROM items").fetchone())
        event = unpack_event(writer.execute(f"SELECT {EVENT_COLUMNS} FROM interactions").fetchone(), "u", item)
    assert repr(item.price) == repr(event.interaction.rating) == repr(kept(number))


@pytest.mark.parametrize("rating", [-0.0, math.nan, np.float32("nan"), 5])
def test_no_rating_makes_a_history_damaged(tmp_path: Path, rating: float) -> None:
    events = pl.DataFrame({"user_id": ["u0001"], "item_id": ["i0006"], "timestamp": [LATER], "rating": [float(rating)]})
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        assert store.add_interactions("u0000", [{"item_id": "i0005", "timestamp": LATER, "rating": rating}]) == 1
        done = refresh_store(store, lambda asked: [("Likes chess.", "writer") for _ in asked], events)
        assert (done.n_events_added, done.n_rewritten, done.failed) == (1, 2, {})
        found = [store.history(user)[-1].interaction.rating for user in ("u0000", "u0001")]
    assert [repr(one) for one in found] == [repr(kept(float(rating)))] * 2


@pytest.mark.parametrize("number", [-0.0, math.nan])
def test_no_number_of_a_prepared_folder_makes_a_store_damaged(tmp_path: Path, number: float) -> None:
    dataset = make_world().dataset
    dataset = replace(
        dataset,
        ratings=np.full_like(dataset.ratings, number),
        items=dataset.items.with_columns(price=pl.lit(number, pl.Float32)),
    )
    folder = build_store(tmp_path / "store", dataset, EMBEDDER, CONFIG, users=["u0000"])
    rebuild_store(folder, dataset, EMBEDDER, CONFIG)
    with Store.open(folder, embedder=EMBEDDER) as store:
        event = store.history("u0000")[-1]
    assert repr(event.interaction.rating) == repr(event.item.price) == repr(kept(number))


@pytest.mark.parametrize("number", [math.inf, -math.inf])
def test_an_infinite_number_is_refused_at_every_door(tmp_path: Path, number: float) -> None:
    new = {"item_id": "i0005", "timestamp": LATER, "rating": number}
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        before = store.export_user("u0000")
        with pytest.raises(DataError, match=r"'i0005'.* infinite.* leave it out"):
            store.add_interactions("u0000", [new])
        table = pl.DataFrame([new | {"user_id": "u0000", "rating": 1.0}, new | {"user_id": "u0001"}])
        with pytest.raises(DataError, match=r"1 ratings are infinite.*bluerec prepare"):
            refresh_store(store, lambda asked: [], table)
        assert store.export_user("u0000") == before
    dataset = make_world().dataset
    wrong_rating = replace(dataset, ratings=np.full_like(dataset.ratings, number))
    wrong_price = replace(dataset, items=dataset.items.with_columns(price=pl.lit(number, pl.Float32)))
    for wrong in (wrong_rating, wrong_price):
        with pytest.raises(DataError, match="infinite"):
            build_store(tmp_path / "other", wrong, EMBEDDER, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
