"""Which items a ranker has to order for an example: some sampled negatives and the target, or the whole catalogue.

Negatives are read off an endless sequence of item rows that belongs to the example: a hash of the seed, the example's
id and the position. Repeated and forbidden items are skipped. So a pool depends neither on which other examples are
evaluated nor on their order, and the pool of 100 is the beginning of the pool of 500.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bluerec.data.hashing import hash_name
from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError
from bluerec.types import Candidates, IntArray

FULL_POOL = "full"
# Fills the end of a row where the catalogue has fewer negatives than asked for.
NO_ITEM = -1

# Constants of splitmix64 (Steele, Lea and Flood 2014).
_STEP = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def parse_pools(text: str) -> tuple[str, ...]:
    """The pools named in a list such as `100,500,full`, smallest first, each once.

    Raises `ConfigError` for anything but `full` and counts of at least 1.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    wrong = [name for name in names if name != FULL_POOL and not (name.isdecimal() and int(name) > 0)]
    if wrong or not names:
        raise ConfigError(
            f"--pools {text!r}: {wrong[0] if wrong else 'nothing'!r} is no pool; "
            f"give numbers of negatives or {FULL_POOL}, e.g. --pools 100,{FULL_POOL}"
        )
    sampled = sorted({int(name) for name in names if name != FULL_POOL})
    return tuple(map(str, sampled)) + ((FULL_POOL,) if FULL_POOL in names else ())


def sample_negatives(table: ExampleTable, n_negatives: int, *, seed: int = 0, mask_seen: bool = True) -> IntArray:
    """Item rows (n_examples, n_negatives), uniform over the catalogue without the target and without repetition.

    With `mask_seen` no item of the history is among them. Where the catalogue has too few items, a row ends in
    `NO_ITEM`.
    """
    negatives = np.full((len(table), n_negatives), NO_ITEM, dtype=np.int64)
    allowed = np.ones(table.dataset.n_items, dtype=np.bool_)
    for row, (example_id, target) in enumerate(zip(table.example_ids, table.target_rows, strict=True)):
        forbidden = np.append(table.history_rows(row), target) if mask_seen else target
        allowed[forbidden] = False
        drawn = _draw(example_seed(example_id, seed), allowed, n_negatives)
        negatives[row, : len(drawn)] = drawn
        allowed[forbidden] = True
    return negatives


def find_seen(table: ExampleTable) -> tuple[IntArray, IntArray]:
    """Where an (n_examples, n_items) matrix holds items of the history: rows and columns, each place once.

    The target is never among them, even where the user had taken it before.
    """
    events, _ = table.history_events()
    rows = np.repeat(np.arange(len(table)), table.history_stop - table.history_start)
    n_items = table.dataset.n_items
    places = np.unique(rows * n_items + table.dataset.item_rows[events])
    rows, items = places // n_items, places % n_items
    unseen = items != table.target_rows[rows]
    return rows[unseen], items[unseen]


def build_candidates(table: ExampleTable, pool: str, *, seed: int = 0, mask_seen: bool = True) -> Iterator[Candidates]:
    """The candidates of each example as ids, in an order that does not give the target away."""
    item_ids = table.dataset.item_ids
    for row, example_id in enumerate(table.example_ids):
        one = table.take(np.array([row]))
        target = int(one.target_rows[0])
        if pool == FULL_POOL:
            offered = np.ones(len(item_ids), dtype=np.bool_)
            offered[find_seen(one)[1]] = not mask_seen
            rows = np.flatnonzero(offered)
        else:
            negatives = sample_negatives(one, int(pool), seed=seed, mask_seen=mask_seen)[0]
            rows = np.sort(np.append(negatives[negatives != NO_ITEM], target))
        yield Candidates(example_id, tuple(item_ids[item] for item in rows), item_ids[target])


def example_seed(example_id: str, seed: int) -> int:
    """A 64-bit number that depends on the example and the seed alone."""
    return hash_name(f"pool:{seed}:{example_id}")


def _draw(start: int, allowed: NDArray[np.bool_], n_wanted: int) -> IntArray:
    """The first `n_wanted` different allowed items of a sequence; all allowed ones if there are no more."""
    n_wanted = min(n_wanted, int(np.count_nonzero(allowed)))
    n_drawn = n_wanted + n_wanted // 8 + 16
    while True:
        drawn = (_hash_positions(start, n_drawn) % np.uint64(len(allowed))).astype(np.int64)
        usable = drawn[allowed[drawn]]
        first = np.sort(np.unique(usable, return_index=True)[1])
        if len(first) >= n_wanted:
            return usable[first[:n_wanted]]
        n_drawn *= 2


def _hash_positions(start: int, n: int) -> NDArray[np.uint64]:
    """The first `n` numbers of splitmix64: the same on every machine and with every version of NumPy."""
    numbers = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(_STEP) + np.uint64(start)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(_MULTIPLIERS[0])
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(_MULTIPLIERS[1])
    return numbers ^ (numbers >> np.uint64(31))
