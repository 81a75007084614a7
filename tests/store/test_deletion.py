"""After a deletion no byte of a user is in any file, and everybody else is as before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bluerec.errors import StoreError
from bluerec.serving.api import build_app
from bluerec.serving.keys import KeyRing, Scope
from bluerec.store import deletion
from bluerec.store.database import Database
from bluerec.store.recommender import Recommender
from bluerec.store.store import Store
from store.stores import EMBEDDER, make_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(make_store(tmp_path / "store"), embedder=EMBEDDER) as opened:
        yield opened


def files_with(folder: Path, wanted: str) -> list[str]:
    return [path.name for path in folder.iterdir() if wanted.encode() in path.read_bytes()]


def write_user(store: Store, name: str) -> None:
    """A user with the mark in every text that a store keeps of anybody."""
    mark = f"canary-{name}-end"
    store.add_interactions(
        mark,
        [
            {"item_id": f"i{n:04d}", "timestamp": n, "review_title": f"{mark} title", "review_text": f"{mark} {n} " * 9}
            for n in range(30)
        ],
    )  # fmt: skip
    for number in range(12):
        store.save_edit(mark, f"{mark} likes number {number}. " * (1 + number % 5))
    store.save_written(mark, f"{mark} offered.", f"writer of {mark}")
    store.finish_job(store.enqueue(mark).job_id, f"{mark} error")
    store.enqueue(mark)


def test_no_byte_is_left(store: Store) -> None:
    names = [f"{n:03d}" for n in range(16)]
    for name in names:
        write_user(store, name)
    assert files_with(store.folder, "canary-007-end"), "the search finds what is there"
    for name in names[::2]:
        receipt = store.delete_user(f"canary-{name}-end")
        assert receipt["texts_searched"] > 0
        assert receipt["texts_found"] == 0
        assert receipt["texts_of_others"] == 0
        assert receipt["journal_emptied"]
        assert receipt["rows_removed"] == {
            "interactions": 30, "versions": 12, "sentence_vectors": receipt["rows_removed"]["sentence_vectors"],
            "jobs": 1, "users": 1,
        }  # fmt: skip
        assert "store.sqlite" in receipt["files_searched"]
        assert files_with(store.folder, f"canary-{name}-end") == []
    for name in names[1::2]:
        mark = f"canary-{name}-end"
        assert len(store.history(mark)) == 30
        assert len(store.versions(mark)) == 12
        assert all(mark in version.text for version in store.versions(mark))
    for name in names[::2]:
        assert files_with(store.folder, f"canary-{name}-end") == []


def test_the_receipt_tells_what_is_left(store: Store) -> None:
    """A copy that somebody put into the folder is found: the zeros of the receipt mean something."""
    write_user(store, "left")
    (store.folder / "notes.txt").write_text("canary-left-end offered.")
    receipt = store.delete_user("canary-left-end")
    assert receipt["texts_found"] > 0
    assert receipt["files_searched"]["notes.txt"] > 0


def test_a_text_that_others_have_too_is_told_apart(store: Store) -> None:
    for user in ("first user", "second user"):
        store.save_edit(user, "Likes games of chess.")
    receipt = store.delete_user("first user")
    assert (receipt["texts_found"], receipt["texts_of_others"]) == (0, 1)
    assert store.profile("second user").text == "Likes games of chess."


def test_a_search_that_fails_leaves_a_receipt_that_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write_user(store, "gone")
    monkeypatch.setattr(deletion, "_SCAN_SECONDS", 1e-9)
    receipt = store.delete_user("canary-gone-end")
    assert (receipt["versions_removed"], receipt["interactions_removed"]) == (12, 30)
    assert (receipt["texts_found"], receipt["texts_of_others"], receipt["texts_searched"]) == (None, None, 0)
    assert receipt["texts_not_searched"] > 0
    assert receipt["search_failed"].startswith("TimeoutExpired")
    assert store.profile("canary-gone-end") is None
    assert files_with(store.folder, "canary-gone-end") == []


def test_vectors_are_forgotten_whatever_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise StoreError("the disk is full")

    store.save_edit("u0001", "Only chess.")
    assert len(store.embedder._cache) > 0
    monkeypatch.setattr(Database, "compact", fail)
    with pytest.raises(StoreError, match="full"):
        store.delete_user("u0001")
    assert len(store.embedder._cache) == 0


def test_a_deletion_that_failed_is_made_good_by_the_next(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise StoreError("the disk is full")

    def is_due() -> bool:
        with store.writing() as writer:
            return store._database.is_compaction_due(writer)

    compacted: list[bool] = []
    compact = Database.compact

    def count(database: Database) -> bool:
        compacted.append(True)
        return compact(database)

    for again in ("canary-gone-end", "canary-other-end"):  # by the same user, who is not found any more, or by another
        for name in ("gone", "other"):
            write_user(store, name)
        monkeypatch.setattr(Database, "compact", fail)
        with pytest.raises(StoreError, match="full"):
            store.delete_user("canary-gone-end")
        assert is_due()
        monkeypatch.setattr(Database, "compact", count)
        receipt = store.delete_user(again)
        assert receipt["journal_emptied"]
        assert (compacted.pop(), compacted, is_due()) == (True, [], False)
        assert files_with(store.folder, "canary-gone-end") == []


def check_nothing_was_searched(receipt: dict[str, Any], reason: str) -> None:
    assert (receipt["texts_found"], receipt["texts_of_others"], receipt["texts_searched"]) == (None, None, 0)
    assert receipt["search_failed"].startswith(reason)
    assert receipt["files_searched"] == {}


def test_a_receipt_without_a_search_does_not_call_it_clean(store: Store) -> None:
    write_user(store, "gone")
    store.delete_user("canary-gone-end")
    check_nothing_was_searched(store.delete_user("canary-gone-end"), "no such user any more")
    store.save_edit("short", "Golf.")
    check_nothing_was_searched(store.delete_user("short"), "no text of the user has 8 characters")


def test_a_receipt_for_nobody_tells_of_a_journal_that_is_held(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.delete_user("nobody")["journal_emptied"]
    monkeypatch.setattr(Database, "empty_journal", lambda _: False)
    assert not store.delete_user("nobody")["journal_emptied"]


def test_the_users_own_key_is_not_left_in_a_file(store: Store) -> None:
    user = "a user with a long id"
    store.save_edit(user, "Likes games of chess.")
    keys = KeyRing.open(store.folder)
    headers = {"Authorization": f"Bearer {keys.create(Scope.USER, user)[1]}"}
    assert files_with(store.folder, user)
    with TestClient(build_app(store, Recommender(store), keys, hosts=())) as client:
        receipt = client.delete(f"/users/{user}/profile", headers=headers).json()
    assert (receipt["texts_found"], receipt["keys_revoked"]) == (0, 1)
    assert files_with(store.folder, user) == []


def test_deletion_survives_opening_again(store: Store) -> None:
    write_user(store, "gone")
    store.delete_user("canary-gone-end")
    store.close()
    assert files_with(store.folder, "canary-gone-end") == []
    with Store.open(store.folder, embedder=EMBEDDER) as again:
        assert again.profile("canary-gone-end") is None
        assert files_with(store.folder, "canary-gone-end") == []


def test_two_users_see_only_their_own(store: Store) -> None:
    write_user(store, "one")
    write_user(store, "two")
    for mine, other in (("one", "two"), ("two", "one")):
        exported = str(store.export_user(f"canary-{mine}-end"))
        assert f"canary-{mine}-end" in exported
        assert f"canary-{other}-end" not in exported
