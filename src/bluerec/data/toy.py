"""A synthetic world with text, whose users' true tastes are known.

An imaginary shop sells games. Each game has a genre, a platform and a maker, told in its title, categories, brand and
description. Each user has a taste: a main and a second genre, a platform and a maker. It drifts: from time to time the
second genre becomes the main one and a new second genre comes in. Most events follow the taste of their moment, some
only popularity. So the last items say more than the first, no item says it all, and the taste at the moment of the
target, which `World.oracle_profile` puts into words, is the best profile that can be written.

Everything derives from one seed, and no name is of a real product.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bluerec.data.histories import ExampleTable
from bluerec.data.profiles import PROFILES_SCHEMA
from bluerec.data.tables import (
    INTERACTIONS_FILE,
    INTERACTIONS_SCHEMA,
    ITEMS_FILE,
    ITEMS_SCHEMA,
    REVIEW_COLUMNS,
    Dataset,
    build_dataset,
)
from bluerec.data.toy_words import BLAME, GENRES, MAKERS, PLATFORMS, PRAISE
from bluerec.errors import ConfigError, DataError
from bluerec.runs import atomic_path, read_json, write_json
from bluerec.types import IntArray, Profile

WORLD_FILE = "world.json"
MIN_EVENTS = 4
# How much more often an item is taken for each trait that suits the user, as log odds.
GENRE_PULL = 8.0
PLATFORM_PULL = 3.0
MAKER_PULL = 2.0
MAIN_GENRE_SHARE = 0.8
POPULARITY_EXPONENT = 0.5
_FIRST_SECOND = 1_600_000_000
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Taste:
    """What a user likes at one moment."""

    main_genre: str
    second_genre: str
    platform: str
    maker: str


@dataclass(frozen=True)
class World:
    """A data set together with the truth about its users: `tastes[user_id]` is the taste at the last event."""

    dataset: Dataset
    interactions: pl.DataFrame
    tastes: dict[str, Taste]
    settings: dict[str, float]

    def oracle_profile(self, user_id: str) -> str:
        """The best text about a user: the true taste in words. Raises `DataError` for an unknown user."""
        if user_id not in self.tastes:
            raise DataError(f"user {user_id!r} does not live in this world; its users are u0000, u0001, ...")
        taste = self.tastes[user_id]
        main, second = (next(g for g in GENRES if g.name == name) for name in (taste.main_genre, taste.second_genre))
        return (
            f"{main.shelf} for the {taste.platform} by {taste.maker}: {', '.join(main.themes)}. "
            f"Sometimes {second.shelf}."
        )


@dataclass(frozen=True)
class _Catalogue:
    """Traits of the items as arrays of shape (n_items,): positions in GENRES, PLATFORMS and MAKERS, and popularity."""

    genres: IntArray
    platforms: IntArray
    makers: IntArray
    log_popularity: np.ndarray
    table: pl.DataFrame


def build_world(
    *,
    n_users: int = 600,
    n_items: int = 900,
    mean_events: float = 9.0,
    drift: float = 0.12,
    noise: float = 0.2,
    seed: int = 0,
) -> World:
    """Build a world; the same arguments always give the same one.

    `mean_events` is the mean number of events per user (at least `MIN_EVENTS` each), `drift` the chance that a taste
    moves before an event, `noise` the share of events that follow popularity alone. Raises `ConfigError` for sizes
    that make no world.
    """
    settings = {
        "n_users": n_users, "n_items": n_items, "mean_events": mean_events,
        "drift": drift, "noise": noise, "seed": seed,
    }  # fmt: skip
    _check_settings(n_users, n_items, mean_events, drift, noise)
    item_rng, user_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    catalogue = _build_catalogue(n_items, item_rng)
    width = max(4, len(str(n_users - 1)))
    tastes: dict[str, Taste] = {}
    rows: list[tuple] = []
    for user in range(n_users):
        user_id = f"u{user:0{width}d}"
        n_events = min(MIN_EVENTS + int(user_rng.poisson(mean_events - MIN_EVENTS)), n_items)
        tastes[user_id] = _live(user_id, n_events, drift, noise, catalogue, user_rng, rows)
    interactions = pl.DataFrame(rows, schema=INTERACTIONS_SCHEMA, orient="row")
    reviews = interactions.lazy().select("user_id", "item_id", "timestamp", *REVIEW_COLUMNS)
    dataset = build_dataset(interactions, catalogue.table, reviews=reviews)
    return World(dataset, interactions, tastes, settings)


def save_world(world: World, folder: str | Path) -> Path:
    """Write a world as a prepared folder, marked as synthetic. Raises `DataError` where that cannot be written."""
    folder = Path(folder)
    with atomic_path(folder / ITEMS_FILE) as partial:
        world.dataset.items.write_parquet(partial)
    with atomic_path(folder / INTERACTIONS_FILE) as partial:
        world.interactions.write_parquet(partial)
    write_json(folder / WORLD_FILE, {"synthetic": True, "settings": world.settings})
    return folder


def build_oracle_profiles(world: World, table: ExampleTable) -> pl.DataFrame:
    """The true tastes as a profile table, one row per example of this world."""
    rows = []
    for row, (example_id, user_id) in enumerate(zip(table.example_ids, table.user_ids, strict=True)):
        profile = Profile(user_id, world.oracle_profile(user_id), int(table.cutoffs[row]), "oracle", "truth")
        n_events = int(table.history_stop[row] - table.history_start[row])
        who = (profile.profile_id, example_id, user_id, str(table.splits[row]), profile.cutoff)
        rows.append((*who, profile.text, profile.writer, profile.template, n_events, 0, None))
    return pl.DataFrame(rows, schema=PROFILES_SCHEMA, orient="row")


def is_synthetic(folder: str | Path | None) -> bool:
    """True if a prepared folder was written by `save_world`."""
    if folder is None or not (Path(folder) / WORLD_FILE).is_file():
        return False
    return bool(read_json(Path(folder) / WORLD_FILE, "synthetic world").get("synthetic"))


def _check_settings(n_users: int, n_items: int, mean_events: float, drift: float, noise: float) -> None:
    if n_users < 1 or n_items < len(GENRES) * MIN_EVENTS:
        raise ConfigError(
            f"toy world: {n_users} users and {n_items} items; use at least 1 and {len(GENRES) * MIN_EVENTS}"
        )
    if mean_events < MIN_EVENTS or not 0 <= drift <= 1 or not 0 <= noise <= 1:
        raise ConfigError(
            f"toy world: mean_events={mean_events} must be at least {MIN_EVENTS}, drift={drift} and noise={noise} "
            "shares between 0 and 1"
        )


def _build_catalogue(n_items: int, rng: np.random.Generator) -> _Catalogue:
    genres = rng.permutation(np.arange(n_items) % len(GENRES))
    platforms = rng.integers(len(PLATFORMS), size=n_items)
    makers = rng.integers(len(MAKERS), size=n_items)
    log_popularity = -POPULARITY_EXPONENT * np.log(1.0 + rng.permutation(n_items))
    prices = rng.integers(1, 13, size=n_items) * 5 - 0.01
    titles: set[str] = set()
    rows = []
    for item in range(n_items):
        genre, platform, maker = GENRES[genres[item]], PLATFORMS[platforms[item]], MAKERS[makers[item]]
        title = _invent_title(genre.first_words, genre.second_words, titles, rng)
        themes = rng.choice(genre.themes, size=2, replace=False)
        description = f"A {genre.name} game about {themes[0]} and {themes[1]}."
        rows.append((f"i{item:04d}", title, description, [genre.shelf, platform], maker, float(prices[item]), "games"))
    table = pl.DataFrame(rows, schema=ITEMS_SCHEMA, orient="row")
    return _Catalogue(genres, platforms, makers, log_popularity, table)


def _invent_title(first: tuple[str, ...], second: tuple[str, ...], taken: set[str], rng: np.random.Generator) -> str:
    """A title that no other item has: a sequel gets the next free number."""
    name = f"{rng.choice(first)} {rng.choice(second)}"
    title, number = name, 1
    while title in taken:
        number += 1
        title = f"{name} {number}"
    taken.add(title)
    return title


def _live(
    user_id: str,
    n_events: int,
    drift: float,
    noise: float,
    catalogue: _Catalogue,
    rng: np.random.Generator,
    rows: list[tuple],
) -> Taste:
    """Append the events of one user to `rows`, and return the taste at the last of them."""
    main, second = (int(genre) for genre in rng.choice(len(GENRES), size=2, replace=False))
    platform, maker = int(rng.integers(len(PLATFORMS))), int(rng.integers(len(MAKERS)))
    free = np.ones(len(catalogue.genres), dtype=bool)
    second_of_day = _FIRST_SECOND + int(rng.integers(200 * _DAY))
    for _ in range(n_events):
        if rng.random() < drift:
            others = [genre for genre in range(len(GENRES)) if genre not in (main, second)]
            main, second = second, int(rng.choice(others))
        follows_taste = bool(rng.random() >= noise)
        item = _choose_item(follows_taste, main, second, platform, maker, catalogue, free, rng)
        free[item] = False
        second_of_day += int(rng.integers(_DAY // 4, 40 * _DAY))
        liked = catalogue.genres[item] in (main, second)
        rows.append((user_id, f"i{item:04d}", second_of_day, *_judge(int(catalogue.genres[item]), liked, rng)))
    return Taste(GENRES[main].name, GENRES[second].name, PLATFORMS[platform], MAKERS[maker])


def _choose_item(
    follows_taste: bool,
    main: int,
    second: int,
    platform: int,
    maker: int,
    catalogue: _Catalogue,
    free: np.ndarray,
    rng: np.random.Generator,
) -> int:
    log_odds = catalogue.log_popularity.copy()
    if follows_taste:
        genre = main if rng.random() < MAIN_GENRE_SHARE else second
        log_odds += GENRE_PULL * (catalogue.genres == genre)
        log_odds += PLATFORM_PULL * (catalogue.platforms == platform)
        log_odds += MAKER_PULL * (catalogue.makers == maker)
    log_odds[~free] = -np.inf
    # The largest of log odds plus Gumbel noise is a draw from their softmax.
    return int(np.argmax(log_odds + rng.gumbel(size=len(log_odds))))


def _judge(genre: int, liked: bool, rng: np.random.Generator) -> tuple[float, str, str]:
    """Rating, review title and review text."""
    rating = float(rng.integers(4, 6) if liked else rng.integers(1, 4))
    opening = str(rng.choice(PRAISE if liked else BLAME))
    theme = str(rng.choice(GENRES[genre].themes))
    text = f"I like {theme}, and this has it." if liked else f"I do not care for {theme}."
    return rating, opening, text
