"""What the page shows of one user, gathered from the store and the recommender."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bluerec.data.wishes import read_wish
from bluerec.profiling.prompts import count_withheld
from bluerec.serving.access import Service
from bluerec.serving.changes import Move, Piece, diff_words, find_gone, find_moves
from bluerec.serving.ports import Job, ProfileVersion, Reasoned
from bluerec.serving.projection import HEIGHT, WIDTH, Point, fit_plane
from bluerec.serving.timeline import Timeline, build_timeline
from bluerec.types import Event, Item

N_SHOWN = 10
N_EVENTS = 60
N_ON_LINE = 500
N_VERSIONS = 20


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a profile: whether a person wrote it, whether it is saved yet, whether what it names is wanted, and
    the items of the history behind it; behind what is not wanted there are none."""

    text: str
    locked: bool
    is_new: bool
    is_wanted: bool
    evidence: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Place:
    """A place of a list: the item, how it moved, and the place of its sentence in the profile, or None."""

    move: Move
    tone: int | None

    @property
    def row(self) -> Reasoned:
        return self.move.row


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says and brings: its sentences, its list (moves are against the saved profile's), and the map."""

    text: str
    changed: bool
    sentences: Sequence[Sentence]
    places: Sequence[Place]
    gone: Sequence[Reasoned]
    points: Sequence[Point]
    map_size: tuple[int, int] = (WIDTH, HEIGHT)

    @property
    def nothing(self) -> str:
        """Why the list is empty, if it is."""
        if self.sentences and not any(sentence.is_wanted for sentence in self.sentences):
            return "This says only what is to be kept away. Say what is wanted, and a list stands here."
        return "Nothing in the catalogue fits."

    @property
    def n_moved(self) -> int:
        """How many places of the list are another item's than before."""
        return sum(place.move.direction != "same" for place in self.places)


@dataclass(frozen=True, slots=True)
class HistoryView:
    """The latest events of a history, latest first; `n_withheld` of them have a text that no writer reads."""

    timeline: Timeline
    events: Sequence[Event]
    n_events: int
    n_withheld: int


@dataclass(frozen=True, slots=True)
class UserPage:
    """Everything on the page of one user."""

    user_id: str
    profile: ProfileVersion
    reading: Reading
    history: HistoryView
    versions: Sequence[tuple[ProfileVersion, Sequence[Piece]]]
    trained: tuple[ProfileVersion, ProfileVersion] | None
    job: Job | None
    max_characters: int


@dataclass(frozen=True, slots=True)
class BarePage:
    """The page of a user for whom no profile has been written yet."""

    user_id: str
    history: HistoryView
    job: Job | None
    max_characters: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions side by side: their texts, and the lists that they bring."""

    user_id: str
    before: ProfileVersion
    after: ProfileVersion
    pieces: Sequence[Piece]
    list_before: Sequence[Place]
    list_after: Sequence[Place]
    n_shared: int
    is_training: bool


def build_user_page(service: Service, user_id: str, profile: ProfileVersion, draft: str | None = None) -> UserPage:
    """The page of a user; with a draft, it is the draft that is read, beside the saved profile."""
    events = list(service.store.history(user_id))
    versions = sorted(service.store.versions(user_id), key=lambda version: version.version)
    jobs = service.store.jobs(user_id)
    return UserPage(
        user_id=user_id,
        profile=profile,
        reading=build_reading(service, user_id, profile, profile.text if draft is None else draft, events),
        history=_view_history(events),
        versions=_diff_versions(versions)[::-1],
        trained=find_training(versions),
        job=jobs[-1] if jobs else None,
        max_characters=service.limits.max_profile_characters,
    )


def build_bare_page(service: Service, user_id: str) -> BarePage:
    """The page of a user without a profile: what there is of them until then."""
    jobs = service.store.jobs(user_id)
    return BarePage(
        user_id=user_id,
        history=_view_history(list(service.store.history(user_id))),
        job=jobs[-1] if jobs else None,
        max_characters=service.limits.max_profile_characters,
    )


def _view_history(events: Sequence[Event]) -> HistoryView:
    timeline = build_timeline(events[-N_ON_LINE:])
    return HistoryView(timeline, events[::-1][:N_EVENTS], len(events), count_withheld(events))


def build_reading(
    service: Service, user_id: str, profile: ProfileVersion, text: str, events: Sequence[Event] | None = None
) -> Reading:
    """What a text of this user says and brings, compared with the saved profile."""
    events = list(service.store.history(user_id)) if events is None else events
    saved = list(service.recommender.recommend_with_reasons(user_id=user_id, k=N_SHOWN))
    changed = text != profile.text
    shown = _recommend(service, user_id, text) if changed else saved
    texts = service.recommender.sentences(text) if changed else list(profile.sentences)
    found = service.recommender.evidence(user_id, texts)
    locked, known = set(profile.locked), set(profile.sentences)
    sentences = [
        _read_sentence(text, items, locked=text in locked, is_new=text not in known)
        for text, items in zip(texts, found, strict=True)
    ]
    places = _place(find_moves(saved, shown), texts)
    points = _map(service, user_id, events, saved, list(profile.sentences), places, texts)
    return Reading(text, changed, sentences, places, find_gone(saved, shown), points)


def build_free_reading(service: Service, text: str) -> Reading:
    """What a text says and brings where there is no user behind it."""
    texts = service.recommender.sentences(text)
    shown = list(service.recommender.recommend_with_reasons(text=text, k=N_SHOWN))
    places = _place(find_moves(shown, shown), texts)
    points = _map(service, None, [], shown, texts, places, texts)
    return Reading(text, False, [_read_sentence(text) for text in texts], places, [], points)


def show_reading(reading: Reading) -> dict[str, Any]:
    """A reading as plain data for the script."""
    return {
        "text": reading.text,
        "changed": reading.changed,
        "moved": reading.n_moved,
        "nothing": reading.nothing,
        "sentences": [
            {
                "text": sentence.text,
                "locked": sentence.locked,
                "new": sentence.is_new,
                "wanted": sentence.is_wanted,
                "evidence": [name_item(item) for item in sentence.evidence],
            }
            for sentence in reading.sentences
        ],
        "rows": [
            {
                "rank": place.row.rank,
                "item_id": place.row.item.item_id,
                "title": name_item(place.row.item),
                "about": describe_item(place.row.item),
                "tone": place.tone,
                "evidence": [name_item(item) for item in place.row.evidence],
                "direction": place.move.direction,
                "move": place.move.label,
            }
            for place in reading.places
        ],
        "gone": [{"rank": row.rank, "title": name_item(row.item)} for row in reading.gone],
        "points": [asdict(point) for point in reading.points],
    }


def build_comparison(service: Service, user_id: str, before: ProfileVersion, after: ProfileVersion) -> Comparison:
    """Two versions with the lists that they bring today."""
    old, new = (_recommend(service, user_id, version.text) for version in (before, after))
    n_shared = len({row.item.item_id for row in old} & {row.item.item_id for row in new})
    return Comparison(
        user_id=user_id,
        before=before,
        after=after,
        pieces=diff_words(before.text, after.text),
        list_before=_place(find_moves(old, old), list(before.sentences)),
        list_after=_place(find_moves(old, new), list(after.sentences)),
        n_shared=n_shared,
        is_training=find_training([before, after]) is not None,
    )


def find_training(versions: Sequence[ProfileVersion]) -> tuple[ProfileVersion, ProfileVersion] | None:
    """The latest text of a model and of the same model with an adapter, if both are kept; adapters follow a `+`."""
    written = [version for version in versions if not version.edited]
    trained = next((version for version in reversed(written) if "+" in version.writer), None)
    if trained is None:
        return None
    model = trained.writer.split("+")[0]
    plain = next((version for version in reversed(written) if version.writer == model), None)
    return (plain, trained) if plain else None


def name_item(item: Item) -> str:
    """A title to show."""
    return item.title or "untitled item"


def describe_item(item: Item) -> str:
    """Maker, kind and price of an item in one line, as far as they are known; none is said twice."""
    known = [item.brand, item.categories[-1] if item.categories else item.domain]
    parts = list(dict.fromkeys(part.replace("_", " ") for part in known if part))
    if item.price is not None:
        parts.append(f"{item.price:.2f}")
    return " · ".join(parts)


def _recommend(service: Service, user_id: str, text: str) -> list[Reasoned]:
    """The list of a text for this user: what they have already is left out, as in their own list."""
    return list(service.recommender.recommend_with_reasons(user_id=user_id, text=text, k=N_SHOWN))


def _read_sentence(text: str, items: Sequence[Item] = (), *, locked: bool = False, is_new: bool = False) -> Sentence:
    is_wanted = read_wish(text).sign > 0
    return Sentence(text, locked, is_new, is_wanted, items if is_wanted else ())


def _place(moves: Sequence[Move], sentences: Sequence[str]) -> list[Place]:
    tones = {text: tone for tone, text in reversed(list(enumerate(sentences)))}
    return [Place(move, tones.get(move.row.sentence)) for move in moves]


def _diff_versions(versions: Sequence[ProfileVersion]) -> list[tuple[ProfileVersion, Sequence[Piece]]]:
    """The latest versions, each with what it changed in the one before; nothing is marked in the first."""
    first = max(len(versions) - N_VERSIONS, 0)
    shown = versions[first:]
    before = versions[first - 1 : -1] if first else [*shown[:1], *shown[:-1]]
    return [(new, diff_words(old.text, new.text)) for old, new in zip(before, shown, strict=True)]


def _map(
    service: Service,
    user_id: str | None,
    events: Sequence[Event],
    saved: Sequence[Reasoned],
    saved_sentences: Sequence[str],
    places: Sequence[Place],
    sentences: Sequence[str],
) -> list[Point]:
    """History, list and sentences of a text, in the plane of the history and the saved list: while a draft changes,
    the history stays where it is."""
    taken = {event.item.item_id: event.item for event in events[-N_EVENTS:]}
    items = list(dict.fromkeys([*taken, *(row.item.item_id for row in saved)]))
    recommender = service.recommender
    plane = fit_plane(recommender.item_vectors(items), recommender.sentence_vectors(user_id, saved_sentences))
    points = [
        Point("taken", name_item(item), n, *_round(place))
        for n, (item, place) in enumerate(
            zip(taken.values(), plane.place(recommender.item_vectors(list(taken))), strict=True), start=1
        )
    ]
    vectors = recommender.item_vectors([place.row.item.item_id for place in places])
    points += [
        Point("recommended", name_item(place.row.item), place.row.rank, *_round(where), place.tone)
        for place, where in zip(places, plane.place(vectors), strict=True)
    ]
    vectors = recommender.sentence_vectors(user_id, sentences)
    points += [
        Point("sentence", text, tone + 1, *_round(where), tone)
        for tone, (text, where) in enumerate(zip(sentences, plane.place(vectors), strict=True))
    ]
    return points


def _round(place: np.ndarray) -> tuple[float, float]:
    return round(float(place[0]), 1), round(float(place[1]), 1)
