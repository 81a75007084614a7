"""What the endpoints do about users of whom only a part is kept, and about what the store refuses."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient
from store.stores import EMBEDDER, make_store

from bluerec.errors import StoreError
from bluerec.serving import routes
from bluerec.serving.api import build_app
from bluerec.serving.keys import KeyRing, Scope
from bluerec.serving.limits import Limits
from bluerec.serving.routes import find_parameters, router
from bluerec.store.queries import MAX_SMALL_EVENTS, MAX_SMALL_SENTENCES
from bluerec.store.recommender import Recommender
from bluerec.store.store import Store
from serving.conftest import Served, headers_of

Stored = tuple[Recommender, TestClient, dict[str, str]]


def test_who_has_a_history_and_no_profile_takes_it_along(served: Served) -> None:
    row = {"item_id": "i0001", "timestamp": 1_700_000_000}
    accepted = served.client.post("/users/new/interactions", json={"interactions": [row]}, headers=served.admin)
    assert accepted.status_code == 202
    served.client.get(f"/studio/sign-in?token={served.token}")
    for answer in (
        served.client.get("/users/new/export", headers=served.admin),
        served.client.get("/studio/users/new/export"),
    ):
        assert answer.status_code == 200
        kept = answer.json()
        assert (kept["user_id"], kept["versions"], kept["history"]) == ("new", [], ["i0001"])
        assert [job["state"] for job in kept["jobs"]] == ["queued"]


def test_of_whom_nothing_is_kept_there_is_no_export(served: Served) -> None:
    served.client.get(f"/studio/sign-in?token={served.token}")
    served.client.delete("/users/u0001/profile", headers=served.admin)
    for user_id in ("nobody", "u0001"):
        for answer in (
            served.client.get(f"/users/{user_id}/export", headers=served.admin),
            served.client.get(f"/studio/users/{user_id}/export"),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown-user")


def test_an_unknown_item_is_refused_by_the_store_at_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(served.store, "item", asked.append)
    known = [{"item_id": "i0001", "timestamp": second} for second in range(999)]
    body = {"interactions": [*known, {"item_id": "CANARY", "timestamp": 1}]}
    answer = served.client.post("/users/new/interactions", json=body, headers=served.admin)
    assert answer.status_code == 422
    message = "an item_id is not in the catalogue; index it first with: bluerec index"
    assert answer.json() == {"error": {"code": "unknown-item", "message": message}}
    assert (asked, served.store.history("new"), served.store.jobs("new")) == ([], [], [])


def test_of_whom_nothing_is_kept_nothing_is_deleted(served: Served) -> None:
    served.client.get(f"/studio/sign-in?token={served.token}")
    own, form = {"Sec-Fetch-Site": "same-origin"}, {"confirm": "nobody"}
    for answer in (
        served.client.delete("/users/nobody/profile", headers=served.admin),
        served.client.post("/studio/users/nobody/delete", data=form, headers=own),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown-user")
    headers_of(served.keys, Scope.USER, "nobody")
    answer = served.client.delete("/users/nobody/profile", headers=served.admin)
    assert (answer.status_code, answer.json()["keys_revoked"]) == (200, 1), "a key names its user"
    served.client.delete("/users/u0001/profile", headers=served.admin)
    assert served.client.delete("/users/u0001/profile", headers=served.admin).status_code == 404


def test_a_deletion_that_failed_is_completed_by_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        keys = KeyRing()
        admin = headers_of(keys, Scope.ADMIN)
        with TestClient(build_app(store, Recommender(store), keys, hosts=())) as client:
            with monkeypatch.context() as patch:
                patch.setattr(store._database, "compact", fail_to_compact)
                answer = client.delete("/users/u0001/profile", headers=admin)
                assert (answer.status_code, "until it answers 404" in answer.text) == (503, True)
            with store._database.reading() as reader:
                assert store._database.is_compaction_due(reader)
            assert client.delete("/users/u0001/profile", headers=admin).status_code == 404
            with store._database.reading() as reader:
                assert not store._database.is_compaction_due(reader)
            monkeypatch.setattr(store._database, "empty_journal", lambda: False)
            answer = client.delete("/users/u0001/profile", headers=admin)
            assert (answer.status_code, answer.json()["journal_emptied"]) == (200, False), "bytes may be left"


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    """The service over a store on disk."""
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        recommender, keys = Recommender(store), KeyRing()
        with TestClient(build_app(store, recommender, keys, hosts=())) as client:
            yield recommender, client, headers_of(keys, Scope.ADMIN)


def test_a_list_of_a_stored_profile_waits_for_no_thread(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    recommender, client, admin = stored
    handed_over = count_hand_overs(monkeypatch)
    answer = client.get("/users/u0001/recommendations?k=5", headers=admin).json()
    assert not handed_over
    expected = recommender.recommend_with_reasons("u0001", k=5)
    assert (answer["version"], [row["item"]["item_id"] for row in answer["recommendations"]]) == (
        1, [row.item.item_id for row in expected],
    )  # fmt: skip
    assert client.get("/users/nobody/recommendations", headers=admin).status_code == 404
    filtered = client.get("/users/u0001/recommendations?k=5&max_price=20", headers=admin).json()
    assert len(handed_over) == 2, "a filter may take long"
    assert filtered["version"] == 1
    assert {row["item"]["price"] <= 20 for row in filtered["recommendations"]} == {True}


def test_a_long_history_and_a_long_profile_are_for_a_thread(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    recommender, client, admin = stored
    handed_over = count_hand_overs(monkeypatch)
    events = [{"item_id": "i0001", "timestamp": second} for second in range(MAX_SMALL_EVENTS)]
    recommender.store.save_edit("busy", "Racing games.")
    for add, n_handed_over in ((events, 0), ([{"item_id": "i0002", "timestamp": 10**9}], 1)):
        recommender.store.add_interactions("busy", add)
        assert client.get("/users/busy/recommendations", headers=admin).json()["recommendations"]
        assert len(handed_over) == n_handed_over
    for n_sentences, n_handed_over in ((MAX_SMALL_SENTENCES, 1), (MAX_SMALL_SENTENCES + 1, 2)):
        sentences = [f"Racing games of kind {number}." for number in range(n_sentences)]
        assert len(recommender.store.save_edit("talker", " ".join(sentences)).sentences) == n_sentences
        assert client.get("/users/talker/recommendations", headers=admin).json()["recommendations"]
        assert len(handed_over) == n_handed_over


def test_failures_where_the_loop_runs_are_named_as_elsewhere(stored: Stored, caplog: pytest.LogCaptureFixture) -> None:
    recommender, client, admin = stored
    with recommender.store.writing() as writer:
        writer.execute("UPDATE sentence_vectors SET checksum = 1 WHERE user_row = 1")
    answer = client.get("/users/u0000/recommendations", headers=admin)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store")
    assert "store refused" in caplog.text
    assert client.get("/users/u0001/recommendations", headers=admin).status_code == 200


def test_between_two_lists_of_a_turn_others_are_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, seen = [0], []

    async def ask_many(app: FastAPI, headers: dict[str, str]) -> Counter[int]:
        async def count_turns() -> None:
            while True:
                turns[0] += 1
                await asyncio.sleep(0)

        async with AsyncClient(transport=ASGITransport(app), base_url="http://localhost", headers=headers) as client:
            asked = [client.get(f"/users/u000{number % 3}/recommendations") for number in range(60)]
            counting = asyncio.create_task(count_turns())
            answers = await asyncio.gather(*asked)
            counting.cancel()
            return Counter(answer.status_code for answer in answers)

    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        recommender, keys = Recommender(store), KeyRing()
        make = recommender.recommend_at_once

        def note(user_id: str, k: int, *, unseen: bool) -> object:
            seen.append(turns[0])
            return make(user_id, k, unseen=unseen)

        monkeypatch.setattr(recommender, "recommend_at_once", note)
        app = build_app(store, recommender, keys, hosts=(), limits=Limits(max_in_flight=8))
        assert asyncio.run(ask_many(app, headers_of(keys, Scope.READER))) == {200: 8, 503: 52}
    assert len(seen) == 8, "what is refused costs no list"
    assert len(set(seen)) == 8


def count_hand_overs(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the endpoints give to a thread, from now on."""
    given: list[object] = []

    async def hand_over(work: Callable[[], object]) -> object:
        given.append(work)
        return work()

    monkeypatch.setattr(routes, "run_in_threadpool", hand_over)
    return given


