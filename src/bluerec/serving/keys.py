"""API keys: random tokens that are shown once, kept as hashes, and allow one of three things.

A token has 256 bits of its own randomness, so one SHA-256 is enough: there is nothing to guess, and no slow hash for
passwords is needed at every request.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from bluerec.errors import ConfigError, StoreError

KEYS_FILE = "keys.json"
TOKEN_PREFIX = "blu_"
# A running service knows after this time what others have changed in the file.
LOOK_SECONDS = 1.0
_TOKEN_BYTES = 32
_MAX_TOKEN_CHARACTERS = 200
_MOST_WAIT_SECONDS = 10.0
_NO_FILE = (0, 0, 0)


class Scope(StrEnum):
    """What a key allows: reading everybody, everything about one user, or everything."""

    READER = "reader"
    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the key's id and scope, and for a user's key the one user it opens."""

    key_id: str
    scope: Scope
    user_id: str | None = None

    def may_read(self, user_id: str) -> bool:
        return self.scope is not Scope.USER or self.user_id == user_id

    def may_write(self, user_id: str) -> bool:
        return self.scope is Scope.ADMIN or (self.scope is Scope.USER and self.user_id == user_id)

    @property
    def sees_everybody(self) -> bool:
        return self.scope is not Scope.USER


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept: `digest` is the SHA-256 of the token in hexadecimal digits, `created` in Unix seconds."""

    key_id: str
    digest: str
    scope: str
    user_id: str | None
    created: float


class KeyRing:
    """The keys of a store, in a file that only its owner can read; without a file they live as long as the process.

    Several processes may have the same file: a service that runs, and `bluerec key`. A change is made in what the file
    holds at that moment, under a lock, so that no process undoes what another did. What others changed counts here
    after `LOOK_SECONDS` at the latest; once the file is damaged nobody can tell which keys are valid, and `find` and
    `holds` raise `StoreError` until it is mended or deleted.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()  # held for moments, by whoever brings memory and file together
        self._fleeting: dict[str, Key] = {}
        self._kept: dict[str, Key] = {}
        self._keys: dict[str, Key] = {}
        self._by_digest: dict[str, Key] = {}
        self._file = _NO_FILE
        self._look_again = 0.0

    @classmethod
    def open(cls, folder: str | Path) -> KeyRing:
        """The keys kept in a store's folder; none where there is no file yet. Raises `StoreError` if damaged."""
        ring = cls(Path(folder) / KEYS_FILE)
        ring._look()
        return ring

    def __len__(self) -> int:
        return len(self._keys)

    def keys(self) -> list[Key]:
        """All keys, oldest first; they hold no token."""
        return sorted(self._keys.values(), key=lambda key: key.created)

    def create(self, scope: Scope, user_id: str | None = None) -> tuple[Key, str]:
        """A new key and its token, which is kept nowhere. Raises `ConfigError` if scope and user contradict."""
        if (scope is Scope.USER) != (user_id is not None):
            raise ConfigError("a key of scope user names its user, others name none; give --user ID with --scope user")
        key, token = _make_key(scope, user_id)
        self._change(lambda kept: {**kept, key.key_id: key})
        return key, token

    def create_for_this_run(self, scope: Scope) -> tuple[Key, str]:
        """A key for everybody's data that is never written to the file: it ends with the process."""
        key, token = _make_key(scope, None)
        with self._lock:
            self._fleeting[key.key_id] = key
            self._take(self._kept)
        return key, token

    def revoke(self, key_id: str) -> bool:
        """Forget a key; False where there is none of this id."""
        return self._forget(lambda key: key.key_id == key_id) > 0

    def revoke_user(self, user_id: str) -> int:
        """Forget the keys of one user; how many there were."""
        return self._forget(lambda key: key.user_id == user_id)

    def _forget(self, is_meant: Callable[[Key], bool]) -> int:
        before = self._change(lambda kept: {name: key for name, key in kept.items() if not is_meant(key)})
        with self._lock:
            ended = [name for name, key in self._fleeting.items() if is_meant(key)]
            for name in ended:
                del self._fleeting[name]
            self._take(self._kept)
        return len(ended) + sum(is_meant(key) for key in before.values())

    def find(self, token: str) -> Principal | None:
        """Who holds this token: looked up by its hash, compared in constant time."""
        if not token or len(token) > _MAX_TOKEN_CHARACTERS:
            return None
        self._look()
        digest = hash_token(token)
        key = self._by_digest.get(digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            return None
        return Principal(key.key_id, Scope(key.scope), key.user_id)

    def holds(self, principal: Principal) -> bool:
        """Whether the key behind a principal is still valid."""
        self._look()
        return principal.key_id in self._keys

    def _look(self) -> None:
        """Take over what others have changed in the file. Looks once in a while, and waits for nobody."""
        if self._path is None or time.monotonic() < self._look_again or not self._lock.acquire(blocking=False):
            return
        try:
            if _identify(self._path) != self._file:
                self._read(self._path)
            self._look_again = time.monotonic() + LOOK_SECONDS
        finally:
            self._lock.release()

    def _read(self, path: Path) -> None:
        # Identified first: a file that is replaced while it is read is then read again.
        found = _identify(path)
        self._take(_load(path))
        self._file = found

    def _take(self, kept: dict[str, Key]) -> None:
        keys = {**kept, **self._fleeting}
        self._kept, self._keys = kept, keys
        self._by_digest = {key.digest: key for key in keys.values()}

    def _change(self, change: Callable[[dict[str, Key]], dict[str, Key]]) -> dict[str, Key]:
        """Change what the file holds now, in the file first and then in memory; what it held before."""
        if self._path is None:
            with self._lock:
                before = self._kept
                self._take(change(before))
            return before
        with _lock_folder(self._path.parent), self._lock:
            _remove_strays(self._path)
            self._read(self._path)
            before = self._kept
            after = change(before)
            if after != before:
                _write(self._path, after)
                self._take(after)
                self._file = _identify(self._path)
        return before


def _make_key(scope: Scope, user_id: str | None) -> tuple[Key, str]:
    token = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    return Key(secrets.token_hex(4), hash_token(token), scope.value, user_id, time.time()), token


def _identify(path: Path) -> tuple[int, int, int]:
    """What changes whenever the file does, without reading it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return _NO_FILE
    except OSError as error:
        raise StoreError(f"{path}: cannot be read as keys ({error.strerror}); mend the rights") from error
    return found.st_ino, found.st_mtime_ns, found.st_size


def _load(path: Path) -> dict[str, Key]:
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["keys"]
        keys = [Key(**row) for row in rows]
        _check(keys)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: cannot be read as keys ({error}); delete it and make new ones") from error
    return {key.key_id: key for key in keys}


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Of all processes and threads one at a time is in this block. The lock ends with the process that holds it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be opened ({error.strerror}); mend the rights") from error
    try:
        _wait_for(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + _MOST_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise StoreError(f"{folder}: another process is changing its keys; try again later") from error
            time.sleep(0.01)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be locked ({error.strerror}); keep it on a local disk") from error
        else:
            return


def _write(path: Path, keys: dict[str, Key]) -> None:
    content = json.dumps({"keys": [asdict(key) for key in keys.values()]}, indent=1)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            _write_durably(temporary, content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); free the disk or mend the rights") from error


def _write_durably(path: Path, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove_strays(path: Path) -> None:
    """Remove what killed writers left, which names users too. Whoever holds the lock is the only one who writes."""
    try:
        for stray in path.parent.glob(f".{path.name}.[0-9]*"):
            stray.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path.parent}: cannot be changed ({error.strerror}); mend the rights") from error


def hash_token(token: str) -> str:
    """SHA-256 of a token, 64 hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _check(keys: list[Key]) -> None:
    for key in keys:
        Scope(key.scope)
        if len(key.digest) != 64 or (key.scope == Scope.USER) != (key.user_id is not None):
            raise ValueError(f"key {key.key_id!r} is malformed")
