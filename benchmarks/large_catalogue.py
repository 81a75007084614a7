"""Search beyond a million items: what the index costs, how fast it is, and what of the exact search it finds.

There are not that many items at hand, so most are made of real ones: the first rows are the real items of the folders
with their real vectors; each further one is a real item's vector, mixed with that of one of its twenty nearest real
neighbours (weight 0 to 1) and with Gaussian noise of length 0.4, and made a unit vector. It has the title, categories
and domain (the name of the folder) of the item that it comes from, and a price by lot. Queries are real: the sentences
of profiles of users of the first folder, by word counts or from a table. Half of the users are in the store, and the
index is measured with them when it is made; what is printed is measured with the others.

    OMP_NUM_THREADS=1 python benchmarks/large_catalogue.py data/games data/beauty --store large
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bluerec.config import EmbedderConfig
from bluerec.data.histories import split_examples
from bluerec.data.profiles import load_profiles
from bluerec.data.tables import Dataset, build_dataset, load_dataset
from bluerec.evaluation.template_profiles import write_template_profiles
from bluerec.profiling.embedders import embed_items, load_embedder
from bluerec.store.building import build_store
from bluerec.store.index import recall_of
from bluerec.store.indexing import reindex_store
from bluerec.store.recommender import Recommender
from bluerec.store.search import ExactSearch
from bluerec.store.sentences import read_sentence, split_sentences
from bluerec.store.store import Store
from bluerec.types import Embedder

N_NEIGHBOURS = 20
NOISE = 0.4
N_TEXTS = 100
BLOCK = 16_384
DEPTHS = (10, 256)


def mix_vectors(real: np.ndarray, n_items: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n_items, dimension) and the real row that each comes from; the first are the real ones themselves."""
    rng = np.random.default_rng(0)
    source = np.concatenate([np.arange(len(real)), rng.integers(0, len(real), n_items - len(real))])
    vectors = np.empty((n_items, real.shape[1]), dtype=np.float32)
    vectors[: len(real)] = real
    near = np.empty((len(real), N_NEIGHBOURS), dtype=np.int64)
    for start in range(0, len(real), BLOCK // 8):
        part = slice(start, start + BLOCK // 8)
        near[part] = np.argpartition(-(real[part] @ real.T), N_NEIGHBOURS, axis=1)[:, :N_NEIGHBOURS]
    for start in range(len(real), n_items, BLOCK):
        rows = source[start : start + BLOCK]
        other = near[rows, rng.integers(0, N_NEIGHBOURS, len(rows))]
        weight = rng.random((len(rows), 1), dtype=np.float32)
        random = rng.standard_normal((len(rows), real.shape[1]), dtype=np.float32)
        random *= noise / np.linalg.norm(random, axis=1, keepdims=True)
        made = (1 - weight) * real[rows] + weight * real[other]
        made = made / np.linalg.norm(made, axis=1, keepdims=True) + random
        vectors[start : start + len(rows)] = made / np.linalg.norm(made, axis=1, keepdims=True)
    return vectors, source


def make_items(folders: list[Path], datasets: list[Dataset], source: np.ndarray) -> pl.DataFrame:
    """The items table of the mixed catalogue."""
    real = pl.concat(
        data.items.select("item_id", "title", "categories").with_columns(domain=pl.lit(folder.name))
        for folder, data in zip(folders, datasets, strict=True)
    )
    rng = np.random.default_rng(1)
    return real[source].with_columns(
        item_id=pl.Series([f"i{row:07d}" for row in range(len(source))]),
        description=pl.lit(""),
        brand=pl.lit(None, pl.String),
        price=pl.Series(rng.uniform(5, 80, len(source)).round(2)),
    )


def make_store(folder: Path, folders: list[Path], embedder: Embedder, texts: pl.DataFrame, options: Any) -> dict:
    """Build the store without an index; what that took."""
    begin = time.perf_counter()
    datasets = [load_dataset(path) for path in folders]
    real = np.concatenate([embed_items(data, embedder) for data in datasets])
    vectors, source = mix_vectors(real, options.items, options.noise)
    users = np.array(texts["user_id"].to_list())
    first = datasets[0]
    rows = [first.user_row_of[user] for user in users]
    counts = [int(first.user_offsets[row + 1] - first.user_offsets[row]) for row in rows]
    taken = np.concatenate([first.item_rows[first.user_offsets[row] : first.user_offsets[row + 1]] for row in rows])
    events = pl.DataFrame(
        {
            "user_id": np.repeat(users, counts),
            "item_id": [f"i{row:07d}" for row in taken],
            "timestamp": np.concatenate([np.arange(count) for count in counts]),
            "rating": np.full(len(taken), 5, dtype=np.float32),
        }
    ).unique(["user_id", "item_id"], keep="first", maintain_order=True)
    dataset = build_dataset(events, make_items(folders, datasets, source))
    made = time.perf_counter()
    build_store(
        folder, dataset, embedder, EmbedderConfig(), profiles=texts, item_vectors=vectors, exact_up_to=options.items
    )
    built = time.perf_counter()
    return {
        "real_items": len(real),
        "nearest_real_cosine": round(float(np.median(_nearest(real))), 3),
        "nearest_made_cosine": round(float(np.median(_nearest(vectors))), 3),
        "made_s": round(made - begin, 1),
        "built_s": round(built - made, 1),
        "built_peak_mb": peak_mb(),
    }


def _nearest(vectors: np.ndarray) -> np.ndarray:
    """Cosine of 200 rows to the nearest other row."""
    rows = np.random.default_rng(2).choice(len(vectors), 200, replace=False)
    cosines = np.concatenate(
        [vectors[start : start + BLOCK] @ vectors[rows].T for start in range(0, len(vectors), BLOCK)]
    )
    cosines[rows, np.arange(len(rows))] = -1
    return cosines.max(axis=0)


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def measure(folder: Path, embedder: Embedder, texts: list[str]) -> dict[str, Any]:
    """Times and recalls of lists for texts that the index was not measured with."""
    begin = time.perf_counter()
    with Store.open(folder, embedder=embedder) as store:
        opened = time.perf_counter() - begin
        indexed, exact = store.catalogue.search, ExactSearch(store.catalogue.vectors)
        cut = [split_sentences(text) for text in texts]
        asked = [
            (
                embedder.embed([read_sentence(sentence).content for sentence in sentences], "profile"),
                np.array([read_sentence(sentence).sign for sentence in sentences]),
            )
            for sentences in cut
        ]
        begin = time.perf_counter()
        filters: dict[str, Any] = {
            "": None,
            **{f"domain {name}": store.catalogue.allow(domain=name) for name in store.catalogue._domains},
            "price, a tenth": store.catalogue.allow(max_price=12.5),
            "price, a half": store.catalogue.allow(max_price=42.5),
        }
        first_filter = time.perf_counter() - begin
        lists = {
            name or "none": compare(
                len(store.catalogue.vectors) if allowed is None else int(allowed.sum()),
                lambda vectors, signs, allowed=allowed: indexed.find_best(vectors, signs, 10, allowed),
                lambda vectors, signs, allowed=allowed: exact.find_best(vectors, signs, 10, allowed),
                asked,
            )
            for name, allowed in filters.items()
        }
        sentences = np.concatenate([vectors for vectors, _ in asked])[:200]
        near = {
            name or "none": round(
                recall_of(indexed.find_near(sentences, allowed)[1], exact.find_near(sentences, allowed)[1], DEPTHS), 4
            )
            for name, allowed in filters.items()
        }
        recommender = Recommender(store)
        users = store.user_ids("", len(texts))
        stored = [timed(lambda user=user: recommender.recommend(user, k=10)) for user in users]
        return {
            "opened_s": round(opened, 2),
            "filters_first_asked_s": round(first_filter, 2),
            "sentences_a_text": round(len(np.concatenate([signs for _, signs in asked])) / len(asked), 2),
            "lists": lists,
            "recall_of_256_neighbours": near,
            "stored_profile_ms": percentiles(stored),
            "peak_mb": peak_mb(),
            "search": asdict(store.search_facts),
        }


def compare(n_allowed: int, fast: Callable[..., Any], exact: Callable[..., Any], asked: list) -> dict[str, Any]:
    """The top 10 of both searches for the same sentences."""
    fast_ms, exact_ms, hits = [], [], []
    for vectors, signs in asked:
        begin = time.perf_counter()
        found = fast(vectors, signs)
        middle = time.perf_counter()
        right = exact(vectors, signs)
        fast_ms.append((middle - begin) * 1000)
        exact_ms.append((time.perf_counter() - middle) * 1000)
        hits.append(float(np.mean(found.scores >= right.scores[-1] - 1e-6)) * len(found.rows) / len(right.rows))
    return {
        "allowed": n_allowed,
        "recall_at_10": round(float(np.mean(hits)), 4),
        "index_ms": percentiles(fast_ms),
        "exact_ms": percentiles(exact_ms),
    }


def percentiles(values: list[float]) -> dict[str, float]:
    return {name: round(float(np.percentile(values, share)), 1) for name, share in (("p50", 50), ("p99", 99))}


def timed(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path, help="prepared folders; users are those of the first")
    parser.add_argument("--store", type=Path, required=True, help="made here, or measured again if it is there")
    parser.add_argument("--items", type=int, default=1_200_000)
    parser.add_argument("--users", type=int, default=400, help="half of them in the store, half for the queries")
    parser.add_argument("--profiles", type=Path, help="a profile table of these users (word counts without)")
    parser.add_argument("--noise", type=float, default=NOISE)
    options = parser.parse_args()
    embedder = load_embedder(EmbedderConfig())
    if options.profiles:
        table = load_profiles(options.profiles)
    else:
        table = write_template_profiles(
            split_examples(load_dataset(options.data[0])).select("all", max_users=options.users)
        )
    table = table.unique("user_id", keep="last").sort("user_id").head(options.users)
    half = len(table) // 2
    facts: dict[str, Any] = {"items": options.items, "noise": options.noise, "cpus": len(os.sched_getaffinity(0))}
    if not options.store.exists():
        facts |= make_store(options.store, options.data, embedder, table[:half], options)
        print(json.dumps(facts), flush=True)
    begin = time.perf_counter()
    reindex_store(options.store, exact_up_to=options.items - 1, embedder=embedder)
    facts |= {"indexed_s": round(time.perf_counter() - begin, 1), "indexed_peak_mb": peak_mb()}
    print(json.dumps(facts), flush=True)
    facts |= {
        "load": round(os.getloadavg()[0], 1),
        **measure(options.store, embedder, table["text"][half:].to_list()[:N_TEXTS]),
    }
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