def fail_to_compact() -> bool:
    raise StoreError("store.sqlite: the disk is full")


def test_a_text_of_somebody_new_is_told_from_one_of_somebody_known(served: Served) -> None:
    row = {"item_id": "i0001", "timestamp": 1_700_000_000}
    served.client.post("/users/with-history/interactions", json={"interactions": [row]}, headers=served.admin)
    for user_id, statuses in (("typo", [201, 200]), ("u0001", [200]), ("with-history", [200])):
        for version, status in enumerate(statuses, start=len(served.store.versions(user_id)) + 1):
            answer = served.client.put(f"/users/{user_id}/profile", json={"text": "Chess."}, headers=served.admin)
            assert (answer.status_code, answer.json()["version"]) == (status, version)
    described = served.client.get("/openapi.json").json()["paths"]["/users/{user_id}/profile"]["put"]["responses"]
    assert described["200"]["content"] == described["201"]["content"]


def test_a_parameter_that_nobody_knows_is_refused_like_an_unknown_field(served: Served) -> None:
    listed = "query: has a parameter that is not known; known are k, max_price, domain, category, unseen"
    for path, said in (
        ("/users/u0001/recommendations?k=3&CANARY=3", listed),
        ("/users/u0001/recommendations?K=3", listed),
        ("/users/u0001/recommendations?user_id=u0002", listed),
        ("/users?CANARY", "query: has a parameter that is not known; known are prefix, limit"),
        ("/users/u0001/profile?service=1", "query: has a parameter that is not known; none is known here"),
    ):
        answer = served.client.get(path, headers=served.admin)
        assert answer.status_code == 422
        assert answer.json() == {"error": {"code": "invalid", "message": f"{said}; see /openapi.json"}}
        assert served.client.get(path).status_code == 401, "a stranger learns nothing"
    assert served.client.get("/users/u0001/recommendations?k=3&unseen=no", headers=served.admin).status_code == 200
    assert served.client.get("/users?prefix=u0001&limit=1", headers=served.admin).json() == ["u0001"]


def test_the_parameters_of_every_endpoint_are_found(served: Served) -> None:
    """FastAPI's own description of an endpoint knows the same names."""
    paths = served.client.get("/openapi.json").json()["paths"]
    for route in router.routes:
        described = paths[route.path][min(route.methods).lower()].get("parameters", [])
        assert find_parameters(route) == [one["name"] for one in described if one["in"] == "query"]
    assert sum(bool(find_parameters(route)) for route in router.routes) == 2
