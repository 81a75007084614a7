"""What the log says of a failure: enough to mend it, and neither a text of a profile nor a user's id."""

import ast
import json
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from store.stores import EMBEDDER, make_store

from bluerec.errors import ModelError, StoreError, UnavailableError
from bluerec.serving.api import build_app
from bluerec.serving.keys import KeyRing, Scope
from bluerec.serving.metrics import LOGGER, JsonFormatter, Metrics
from bluerec.serving.worker import ProfileWorker
from bluerec.store.recommender import Recommender
from bluerec.store.store import Store
from serving.conftest import Served, headers_of
from serving.memory_store import build_memory_store

# What may stand in an error of these packages: never a text of somebody, nor who it is.
PERSONAL = {"user", "user_id", "text", "texts", "sentence", "sentences", "prompt", "review", "title", "profile"}
LOGGED = ("StoreError", "GoneError", "ModelError", "UnavailableError", "_ServerError", "damaged")


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """The lines as they are written, each a JSON object."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Keep()
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def find_event(lines: list[str], event: str) -> dict[str, object]:
    (found,) = [row for row in map(json.loads, lines) if row["event"] == event]
    return found


def test_a_refusal_of_the_store_is_in_the_log_with_its_remedy(served: Served, log_lines: list[str]) -> None:
    served.store.broken = StoreError("store.sqlite: damaged (a row);\n put a copy of the store in its place")
    answer = served.client.get("/users/u0001/profile", headers=served.admin)
    assert (answer.status_code, "damaged" in answer.text) == (503, False)
    assert "bluerec doctor --store STORE" in answer.json()["error"]["message"]
    found = find_event(log_lines, "store refused")
    assert found["exception"] == "StoreError"
    assert found["reason"] == "store.sqlite: damaged (a row); put a copy of the store in its place"
    assert served.client.get("/health/ready").status_code == 503
    assert find_event(log_lines, "the store cannot be read")["reason"] == found["reason"]
    log_lines.clear()
    served.store.broken = ValueError("CANARY")
    assert served.client.get("/users/u0001/profile", headers=served.admin).status_code == 500
    assert "CANARY" not in "".join(log_lines)


def test_a_damaged_text_is_told_without_the_text(tmp_path: Path, log_lines: list[str]) -> None:
    folder = make_store(tmp_path / "store")
    with sqlite3.connect(folder / "store.sqlite") as connection:
        connection.execute("UPDATE versions SET text = CAST(X'43414E415259FF' AS TEXT)")  # CANARY, and no UTF-8
    connection.close()
    with Store.open(folder, embedder=EMBEDDER) as store:
        keys = KeyRing()
        admin = headers_of(keys, Scope.ADMIN)
        with TestClient(build_app(store, Recommender(store), keys, hosts=())) as client:
            for method, path, body in (("GET", "profile", None), ("POST", "revert", {"version": 1})):
                assert client.request(method, f"/users/u0001/{path}", json=body, headers=admin).status_code == 503
    told = "\n".join(log_lines)
    assert "store.sqlite: damaged (Could not decode to UTF-8 column 'text'); put a copy" in told
    assert "CANARY" not in told
    assert "u0001" not in told


def test_what_the_store_says_of_a_user_names_nobody(tmp_path: Path) -> None:
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as store:
        with pytest.raises(StoreError, match="no version 7") as unknown:
            store.revert("u0001", 7)
        with pytest.raises(StoreError, match="nothing was kept") as gone:
            store.save_written("nobody", "Chess.", "model")
    assert not any(name in str(error.value) for error in (unknown, gone) for name in ("u0001", "nobody"))


def work_off_one(error: Exception) -> None:
    """Let a generator fail with this until the jobs are closed, or it has been asked often enough."""
    store, asked = build_memory_store(), []

    def generate(user_id: str, events: object) -> tuple[str, str]:
        asked.append(user_id)
        raise error

    store.enqueue("u0001")
    worker = ProfileWorker(store, generate, Metrics())
    worker.start()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and store.n_open_jobs() and len(asked) < 2:
        time.sleep(0.01)
    worker.stop()


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (ModelError("model 'nope' is not a folder;\n give a folder"), "profile was not written"),
        (
            UnavailableError("http://x/v1: no answer; is the server running?"),
            "the generator does not answer; the queue waits",
        ),
    ],
)
def test_why_a_profile_is_not_written_is_in_the_log(error: Exception, event: str, log_lines: list[str]) -> None:
    work_off_one(error)
    found = find_event(log_lines, event)
    assert (found["exception"], found["reason"]) == (type(error).__name__, " ".join(str(error).split()))
    assert "u0001" not in "".join(log_lines)


def test_of_an_unexpected_failure_the_log_has_the_place_and_not_the_text(log_lines: list[str]) -> None:
    work_off_one(ValueError("CANARY of u0001"))
    found = find_event(log_lines, "profile was not written")
    assert found["exception"] == "ValueError"
    assert any("test_failures_in_the_log.py" in place for place in found["at"])
    assert "CANARY" not in "".join(log_lines)


def find_personal(tree: ast.AST) -> list[str]:
    """Errors that go to the log, with what is personal in their text."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in LOGGED:
            inside = [part for part in ast.walk(node) if isinstance(part, ast.FormattedValue)]
            names = {one.id for part in inside for one in ast.walk(part.value) if isinstance(one, ast.Name)}
            found += [f"{node.lineno}: {one}" for one in sorted(names & PERSONAL)]
    return found


def test_no_error_that_is_logged_holds_what_is_personal(project: Path) -> None:
    files = [
        path for part in ("store", "serving", "profiling") for path in (project / f"src/bluerec/{part}").glob("*.py")
    ]
    assert len(files) > 30
    assert {path.name: found for path in files if (found := find_personal(ast.parse(path.read_text())))} == {}
    planted = 'raise StoreError(f"{folder}: user {user_id!r} is gone")\nraise DataError(f"{user_id}")'
    assert find_personal(ast.parse(planted)) == ["1: user_id"]
