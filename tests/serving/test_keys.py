"""Several processes have one file of keys: none undoes what another did, and a service that runs notices."""

import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bluerec.errors import StoreError
from bluerec.serving import keys
from bluerec.serving.keys import KeyRing, Scope


def ids(ring: KeyRing) -> set[str]:
    kept = ring.keys()
    return {key.key_id for key in kept}


def test_a_change_is_made_in_what_the_file_holds_now(tmp_path: Path) -> None:
    operator = KeyRing.open(tmp_path)
    old, _ = operator.create(Scope.READER)
    mine, _ = operator.create(Scope.USER, "u1")
    service = KeyRing.open(tmp_path)
    assert operator.revoke(old.key_id)
    new, _ = operator.create(Scope.ADMIN)
    other, _ = operator.create(Scope.USER, "u1")  # made after the service had read the file
    assert service.revoke_user("u1") == 2
    assert ids(KeyRing.open(tmp_path)) == {new.key_id}
    made, _ = service.create(Scope.READER)
    assert not service.revoke(old.key_id)
    assert ids(KeyRing.open(tmp_path)) == {new.key_id, made.key_id}
    assert {mine.key_id, other.key_id}.isdisjoint(ids(service))


def test_a_running_service_notices_and_keeps_the_key_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = KeyRing.open(tmp_path)
    old, token = operator.create(Scope.READER)
    service = KeyRing.open(tmp_path)
    _, own = service.create_for_this_run(Scope.ADMIN)
    principal = service.find(token)
    assert principal is not None
    operator.revoke(old.key_id)
    _, fresh = operator.create(Scope.USER, "u1")
    assert service.find(token) is not None, "it does not look at every request"
    later = time.monotonic() + keys.LOOK_SECONDS
    monkeypatch.setattr(keys.time, "monotonic", lambda: later)
    assert service.find(token) is None
    assert not service.holds(principal)
    assert service.find(fresh).user_id == "u1"
    assert service.find(own).scope is Scope.ADMIN
    assert own not in (tmp_path / "keys.json").read_text()


def test_no_key_is_valid_once_the_file_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "LOOK_SECONDS", 0.0)
    service = KeyRing.open(tmp_path)
    _, token = service.create(Scope.READER)
    path = tmp_path / "keys.json"
    path.write_text("{")
    for _ in range(2):
        with pytest.raises(StoreError, match="make new ones"):
            service.find(token)
    with pytest.raises(StoreError, match="make new ones"):
        service.create(Scope.READER)
    path.unlink()
    assert service.find(token) is None
    service.create(Scope.READER)
    assert len(KeyRing.open(tmp_path)) == 1


def test_keys_made_side_by_side_are_all_there(tmp_path: Path) -> None:
    rings = [KeyRing.open(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: rings[n % 4].create(Scope.READER)[0].key_id, range(24)))
    assert ids(KeyRing.open(tmp_path)) == set(made)


def test_a_lock_that_is_never_given_back_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_MOST_WAIT_SECONDS", 0.05)
    ring = KeyRing.open(tmp_path)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another process"):
            ring.create(Scope.READER)
    finally:
        os.close(descriptor)
    assert ring.create(Scope.READER)


def test_a_file_that_cannot_be_replaced_leaves_no_other_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing.open(tmp_path)
    ring.create(Scope.READER)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail_to_replace)
        with pytest.raises(StoreError, match="free the disk"):
            ring.create(Scope.USER, "u1")
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]
    assert len(ring) == len(KeyRing.open(tmp_path)) == 1


def fail_to_replace(path: Path, target: Path) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("changes_something", [True, False])
def test_what_a_killed_writer_left_is_gone_after_the_next_change(tmp_path: Path, changes_something: bool) -> None:
    ring = KeyRing.open(tmp_path)
    ring.create(Scope.USER, "u1")
    left = tmp_path / ".keys.json.4194305"
    left.write_text((tmp_path / "keys.json").read_text())
    assert ring.revoke_user("u1" if changes_something else "u2") == changes_something
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]
