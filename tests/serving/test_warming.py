"""Until the embedder is loaded the service is not ready, refuses what needs it at once, and serves everything else."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from store.stores import EMBEDDER, make_store

from bluerec.errors import ModelError
from bluerec.serving import warming
from bluerec.serving.api import build_app
from bluerec.serving.keys import KeyRing, Scope
from bluerec.store.recommender import Recommender
from bluerec.store.store import Store
from serving.conftest import headers_of
from serving.test_api import EVENT

USER = "/users/u0001"
STUDIO = f"/studio{USER}"
FORM = {"text": "Racing games.", "version": 1, "user_id": "new", "confirm": "u0001"}
NEED_IT: list[tuple[str, str, Any]] = [
    ("PUT", f"{USER}/profile", {"text": "Racing games."}),
    ("POST", f"{USER}/revert", {"version": 1}),
    ("POST", "/recommend", {"text": "Racing games."}),
    ("POST", "/studio/try", None),
    ("POST", "/studio/try/keep", None),
    *(("POST", f"{STUDIO}/{end}", None) for end in ("preview", "save", "steer", "revert")),
    ("GET", f"{STUDIO}/versions/1/1", None),
    # It waits for the model, to make it forget the user's sentences.
    ("POST", f"{STUDIO}/delete", None),
    ("DELETE", "/users/u0002/profile", None),
]
DO_NOT = [
    ("GET", f"{USER}/recommendations", None),
    *(("GET", f"{USER}/{end}", None) for end in ("profile", "versions", "export", "context")),
    ("POST", f"{USER}/interactions", EVENT),
    ("GET", f"{USER}/job", None),
    *(("GET", path, None) for path in ("/users", "/queue", "/metrics", "/studio", STUDIO, "/studio/try")),
    *(("GET", f"{STUDIO}/{end}", None) for end in ("export", "delete")),
]  # fmt: skip


@dataclass
class Starting:
    """A service whose embedder is loaded when the gate opens; `loaded` counts the loads."""

    client: TestClient
    admin: dict[str, str]
    gate: threading.Event
    failure: Exception | None = None
    n_loads: int = 0

    def load(self, *_: object, **__: object) -> Any:
        self.n_loads += 1
        self.gate.wait(30)
        if self.failure:
            raise self.failure
        return EMBEDDER

    def call(self, method: str, path: str, body: Any) -> Response:
        more = {"data": FORM, "headers": {"Sec-Fetch-Site": "same-origin"}} if "studio" in path else {}
        if method == "GET":
            more.pop("data", None)
        return self.client.request(method, path, **({"json": body, "headers": self.admin} | more))

    def wait_until(self, status: int) -> dict[str, Any]:
        deadline = time.monotonic() + 10
        while (answer := self.client.get("/health/ready")).status_code != status and time.monotonic() < deadline:
            time.sleep(0.01)
        assert answer.status_code == status
        return answer.json()


@pytest.fixture
def starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starting]:
    monkeypatch.setattr(warming, "_PAUSE_SECONDS", 0.05)
    with Store.open(make_store(tmp_path / "store")) as store:
        keys = KeyRing()
        token = keys.create(Scope.ADMIN)[1]
        app = build_app(store, Recommender(store), keys, hosts=(), warm=store.embedder.warm)
        made = Starting(TestClient(app), {"Authorization": f"Bearer {token}"}, threading.Event())
        monkeypatch.setattr("bluerec.profiling.embedders.load_embedder", made.load)
        with made.client:
            made.client.get(f"/studio/sign-in?token={token}")
            yield made
            made.gate.set()


def test_what_needs_the_embedder_is_refused_until_it_is_there(starting: Starting) -> None:
    assert starting.client.get("/health/live").status_code == 200
    answer = starting.client.get("/health/ready")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "warming")
    for method, path, body in DO_NOT:
        answer = starting.call(method, path, body)
        assert answer.status_code in (200, 202), (path, answer.text)
    for method, path, body in NEED_IT:
        answer = starting.call(method, path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "warming"), path
        assert int(answer.headers["retry-after"]) > 0
    assert starting.n_loads == 1, "nobody else asked for the model"
    starting.gate.set()
    assert starting.wait_until(200) == {"status": "ready"}
    for method, path, body in NEED_IT:
        answer = starting.call(method, path, body)
        assert answer.status_code in (200, 201), (path, answer.text)
    assert starting.n_loads == 1


def test_a_stranger_learns_that_no_key_fits_and_not_how_far_the_start_is(starting: Starting) -> None:
    starting.client.cookies.clear()
    for method, path, body in NEED_IT:
        starting.admin = {}
        assert starting.call(method, path, body).status_code == 401, path


def test_an_embedder_that_cannot_be_loaded_is_told_and_tried_again(
    starting: Starting, caplog: pytest.LogCaptureFixture
) -> None:
    starting.failure = ModelError("model 'm' cannot be loaded; give a folder")
    starting.gate.set()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and starting.n_loads < 3:
        time.sleep(0.01)
    answer = starting.client.get("/health/ready")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "embedder")
    assert "bluerec doctor --store STORE" in answer.json()["error"]["message"]
    told = [record.facts for record in caplog.records if record.getMessage() == "the embedder cannot be loaded"]
    assert told == [{"exception": "ModelError", "reason": "model 'm' cannot be loaded; give a folder"}], "said once"
    refused = starting.client.post("/recommend", json={"text": "Chess."}, headers=starting.admin)
    assert refused.json()["error"]["code"] == "store"
    assert starting.client.get(f"{USER}/recommendations", headers=starting.admin).status_code == 200
    starting.failure = None
    assert starting.wait_until(200) == {"status": "ready"}


def test_without_anything_to_load_the_service_is_ready_at_once(tmp_path: Path) -> None:
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        keys = KeyRing()
        admin = headers_of(keys, Scope.ADMIN)
        with TestClient(build_app(store, Recommender(store), keys, hosts=())) as client:
            assert client.get("/health/ready").json() == {"status": "ready"}
            assert json.loads(client.post("/recommend", json={"text": "Chess."}, headers=admin).text)["version"] is None
