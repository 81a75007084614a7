"""What strangers send before they are known: it costs nothing, and nothing of it is kept."""

import logging
import threading
import time

import pytest
from fastapi.testclient import TestClient

from bluerec.serving.api import build_app
from bluerec.serving.keys import KeyRing, Scope
from bluerec.serving.limits import Limits
from serving.conftest import Served, headers_of
from serving.memory_store import MemoryRecommender, build_memory_store


def test_a_method_that_nobody_knows_makes_no_label_of_its_own(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bluerec.serving")
    for number in range(50):
        assert served.client.request(f"CANARY{number}", "/users").status_code == 405
    counted = served.client.get("/metrics", headers=served.admin).text
    assert 'bluerec_requests_total{method="other",route="/users",status="405"} 50.0' in counted
    told = [record.facts["method"] for record in caplog.records if hasattr(record, "facts")]
    assert "CANARY" not in counted
    assert told == ["other"] * 50 + ["GET"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("[::1]", 200),
        ("[::1]:8321", 200),
        ("LOCALHOST", 200),
        ("localhost:8321", 200),
        ("127.0.0.1:", 200),
        ("[::2]", 421),
        ("[::1", 421),
        ("[::1]evil", 421),
        ("[::1]:evil", 421),
        ("::1", 421),
        ("localhost:8321:1", 421),
        ("evil.example:localhost", 421),
        ("", 421),
    ],
)
def test_a_host_is_known_with_and_without_a_port(host: str, status: int) -> None:
    store = build_memory_store()
    with TestClient(build_app(store, MemoryRecommender(store), KeyRing())) as client:
        assert client.get("/health/live", headers={"Host": host}).status_code == status


def test_the_names_of_hosts_are_the_same_in_capitals() -> None:
    store = build_memory_store()
    app = build_app(store, MemoryRecommender(store), KeyRing(), hosts=("Shop.Example",))
    with TestClient(app) as client:
        assert client.get("/health/live", headers={"Host": "SHOP.example"}).status_code == 200


@pytest.mark.parametrize(
    ("length", "status"),
    [("9" * 5_000, 413), ("1000001", 413), ("-1", 400), ("1e3", 400), ("", 400), ("²", 400), ("0" * 5_000 + "2", 422)],
)
def test_a_length_that_is_no_length_is_refused(served: Served, length: str, status: int) -> None:
    headers = {**served.admin, "Content-Length": length.encode("latin-1")}
    answer = served.client.put("/users/u0001/profile", content=iter([b"{}"]), headers=headers)
    assert answer.status_code == status


def test_what_fails_after_its_time_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, keys = build_memory_store(), KeyRing()
    admin = headers_of(keys, Scope.ADMIN)
    is_late = threading.Event()

    def fail_late(user_id: str) -> None:
        is_late.wait(10)
        raise ZeroDivisionError(f"CANARY of {user_id}")

    monkeypatch.setattr(store, "profile", fail_late)
    limits = Limits(timeout_seconds=0.1)
    with TestClient(build_app(store, MemoryRecommender(store), keys, hosts=(), limits=limits)) as client:
        answer = client.get("/users/u0001/profile", headers=admin)
        assert answer.json()["error"]["code"] == "timeout"
        assert not find_late(caplog)
        is_late.set()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not find_late(caplog):
            time.sleep(0.01)
    (facts,) = find_late(caplog)
    assert facts["request_id"] == answer.headers["x-request-id"]
    assert facts["exception"] == "ZeroDivisionError"
    assert "test_limits.py" in facts["at"][-1]
    assert "CANARY" not in caplog.text


def find_late(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [record.facts for record in caplog.records if record.getMessage() == "failed after its time was up"]
