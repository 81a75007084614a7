"""The worker tells a job that nobody waits for any more from one that failed."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store.stores import EMBEDDER, make_store

from bluerec.errors import StoreError
from bluerec.serving.metrics import Metrics
from bluerec.serving.worker import ProfileWorker
from bluerec.store.store import Store

EVENT = {"item_id": "i0005", "timestamp": 2**33}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as opened:
        yield opened


def work_off(store: Store, meanwhile: Callable[[], object]) -> str:
    """Write one profile while something happens to the store; the metrics afterwards."""

    def generate(user_id: str, events: object) -> tuple[str, str]:
        meanwhile()
        return "Likes chess.", "model"

    metrics = Metrics()
    store.add_interactions("u0001", [EVENT])
    store.enqueue("u0001")
    worker = ProfileWorker(store, generate, metrics)
    worker.start()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and "bluerec_jobs_total{" not in metrics.render().decode():
        time.sleep(0.02)
    worker.stop()
    return metrics.render().decode()


def answer_by_refresh(store: Store) -> None:
    store.save_written("u0001", "Likes golf.", "refresh", known=store.load_history("u0001"))
    store.close_answered_jobs()


@pytest.mark.parametrize("meanwhile", [lambda store: store.delete_user("u0001"), answer_by_refresh])
def test_a_job_that_is_gone_is_no_failure(
    store: Store, meanwhile: Callable[[Store], object], caplog: pytest.LogCaptureFixture
) -> None:
    metrics = work_off(store, lambda: meanwhile(store))
    assert 'bluerec_jobs_total{outcome="gone"} 1.0' in metrics
    assert 'outcome="failed"' not in metrics
    assert "profile was not written" not in caplog.text
    assert [job.state for job in store.jobs("u0001")] in ([], ["done"])
    assert [version.writer for version in store.versions("u0001")] in ([], ["oracle", "refresh"])


def test_a_store_that_fails_while_the_job_waits_is_a_failure(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(store, "save_written", fail)
    assert 'bluerec_jobs_total{outcome="failed"} 1.0' in work_off(store, lambda: None)
    assert [(job.state, job.error) for job in store.jobs("u0001")] == [("failed", "StoreError")]


def test_a_store_that_cannot_tell_is_a_failure(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    for name in ("save_written", "jobs"):
        monkeypatch.setattr(store, name, fail)
    assert 'bluerec_jobs_total{outcome="failed"} 1.0' in work_off(store, lambda: None)
