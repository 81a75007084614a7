"""The names of all items, for counting their words; whatever became of some."""

import sqlite3
from pathlib import Path

import pytest

from bluerec.store import catalogue
from bluerec.store.store import Store
from bluerec.types import Item

from .stores import EMBEDDER, make_store


def test_the_store_may_be_read_while_names_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_NAMES_AT_ONCE", 7)
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        names = store.catalogue.names()
        ids = {next(names).item_id, *(store.catalogue.items_at([row])[0].item_id for row in (1, 2))}
        assert len(ids | {item.item_id for item in names}) == 120


def test_names_are_those_of_all_items_and_damaged_rows_are_left_out(tmp_path: Path) -> None:
    folder = make_store(tmp_path / "store")
    with Store.open(folder, embedder=EMBEDDER) as store:
        names = {item.item_id: item for item in store.catalogue.names()}
        assert len(names) == store.catalogue.n_items == 120
        whole = store.catalogue.items_at([0])[0]
    assert names[whole.item_id] == Item(whole.item_id, whole.title, categories=whole.categories, brand=whole.brand)
    with sqlite3.connect(folder / "store.sqlite") as connection:
        connection.execute("UPDATE items SET categories = '[\"' WHERE item_row = 0")
        connection.execute("UPDATE items SET categories = '\"games\"' WHERE item_row = 1")
        connection.execute("UPDATE items SET categories = ? WHERE item_row = 3", ("[" * 100_000,))
        connection.execute("UPDATE items SET title = CAST(x'C3285A' AS TEXT) WHERE item_row = 2")
    connection.close()
    with Store.open(folder, embedder=EMBEDDER) as store:
        assert len(list(store.catalogue.names())) == 117
