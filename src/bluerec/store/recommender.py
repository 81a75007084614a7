"""Lists of items for a user or a text, each item with the sentence that brought it and the history behind that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bluerec.data.wishes import read_contents, read_signs, read_wish
from bluerec.errors import DataError
from bluerec.store.records import StoredVersion, UserView
from bluerec.store.search import NOTHING, BoolArray, Found, search_near
from bluerec.store.sentences import MAX_SENTENCES, clean_text, join_sentences, quote_title, split_sentences
from bluerec.store.store import Store
from bluerec.types import Embedder, Float32Array, IntArray, Item, TextKind

N_EVIDENCE = 2
# Below this cosine an item of the history is no reason for a sentence.
MIN_EVIDENCE_COSINE = 0.3
# Longer lists are not made at once.
MAX_SHORT_LIST = 20
_NO_ROWS = np.zeros(0, dtype=np.int64)
LIST_SCHEMA = pl.Schema({"user_id": pl.String, "item_id": pl.String, "rank": pl.Int64, "score": pl.Float32})


@dataclass(frozen=True, slots=True)
class Recommendation:
    """An item of a list, counted from 1: the sentence that brought it, and what of the history it rests on."""

    item: Item
    rank: int
    score: float
    sentence: str
    evidence: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class _List:
    """A list by rows, with the sentences and their vectors."""

    found: Found
    sentences: Sequence[str]
    vectors: Float32Array


class Recommender:
    """Searches a store. The same lists as text and history bring them in the service, for Python."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._catalogue = store.catalogue

    @classmethod
    def open(cls, folder: str | Path, *, embedder: Embedder | None = None, offline: bool = False) -> Recommender:
        """Open the store in a folder. See `Store.open` for what is refused."""
        return cls(Store.open(folder, embedder=embedder, offline=offline))

    def recommend(
        self,
        user_id: str | Sequence[str] | None = None,
        *,
        text: str | None = None,
        k: int = 10,
        domain: str | None = None,
        category: str | None = None,
        max_price: float | None = None,
        unseen: bool = True,
    ) -> pl.DataFrame:
        """The best `k` items of a user, of several, or of a text: user_id, item_id, rank (1 is best), score.

        `score` is a cosine, less half of the cosine to what the profile does not want. Filters are applied in the
        search, so that a list is as long as there are items. Raises `DataError` for a user without a profile.
        """
        if (user_id is None) == (text is None):
            raise DataError("recommend for a user or for a text: give user_id, or text=")
        users = [user_id] if user_id is None or isinstance(user_id, str) else list(user_id)
        allowed = self._catalogue.allow(domain=domain, category=category, max_price=max_price)
        frames = [self._frame(user, text, k, allowed, unseen) for user in users]
        return pl.concat(frames) if frames else pl.DataFrame(schema=LIST_SCHEMA)

    def recommend_with_reasons(
        self,
        user_id: str | None = None,
        text: str | None = None,
        k: int = 10,
        *,
        domain: str | None = None,
        category: str | None = None,
        max_price: float | None = None,
        unseen: bool = True,
    ) -> list[Recommendation]:
        """The same as rows with reasons. With a text beside the user, the text counts and not their profile.

        Empty where no sentence says what is wanted.
        """
        allowed = self._catalogue.allow(domain=domain, category=category, max_price=max_price)
        view = self.store.view(user_id) if user_id is not None else None
        return self._reason(self._search(view, text, k, allowed, unseen), view)

    def recommend_from_profile(
        self,
        user_id: str,
        k: int = 10,
        *,
        domain: str | None = None,
        category: str | None = None,
        max_price: float | None = None,
        unseen: bool = True,
    ) -> tuple[int, list[Recommendation]] | None:
        """The list of a user's profile with the profile's version, both of one moment; None without a profile."""
        allowed = self._catalogue.allow(domain=domain, category=category, max_price=max_price)
        view = self.store.view(user_id)
        if view.profile is None:
            return None
        return view.profile.version, self._reason(self._search(view, None, k, allowed, unseen), view)

    def recommend_at_once(
        self, user_id: str, k: int = 10, *, unseen: bool = True
    ) -> tuple[int, list[Recommendation]] | None:
        """The same without filters, where it takes no more than some milliseconds, whatever the catalogue's size.

        None without a profile, for a list beyond `MAX_SHORT_LIST`, for a long history or profile (`queries.is_small`),
        and where the items that are kept near its sentences do not suffice.
        """
        view = self.store.small_view(user_id) if k <= MAX_SHORT_LIST else None
        if view is None or view.profile is None:
            return None
        if not (read_signs(view.profile.sentences) > 0).any():
            return view.profile.version, []
        made = self._search_near(view, view.profile, k, None, view.item_rows if unseen else _NO_ROWS)
        return None if made is None else (view.profile.version, self._reason(made, view))

    def _reason(self, made: _List, view: UserView | None) -> list[Recommendation]:
        """The items of a list with what brought them."""
        items = self._catalogue.items_at(made.found.rows)
        used = sorted(set(made.found.sentences.tolist()))
        behind = self._find_evidence(view.item_rows if view else None, made.vectors[used])
        evidence = dict(zip(used, behind, strict=True))
        return [
            Recommendation(item, rank, float(score), made.sentences[place], tuple(evidence[place]))
            for rank, (item, score, place) in enumerate(
                zip(items, made.found.scores, made.found.sentences.tolist(), strict=True), start=1
            )
        ]

    def sentences(self, text: str) -> list[str]:
        """How a text is cut for the search."""
        return split_sentences(clean_text(text))

    def evidence(self, user_id: str, sentences: Sequence[str]) -> list[list[Item]]:
        """The items of the user's history behind each sentence, nearest first; none behind what is not wanted."""
        view = self.store.view(user_id)
        found = self._find_evidence(view.item_rows, self._vectors_of(view, sentences))
        return [items if read_wish(sentence).sign > 0 else [] for sentence, items in zip(sentences, found, strict=True)]

    def sentence_vectors(self, user_id: str | None, sentences: Sequence[str]) -> Float32Array:
        """Vectors of sentences (n_sentences, dimension); for those of the user's profile no model is needed."""
        return self._vectors_of(self.store.view(user_id) if user_id is not None else None, sentences)

    def _vectors_of(self, view: UserView | None, sentences: Sequence[str]) -> Float32Array:
        stored = view.profile.sentences if view and view.profile else ()
        known = dict(zip(stored, view.vectors.vectors, strict=True)) if view and stored else {}
        missing = [sentence for sentence in sentences if sentence not in known]
        if missing:
            known |= dict(zip(missing, self.embed(missing, "profile"), strict=True))
        if not sentences:
            return self._catalogue.vectors[:0]
        return np.stack([known[sentence] for sentence in sentences])

    def more_like(self, text: str, item_id: str) -> str:
        """The profile with the wish for more of an item.

        Raises `DataError` for an item that is unknown or has no name, and where the profile has no room.
        """
        return self._steer(text, "More like", item_id)

    def not_this(self, text: str, item_id: str) -> str:
        """The profile with the wish for nothing like an item; raises what `more_like` does."""
        return self._steer(text, "Nothing like", item_id)

    def embed(self, texts: Sequence[str], kind: TextKind) -> Float32Array:
        """Vectors of sentences as the search sees them, or of other texts: (n_texts, dimension)."""
        contents = read_contents(texts) if kind == "profile" else texts
        return self.store.embedder.embed(contents, kind)

    def item_vectors(self, item_ids: Sequence[str]) -> Float32Array:
        """Vectors of items, (n_items, dimension). Raises `DataError` for an unknown one."""
        rows = self._catalogue.rows_of(item_ids)
        unknown = next((item_id for item_id in item_ids if item_id not in rows), None)
        if unknown is not None:
            raise DataError(f"item {unknown!r} is not in the store's catalogue; index it first: bluerec index")
        return self._catalogue.vectors[[rows[item_id] for item_id in item_ids]]

    def _frame(
        self, user_id: str | None, text: str | None, k: int, allowed: BoolArray | None, unseen: bool
    ) -> pl.DataFrame:
        view = self.store.view(user_id) if user_id is not None else None
        if view is not None and view.profile is None:
            raise DataError(f"user {user_id!r} has no profile in {self.store.folder}; run: bluerec refresh STORE")
        made = self._search(view, text, k, allowed, unseen)
        items = self._catalogue.items_at(made.found.rows)
        columns = {
            "user_id": [user_id] * len(items),
            "item_id": [item.item_id for item in items],
            "rank": list(range(1, len(items) + 1)),
            "score": made.found.scores,
        }
        return pl.DataFrame(columns, schema=LIST_SCHEMA)

    def _search(
        self, view: UserView | None, text: str | None, k: int, allowed: BoolArray | None, unseen: bool
    ) -> _List:
        seen = view.item_rows if view is not None and unseen else _NO_ROWS
        if text is None:
            return self._search_stored(view, k, allowed, seen)
        sentences = self.sentences(text)
        if not sentences:
            return _List(NOTHING, [], self._catalogue.vectors[:0])
        vectors = self.embed(sentences, "profile")
        found = self._catalogue.search.find_best(vectors, read_signs(sentences), k, self._mask(allowed, seen))
        return _List(found, sentences, vectors)

    def _search_stored(self, view: UserView | None, k: int, allowed: BoolArray | None, seen: IntArray) -> _List:
        if view is None or view.profile is None:
            return _List(NOTHING, [], self._catalogue.vectors[:0])
        made = self._search_near(view, view.profile, k, allowed, seen)
        if made is not None:
            return made
        sentences, vectors = view.profile.sentences, view.vectors.vectors
        found = self._catalogue.search.find_best(vectors, read_signs(sentences), k, self._mask(allowed, seen))
        return _List(found, sentences, vectors)

    def _search_near(
        self, view: UserView, profile: StoredVersion, k: int, allowed: BoolArray | None, seen: IntArray
    ) -> _List | None:
        """From the items that are kept near the sentences; None where these do not suffice."""
        stored, masked = view.vectors, seen
        if allowed is not None:
            near = np.unique(stored.near_rows)
            masked = np.concatenate([seen, near[~allowed[near]]])
        found = search_near(self._catalogue.vectors, stored, read_signs(profile.sentences), k, masked)
        return None if found is None else _List(found, profile.sentences, stored.vectors)

    def _mask(self, allowed: BoolArray | None, seen: IntArray) -> BoolArray | None:
        if allowed is None and not len(seen):
            return None
        mask = np.ones(self._catalogue.n_items, dtype=bool) if allowed is None else allowed.copy()
        mask[seen] = False
        return mask

    def _find_evidence(self, item_rows: IntArray | None, vectors: Float32Array) -> list[list[Item]]:
        if item_rows is None or not len(item_rows) or not len(vectors):
            return [[] for _ in vectors]
        rows = np.unique(item_rows)
        cosines = vectors @ self._catalogue.vectors[rows].T  # (n_sentences, n_rows)
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :N_EVIDENCE]
        kept = [
            [int(rows[place]) for place in places if line[place] >= MIN_EVIDENCE_COSINE]
            for places, line in zip(best, cosines, strict=True)
        ]
        items = dict.fromkeys(row for some in kept for row in some)
        known = dict(zip(items, self._catalogue.items_at(list(items)), strict=True))
        return [[known[row] for row in some] for some in kept]

    def _steer(self, text: str, wish: str, item_id: str) -> str:
        item = self._catalogue.item(item_id)
        if item is None:
            raise DataError(f"item {item_id!r} is not in the store's catalogue; index it first: bluerec index")
        name = item.title or item.brand or (item.categories[-1] if item.categories else "")
        if not name.strip():
            raise DataError("the item has no title, brand or category to name it by; say it in words instead")
        sentences = split_sentences(text)
        if len(sentences) >= MAX_SENTENCES:  # one more would become a part of the last
            raise DataError(f"a profile has at most {MAX_SENTENCES} sentences; take one out first")
        return join_sentences([*sentences, f"{wish} {quote_title(name)}."])
