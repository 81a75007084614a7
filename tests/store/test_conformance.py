"""The store on disk does what the legible one in memory does: the same calls, the same answers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving.memory_store import MemoryRecommender, build_memory_store

from bluerec.serving.api import build_app
from bluerec.serving.keys import KeyRing, Scope
from bluerec.store.recommender import Recommender
from bluerec.store.store import Store
from store.stores import EMBEDDER, make_store

Pair = tuple[Any, Any]


@pytest.fixture(params=["memory", "sqlite"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """A store and a recommender over it."""
    if request.param == "memory":
        store = build_memory_store()
        yield store, MemoryRecommender(store)
        return
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as opened:
        yield opened, Recommender(opened)


def ids(rows: Any) -> list[str]:
    return [row.item.item_id for row in rows]


def test_an_edit_is_a_new_version_with_its_new_sentences_locked(pair: Pair) -> None:
    store, _ = pair
    first = store.profile("u0000")
    assert (first.version, first.edited, list(first.locked)) == (1, False, [])
    edited = store.save_edit("u0000", f"{first.sentences[0]} Quiet farming games.")
    assert (edited.version, edited.edited, list(edited.locked)) == (2, True, ["Quiet farming games."])
    again = store.save_edit("u0000", "Quiet farming games. Chess!")
    assert list(again.locked) == ["Quiet farming games.", "Chess!"]
    assert [version.version for version in store.versions("u0000")] == [1, 2, 3]
    assert store.profile("u0000") == again


def test_reverting_copies_an_old_version(pair: Pair) -> None:
    store, _ = pair
    first = store.profile("u0000")
    store.save_edit("u0000", "Chess.")
    back = store.revert("u0000", 1)
    assert (back.version, back.text, list(back.locked)) == (3, first.text, [])


def test_what_is_written_without_locks_takes_the_place(pair: Pair) -> None:
    store, _ = pair
    made = store.save_written("u0001", "Likes racing games. Wants chess next.", "model")
    assert (made.version, made.text, made.writer, made.edited) == (
        2, "Likes racing games. Wants chess next.", "model", False,
    )  # fmt: skip
    assert list(made.sentences) == ["Likes racing games.", "Wants chess next."]


def test_somebody_new_writes_a_profile_and_gets_a_list(pair: Pair) -> None:
    store, recommender = pair
    assert store.profile("new") is None
    assert list(store.versions("new")) == []
    assert list(store.history("new")) == []
    assert list(recommender.recommend_with_reasons("new")) == []
    store.save_edit("new", store.profile("u0002").text)
    assert store.user_ids("n", 10) == ["new"]
    assert len(recommender.recommend_with_reasons("new", k=7)) == 7


def test_users_are_listed_by_prefix_in_order(pair: Pair) -> None:
    store, _ = pair
    for name in ("u00_0", "u00%0", "v"):
        store.save_edit(name, "Chess.")
    assert list(store.user_ids("", 100)) == sorted(["u0000", "u0001", "u0002", "u00_0", "u00%0", "v"])
    assert list(store.user_ids("u00%", 100)) == ["u00%0"]
    assert list(store.user_ids("u0", 2)) == ["u00%0", "u0000"]


def test_events_are_added_in_time_order(pair: Pair) -> None:
    store, _ = pair
    before = [event.item.item_id for event in store.history("u0000")]
    new = next(f"i{n:04d}" for n in range(120) if f"i{n:04d}" not in before)
    late = max(event.interaction.timestamp for event in store.history("u0000")) + 1
    assert store.add_interactions("u0000", [{"item_id": new, "timestamp": late, "rating": 4.0}]) == 1
    events = store.history("u0000")
    assert [event.item.item_id for event in events] == [*before, new]
    assert (events[-1].interaction.rating, events[-1].interaction.user_id) == (4.0, "u0000")


def test_lists_leave_out_the_history_and_bring_reasons(pair: Pair) -> None:
    store, recommender = pair
    rows = recommender.recommend_with_reasons("u0000", k=10)
    assert [row.rank for row in rows] == list(range(1, 11))
    seen = {event.item.item_id for event in store.history("u0000")}
    assert not seen & set(ids(rows))
    sentences = store.profile("u0000").sentences
    assert all(row.sentence in sentences for row in rows)
    assert all({item.item_id for item in row.evidence} <= seen for row in rows)
    text = store.profile("u0000").text
    assert ids(recommender.recommend_with_reasons("u0000", text=text)) == ids(rows)
    assert len(recommender.evidence("u0000", sentences)) == len(sentences)


def test_steering_names_the_item(pair: Pair) -> None:
    store, recommender = pair
    text, title = store.profile("u0000").text, store.item("i0003").title
    assert title in recommender.more_like(text, "i0003")
    assert recommender.not_this(text, "i0003").startswith(text)
    assert store.item("nothing") is None
    assert recommender.sentence_vectors(None, ["a", "b"]).shape == (2, 256)
    assert recommender.item_vectors(["i0003", "i0001"]).shape == (2, 256)


def test_deleting_leaves_nothing_of_the_user_and_all_of_others(pair: Pair) -> None:
    store, _ = pair
    others = [(store.profile(user), list(store.history(user))) for user in ("u0000", "u0002")]
    store.enqueue("u0001")
    receipt = store.delete_user("u0001")
    assert receipt["versions_removed"] == 1
    assert receipt["interactions_removed"] > 0
    assert store.profile("u0001") is None
    assert (list(store.history("u0001")), list(store.jobs("u0001"))) == ([], [])
    assert list(store.user_ids("", 10)) == ["u0000", "u0002"]
    assert [(store.profile(user), list(store.history(user))) for user in ("u0000", "u0002")] == others
    assert store.delete_user("nobody")["versions_removed"] == 0


def test_the_queue_is_first_come_first_served(pair: Pair) -> None:
    store, _ = pair
    first, second = store.enqueue("u0000"), store.enqueue("u0001")
    assert (first.state, store.n_open_jobs()) == ("queued", 2)
    assert store.next_job().job_id == first.job_id
    assert store.next_job().job_id == first.job_id  # as after a crash: not lost
    store.finish_job(first.job_id, "ModelError")
    assert [(job.state, job.error) for job in store.jobs("u0000")] == [("failed", "ModelError")]
    assert store.next_job().job_id == second.job_id
    store.finish_job(second.job_id)
    assert (store.next_job(), store.n_open_jobs()) == (None, 0)
    assert [job.state for job in store.jobs()] == ["failed", "done"]


def test_the_export_holds_texts_and_history(pair: Pair) -> None:
    store, _ = pair
    store.save_edit("u0000", "Chess.")
    exported = store.export_user("u0000")
    assert exported["user_id"] == "u0000"
    assert (len(exported["versions"]), len(exported["history"])) == (2, len(store.history("u0000")))


@pytest.mark.parametrize("path", ["/users/u0000/recommendations?k=3", "/users/u0000/versions", "/users/u0000/export"])
def test_the_service_answers_over_both(pair: Pair, path: str) -> None:
    store, recommender = pair
    keys = KeyRing()
    headers = {"Authorization": f"Bearer {keys.create(Scope.ADMIN)[1]}"}
    with TestClient(build_app(store, recommender, keys, hosts=())) as client:
        assert client.get(path, headers=headers).status_code == 200
        assert client.put("/users/u0000/profile", json={"text": "Chess."}, headers=headers).json()["version"] == 2
        event = {"interactions": [{"item_id": "i0001", "timestamp": 2**31, "rating": 3}]}
        assert client.post("/users/u0000/interactions", json=event, headers=headers).json()["state"] == "queued"
        receipt: Callable[[], Any] = client.delete("/users/u0000/profile", headers=headers).json
        assert receipt()["versions_removed"] == 2
