"""A small store of the synthetic world, with the embedder that hashes words: what the suites maltreat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bluerec.config import EmbedderConfig
from bluerec.data.profiles import LATEST
from bluerec.data.tables import Dataset
from bluerec.data.toy import World, build_world
from bluerec.profiling.embedders import HashingEmbedder
from bluerec.store.building import build_store
from bluerec.store.store import Store

CONFIG = EmbedderConfig(model="hashing")
EMBEDDER = HashingEmbedder()
N_ITEMS = 120


def make_world(n_users: int = 20, n_items: int = N_ITEMS) -> World:
    """Users u0000, ... and items i0000, ..., always the same."""
    return build_world(n_users=n_users, n_items=n_items, seed=1)


def make_profiles(world: World, users: Sequence[str]) -> pl.DataFrame:
    """The true tastes in words, as a profile table as far as a store reads it."""
    rows = [(user, world.oracle_profile(user), "oracle", LATEST) for user in users]
    return pl.DataFrame(rows, schema=["user_id", "text", "writer", "cutoff"], orient="row")


def make_store(folder: Path, n_users: int = 3, *, dataset: Dataset | None = None) -> Path:
    """A store with users u0000, u0001, ..., their histories and profiles."""
    world = make_world(max(n_users, 20))
    users = sorted(world.tastes)[:n_users]
    profiles = make_profiles(world, users)
    return build_store(folder, dataset or world.dataset, EMBEDDER, CONFIG, users=users, profiles=profiles)


def open_store(folder: Path, *, durable: bool = True) -> Store:
    """The store with its embedder.

    One that is not `durable` does not wait for the disk at each commit, which is most of the time of a write: for
    suites that ask what is written and not whether it survives.
    """
    store = Store.open(folder, embedder=EMBEDDER)
    if not durable:
        store._database._writer.execute("PRAGMA synchronous = OFF")
    return store
