"""A small store of the synthetic world, with the embedder that hashes words."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bluerec.config import EmbedderConfig
from bluerec.data.profiles import LATEST
from bluerec.data.toy import World, build_world
from bluerec.profiling.embedders import HashingEmbedder
from bluerec.store.building import build_store

CONFIG = EmbedderConfig(model="hashing")
EMBEDDER = HashingEmbedder()


def make_world(n_users: int = 20, n_items: int = 120) -> World:
    return build_world(n_users=n_users, n_items=n_items, seed=1)


def make_profiles(world: World, users: Sequence[str]) -> pl.DataFrame:
    rows = [(user, world.oracle_profile(user), "oracle", LATEST) for user in users]
    return pl.DataFrame(rows, schema=["user_id", "text", "writer", "cutoff"], orient="row")


def make_store(folder: Path, n_users: int = 3, n_items: int = 120) -> Path:
    """Users u0000, u0001, ... with their histories and true tastes."""
    world = make_world(max(n_users, 20), n_items)
    users = sorted(world.tastes)[:n_users]
    return build_store(folder, world.dataset, EMBEDDER, CONFIG, users=users, profiles=make_profiles(world, users))
