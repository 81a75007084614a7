"""Full ranking against the bare matrix product: what masking, counting and the user vectors cost on top.

    python benchmarks/ranking.py [--users 50000] [--items 17000] [--dimension 384]

Both sides score the same users against the same items in float32 with the same number of threads, in one process. The
bare side multiplies in the block size that is fastest for it. Prints JSON; `ratio` is ranking over product.
"""

import argparse
import json
import time

import numpy as np
import polars as pl

from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.tables import ITEMS_SCHEMA, build_dataset
from bluerec.evaluation.protocol import CHUNK_SIZE, rank_targets
from bluerec.evaluation.vector_rankers import ItemSpace, VectorRanker, history_queries

EVENTS_PER_USER = 9
BARE_BLOCKS = (CHUNK_SIZE, 1024, 4096)
TURN = 2048  # users


def make_examples(n_users: int, n_items: int, seed: int) -> ExampleTable:
    """Users with random events, the last of which is the target."""
    generator = np.random.default_rng(seed)
    n_events = n_users * EVENTS_PER_USER
    events = pl.DataFrame(
        {
            "user_id": np.repeat([f"u{user:06d}" for user in range(n_users)], EVENTS_PER_USER),
            "item_id": [f"i{item}" for item in generator.integers(n_items, size=n_events)],
            "timestamp": np.tile(np.arange(EVENTS_PER_USER), n_users),
            "rating": pl.repeat(None, n_events, dtype=pl.Float32, eager=True),
        }
    )
    blank = {name: pl.Series([None] * n_items, dtype=kind) for name, kind in ITEMS_SCHEMA.items()}
    names = [f"i{item}" for item in range(n_items)]
    return split_examples(build_dataset(events, pl.DataFrame(blank | {"item_id": names, "title": names})))


def time_product(queries: np.ndarray, items: np.ndarray, block: int) -> float:
    """Seconds for queries (n_users, d) times items (n_items, d), nothing kept."""
    start = time.perf_counter()
    for row in range(0, len(queries), block):
        queries[row : row + block] @ items.T
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--items", type=int, default=17_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()

    table = make_examples(wanted.users, wanted.items, wanted.seed)
    generator = np.random.default_rng(wanted.seed)
    space = ItemSpace.centred(generator.standard_normal((wanted.items, wanted.dimension), dtype=np.float32))
    ranker = VectorRanker("harmonic-centred", space, history_queries(space, "harmonic"))
    queries = generator.standard_normal((wanted.users, wanted.dimension), dtype=np.float32)

    time_product(queries[:4096], space.vectors, CHUNK_SIZE)  # threads and memory wake up
    block = min(BARE_BLOCKS, key=lambda rows: time_product(queries[:8192], space.vectors, rows))
    product_seconds = ranking_seconds = 0.0
    # Turn by turn, so that whatever else runs on the machine slows both sides alike.
    for start in range(0, wanted.users, TURN):
        rows = slice(start, start + TURN)
        product_seconds += time_product(queries[rows], space.vectors, block)
        part = table.take(np.arange(wanted.users)[rows])
        begun = time.perf_counter()
        rank_targets(part, [ranker], ("full",))
        ranking_seconds += time.perf_counter() - begun
    measured = {
        "users": wanted.users,
        "items": wanted.items,
        "dimension": wanted.dimension,
        "product_block": block,
        "product_seconds": round(product_seconds, 2),
        "ranking_seconds": round(ranking_seconds, 2),
        "ratio": round(ranking_seconds / product_seconds, 2),
        "users_per_second": round(wanted.users / ranking_seconds),
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
