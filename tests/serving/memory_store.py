"""A legible store and recommender in memory: the service's own tests need no database, only this behaviour."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from bluerec.data.sentences import split_sentences
from bluerec.errors import DataError
from bluerec.profiling.embedders import HashingEmbedder, render_item_text
from bluerec.types import Event, Float32Array, Interaction, Item


@dataclass(frozen=True)
class Version:
    version: int
    text: str
    sentences: tuple[str, ...]
    writer: str
    created_at: float
    edited: bool
    locked: tuple[str, ...]
    offered: str | None = None


@dataclass(frozen=True)
class QueuedJob:
    job_id: str
    user_id: str
    state: str
    created_at: float
    error: str | None = None


@dataclass(frozen=True)
class Row:
    item: Item
    rank: int
    sentence: str
    evidence: tuple[Item, ...]


@dataclass
class MemoryStore:
    """Everything in dictionaries; `broken` makes every read fail as a damaged disk would."""

    items: dict[str, Item]
    profiles: dict[str, list[Version]] = field(default_factory=dict)
    events: dict[str, list[Event]] = field(default_factory=dict)
    queue: list[QueuedJob] = field(default_factory=list)
    broken: Exception | None = None
    delay: float = 0.0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def profile(self, user_id: str) -> Version | None:
        if self.broken:
            raise self.broken
        time.sleep(self.delay)
        versions = self.profiles.get(user_id)
        return versions[-1] if versions else None

    def versions(self, user_id: str) -> list[Version]:
        return list(self.profiles.get(user_id, ()))

    def save_edit(self, user_id: str, text: str) -> Version:
        known = set(self.profiles[user_id][-1].sentences) if user_id in self.profiles else set()
        kept = set(self.profiles[user_id][-1].locked) if user_id in self.profiles else set()
        locked = tuple(s for s in split_sentences(text) if s not in known or s in kept)
        return self._append(user_id, text, "person", True, locked)

    def save_written(self, user_id: str, text: str, writer: str, job_id: str | None = None) -> Version:
        return self._append(user_id, text, writer, False, ())

    def revert(self, user_id: str, version: int) -> Version:
        old = self.profiles[user_id][version - 1]
        return self._append(user_id, old.text, old.writer, old.edited, old.locked)

    def _append(self, user_id: str, text: str, writer: str, edited: bool, locked: tuple[str, ...]) -> Version:
        with self.lock:
            versions = self.profiles.setdefault(user_id, [])
            made = Version(
                len(versions) + 1, text, tuple(split_sentences(text)), writer, 1.7e9 + len(versions), edited, locked
            )
            versions.append(made)
            return made

    def add_interactions(self, user_id: str, rows: Sequence[Mapping[str, Any]]) -> int:
        unknown = next((row["item_id"] for row in rows if row["item_id"] not in self.items), None)
        if unknown is not None:
            raise DataError(f"item {unknown!r} is not in the store's catalogue; index it first: bluerec index")
        for row in rows:
            event = Interaction(user_id=user_id, **row)
            self.events.setdefault(user_id, []).append(Event(event, self.items[row["item_id"]]))
        return len(rows)

    def history(self, user_id: str) -> list[Event]:
        return list(self.events.get(user_id, ()))

    def n_open_jobs(self) -> int:
        return sum(job.state in ("queued", "running") for job in self.queue)

    def delete_user(self, user_id: str) -> dict[str, Any]:
        versions, events = self.profiles.pop(user_id, []), self.events.pop(user_id, [])
        self.queue = [job for job in self.queue if job.user_id != user_id]
        return {"versions_removed": len(versions), "interactions_removed": len(events), "seconds": 0.0}

    def export_user(self, user_id: str) -> dict[str, Any]:
        return {
            "user_id": user_id,
            "versions": [version.text for version in self.versions(user_id)],
            "history": [event.item.item_id for event in self.history(user_id)],
            "jobs": [asdict(job) for job in self.jobs(user_id)],
        }

    def user_ids(self, prefix: str, limit: int) -> list[str]:
        if self.broken:
            raise self.broken
        return sorted(user for user in self.profiles if user.startswith(prefix))[:limit]

    def item(self, item_id: str) -> Item | None:
        return self.items.get(item_id)

    def enqueue(self, user_id: str) -> QueuedJob:
        with self.lock:
            waiting = next((job for job in self.jobs(user_id) if job.state == "queued"), None)
            if waiting:
                return waiting
            job = QueuedJob(f"job-{len(self.queue) + 1}", user_id, "queued", 1.7e9)
            self.queue.append(job)
            return job

    def next_job(self) -> QueuedJob | None:
        return next((job for job in self.queue if job.state in ("queued", "running")), None)

    def finish_job(self, job_id: str, error: str | None = None) -> None:
        with self.lock:
            state = "failed" if error else "done"
            self.queue = [replace(j, state=state, error=error) if j.job_id == job_id else j for j in self.queue]

    def jobs(self, user_id: str | None = None) -> list[QueuedJob]:
        return [job for job in self.queue if user_id in (None, job.user_id)]


class MemoryRecommender:
    """Exact search by the best sentence over hashed words."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.embedder = HashingEmbedder()
        self.ids = sorted(store.items)
        self.vectors = self.embedder.embed([render_item_text(store.items[i]) for i in self.ids], "item")

    def recommend_with_reasons(
        self, user_id: str | None = None, text: str | None = None, k: int = 10, **filters: Any
    ) -> list[Row]:
        profile = self.store.profile(user_id) if user_id else None
        sentences = split_sentences(text) if text else list(profile.sentences) if profile else []
        if not sentences:
            return []
        seen = (
            {event.item.item_id for event in self.store.history(user_id or "")} if filters.get("unseen", True) else ()
        )
        scores = self.vectors @ self.embedder.embed(sentences, "profile").T
        order = [row for row in np.argsort(-scores.max(axis=1), kind="stable") if self.ids[row] not in seen]
        price = filters.get("max_price")
        items = [(row, self.store.items[self.ids[row]]) for row in order]
        kept = [(row, item) for row, item in items if price is None or (item.price or 0) <= price][:k]
        evidence = dict(zip(sentences, self.evidence(user_id or "", sentences), strict=True))
        best = [sentences[int(scores[row].argmax())] for row, _ in kept]
        return [Row(item, n, s, tuple(evidence[s])) for n, ((_, item), s) in enumerate(zip(kept, best, strict=True), 1)]

    def recommend_from_profile(self, user_id: str, k: int = 10, **filters: Any) -> tuple[int, list[Row]] | None:
        profile = self.store.profile(user_id)
        return None if profile is None else (profile.version, self.recommend_with_reasons(user_id, k=k, **filters))

    def recommend_at_once(self, user_id: str, k: int = 10, *, unseen: bool = True) -> None:
        """Nothing is kept near a sentence here."""

    def sentences(self, text: str) -> list[str]:
        return split_sentences(text)

    def evidence(self, user_id: str, sentences: Sequence[str]) -> list[list[Item]]:
        items = [event.item for event in self.store.history(user_id)]
        if not items:
            return [[] for _ in sentences]
        scores = self.embedder.embed(list(sentences), "profile") @ self.item_vectors([i.item_id for i in items]).T
        return [[items[row] for row in np.argsort(-line, kind="stable")[:2] if line[row] > 0] for line in scores]

    def more_like(self, text: str, item_id: str) -> str:
        return f"{text} More like {self.store.items[item_id].title}."

    def not_this(self, text: str, item_id: str) -> str:
        return f"{text} Nothing like {self.store.items[item_id].title}."

    def sentence_vectors(self, user_id: str | None, sentences: Sequence[str]) -> Float32Array:
        return self.embedder.embed(list(sentences), "profile")

    def item_vectors(self, item_ids: Sequence[str]) -> Float32Array:
        return self.vectors[[self.ids.index(item_id) for item_id in item_ids]]


def build_memory_store(n_users: int = 3) -> MemoryStore:
    """A part of the synthetic world, its true tastes as profiles."""
    from bluerec.data.toy import build_world

    world = build_world(n_users=max(n_users, 20), n_items=120, seed=1)
    items = [world.dataset.item(row) for row in range(world.dataset.n_items)]
    store = MemoryStore({item.item_id: item for item in items})
    for user_id in sorted(world.tastes)[:n_users]:
        rows = world.interactions.filter(world.interactions["user_id"] == user_id).sort("timestamp")
        store.add_interactions(user_id, [{"item_id": r["item_id"], "timestamp": r["timestamp"], "rating": r["rating"]}
                                         for r in rows.iter_rows(named=True)])  # fmt: skip
        store.save_written(user_id, world.oracle_profile(user_id), "SmolLM2-135M-Instruct")
    return store
