"""What the endpoints do about users of whom only a part is kept, and about what the store refuses."""

import pytest

from serving.conftest import Served


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
