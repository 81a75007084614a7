"""The names of all items, for counting their words; whatever became of some."""

import sqlite3
from pathlib import Path

from bluerec.store.store import Store
from bluerec.types import Item

from .stores import EMBEDDER, make_store


def test_names_are_those_of_all_items_and_damaged_rows_are_left_out(tmp_path: Path) -> None:
    folder = make_store(tmp_path / "store")
    with Store.open(folder, embedder=EMBEDDER) as store:
        names = {item.item_id: item for item in store.catalogue.names()}
        assert len(names) == store.catalogue.n_items == 120
        whole = store.catalogue.items_at([0])[0]
    assert names[whole.item_id] == Item(whole.item_id, whole.title, categories=whole.categories, brand=whole.brand)
    with sqlite3.connect(folder / "store.sqlite") as connection:
        connection.execute("UPDATE items SET categories = '[\"' WHERE item_row = 0")
        connection.execute("UPDATE items SET categories = '7' WHERE item_row = 1")
        connection.execute("UPDATE items SET title = CAST(x'C3285A' AS TEXT) WHERE item_row = 2")
    connection.close()
    with Store.open(folder, embedder=EMBEDDER) as store:
        assert len(list(store.catalogue.names())) == 118
