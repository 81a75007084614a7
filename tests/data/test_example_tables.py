"""Which events may be counted under each protocol, and examples without others."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bluerec.data.histories import PROTOCOLS, ExampleTable, split_examples
from bluerec.data.tables import ITEMS_SCHEMA, Dataset, build_dataset
from bluerec.data.toy import build_world
from bluerec.evaluation.rankers import CooccurrenceRanker, PopularityRanker

FIRST_SECOND = 1_600_000_000
WORLD = build_world(n_users=120, n_items=60, seed=3).dataset


def make_dataset(taken: dict[str, list[tuple[str, int]]]) -> Dataset:
    """Users who take items at seconds after a first one."""
    rows = [(user, item, FIRST_SECOND + time, None) for user, events in taken.items() for item, time in events]
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "rating": pl.Float32}
    items = sorted({item for events in taken.values() for item, _ in events})
    blank = {name: pl.Series([None] * len(items), dtype=kind) for name, kind in ITEMS_SCHEMA.items()}
    return build_dataset(pl.DataFrame(rows, schema=schema, orient="row"), pl.DataFrame(blank | {"item_id": items}))


def change_targets(table: ExampleTable) -> ExampleTable:
    """The same examples with other targets."""
    changed = table.dataset.item_rows.copy()
    changed[table.target_event] = (changed[table.target_event] + 1) % table.dataset.n_items
    return replace(table, dataset=replace(table.dataset, item_rows=changed))


def test_under_global_time_what_is_before_the_first_cut_counts_but_no_target() -> None:
    """The first cut is at second 76; x has one early event, which is the target of no example."""
    taken = {"u": [("a", 0), ("b", 10), ("c", 20), ("a", 100)], "v": [("a", 30), ("c", 40)], "x": [("b", 50)]}
    late = {f"w{place}": [("a", 60), ("b", 70), ("c", 80 + place)] for place in range(2)}
    dataset = make_dataset(taken | late)
    table = split_examples(dataset, "global-time")
    assert int(np.quantile(dataset.timestamps, 0.8)) == FIRST_SECOND + 76
    counted = [
        (dataset.user_ids[user], dataset.item_ids[dataset.item_rows[event]])
        for user, (start, stop) in enumerate(zip(dataset.user_offsets, dataset.user_offsets[1:], strict=False))
        for event in range(start, stop)
        if table.countable[event]
    ]
    assert counted == [("u", "a"), ("u", "b"), ("v", "a"), ("w0", "a"), ("w1", "a"), ("x", "b")]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_counts_do_not_know_the_targets(protocol: str, split: str) -> None:
    table = split_examples(WORLD, protocol).select(split)
    assert len(table)
    for build in (PopularityRanker, CooccurrenceRanker):
        np.testing.assert_array_equal(build(change_targets(table)).score(table), build(table).score(table))


def test_under_leave_one_out_all_events_before_the_targets_count() -> None:
    table = split_examples(WORLD)
    last = np.repeat(WORLD.timestamps[WORLD.user_offsets[1:] - 1], np.diff(WORLD.user_offsets))
    np.testing.assert_array_equal(table.countable, WORLD.timestamps < last)


def test_examples_without_others() -> None:
    table = split_examples(WORLD)
    some = table.take(np.array([4, 0, 9]))
    rest = table.without(some)
    assert rest.example_ids == [example_id for example_id in table.example_ids if example_id not in some.example_ids]
    assert len(table.without(table)) == 0
    assert table.without(table.without(table)).example_ids == table.example_ids
