"""What the page shows of one user, gathered from the store and the recommender."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bluerec.serving.access import Service
from bluerec.serving.changes import Move, Piece, diff_words, find_gone, find_moves
from bluerec.serving.ports import Job, ProfileVersion, Reasoned
from bluerec.serving.projection import HEIGHT, WIDTH, Point, PointKind, place_points
from bluerec.types import Event, Float32Array, Item

N_SHOWN = 10
N_EVENTS = 40
N_VERSIONS = 20


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the profile, whether a person wrote it, and the items behind it."""

    text: str
    locked: bool
    evidence: Sequence[Item]


@dataclass(frozen=True, slots=True)
class UserPage:
    """Everything on the page of one user; `draft` is the text in the editor, `moves` the list that it brings."""

    user_id: str
    profile: ProfileVersion
    draft: str
    sentences: Sequence[Sentence]
    moves: Sequence[Move]
    gone: Sequence[Reasoned]
    events: Sequence[Event]
    n_earlier: int
    versions: Sequence[tuple[ProfileVersion, Sequence[Piece]]]
    points: Sequence[Point]
    map_size: tuple[int, int]
    job: Job | None
    max_characters: int

    @property
    def is_preview(self) -> bool:
        return self.draft != self.profile.text


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions side by side: their texts, and the lists that they bring."""

    user_id: str
    before: ProfileVersion
    after: ProfileVersion
    pieces: Sequence[Piece]
    list_before: Sequence[Reasoned]
    moves: Sequence[Move]


def build_user_page(service: Service, user_id: str, profile: ProfileVersion, draft: str | None = None) -> UserPage:
    """The page of a user; with a draft, the list is the draft's, and moves are against the saved profile's."""
    saved = list(service.recommender.recommend_with_reasons(user_id=user_id, k=N_SHOWN))
    text = profile.text if draft is None else draft
    shown = saved if text == profile.text else _recommend(service, user_id, text)
    events = list(service.store.history(user_id))
    versions = sorted(service.store.versions(user_id), key=lambda version: version.version)[-N_VERSIONS:]
    texts = ["", *(version.text for version in versions)]
    diffs = [diff_words(old, version.text) for old, version in zip(texts, versions, strict=False)]
    jobs = service.store.jobs(user_id)
    return UserPage(
        user_id=user_id,
        profile=profile,
        draft=text,
        sentences=_explain(service, user_id, profile),
        moves=find_moves(saved, shown),
        gone=find_gone(saved, shown),
        events=events[::-1][:N_EVENTS],
        n_earlier=max(0, len(events) - N_EVENTS),
        versions=list(zip(versions, diffs, strict=True))[::-1],
        points=_map(service, profile, events, shown),
        map_size=(WIDTH, HEIGHT),
        job=jobs[-1] if jobs else None,
        max_characters=service.limits.max_profile_characters,
    )


def build_preview(service: Service, user_id: str, profile: ProfileVersion, text: str) -> dict[str, Any]:
    """The list that a text would bring, as plain data for the script."""
    saved = list(service.recommender.recommend_with_reasons(user_id=user_id, k=N_SHOWN))
    shown = saved if text == profile.text else _recommend(service, user_id, text)
    gone = find_gone(saved, shown)
    return {
        "rows": [
            {
                "rank": move.row.rank,
                "item_id": move.row.item.item_id,
                "title": move.row.item.title or "untitled item",
                "sentence": move.row.sentence,
                "evidence": [item.title for item in move.row.evidence],
                "direction": move.direction,
                "move": move.label,
            }
            for move in find_moves(saved, shown)
        ],
        "gone": [{"rank": row.rank, "title": row.item.title or "untitled item"} for row in gone],
        "changed": text != profile.text,
    }


def build_comparison(service: Service, user_id: str, before: ProfileVersion, after: ProfileVersion) -> Comparison:
    """Two versions with the lists that they bring today."""
    old, new = (_recommend(service, user_id, version.text) for version in (before, after))
    return Comparison(user_id, before, after, diff_words(before.text, after.text), old, find_moves(old, new))


def _recommend(service: Service, user_id: str, text: str) -> list[Reasoned]:
    """The list of a text for this user: what they have already is left out, as in their own list."""
    return list(service.recommender.recommend_with_reasons(user_id=user_id, text=text, k=N_SHOWN))


def _explain(service: Service, user_id: str, profile: ProfileVersion) -> list[Sentence]:
    locked = set(profile.locked)
    found = service.recommender.evidence(user_id, profile.sentences)
    return [Sentence(text, text in locked, items) for text, items in zip(profile.sentences, found, strict=True)]


def _map(service: Service, profile: ProfileVersion, events: Sequence[Event], shown: Sequence[Reasoned]) -> list[Point]:
    taken = {event.item.item_id: event.item for event in events[-N_EVENTS:]}
    offered = {row.item.item_id: row.item for row in shown}
    sentences = list(profile.sentences)
    groups: list[tuple[PointKind, Sequence[str], Float32Array]] = [
        ("taken", _titles(taken), service.recommender.item_vectors(list(taken))),
        ("recommended", _titles(offered), service.recommender.item_vectors(list(offered))),
        ("sentence", sentences, service.recommender.embed(sentences, "profile")),
    ]
    return place_points(groups)


def _titles(items: dict[str, Item]) -> list[str]:
    return [item.title or "untitled item" for item in items.values()]
