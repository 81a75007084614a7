"""API keys: random tokens that are shown once, kept as hashes, and allow one of three things.

A token has 256 bits of its own randomness, so one SHA-256 is enough: there is nothing to guess, and no slow hash for
passwords is needed at every request.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from bluerec.errors import ConfigError, StoreError

KEYS_FILE = "keys.json"
TOKEN_PREFIX = "blu_"
_TOKEN_BYTES = 32
_MAX_TOKEN_CHARACTERS = 200


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
    """The keys of a store, in a file that only its owner can read; without a file they live as long as the process."""

    def __init__(self, keys: list[Key] | None = None, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._path = path
        self._fleeting: set[str] = set()
        self._keys: dict[str, Key] = {}
        self._by_digest: dict[str, Key] = {}
        self._replace({key.key_id: key for key in keys or ()})

    @classmethod
    def open(cls, folder: str | Path) -> KeyRing:
        """The keys kept in a store's folder; none where there is no file yet. Raises `StoreError` if damaged."""
        path = Path(folder) / KEYS_FILE
        if not path.exists():
            return cls(path=path)
        try:
            rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["keys"]
            keys = [Key(**row) for row in rows]
            _check(keys)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: cannot be read as keys ({error}); delete it and make new ones") from error
        return cls(keys, path)

    def __len__(self) -> int:
        return len(self._keys)

    def keys(self) -> list[Key]:
        """All keys, oldest first; they hold no token."""
        return sorted(self._keys.values(), key=lambda key: key.created)

    def create(self, scope: Scope, user_id: str | None = None) -> tuple[Key, str]:
        """A new key and its token, which is kept nowhere. Raises `ConfigError` if scope and user contradict."""
        if (scope is Scope.USER) != (user_id is not None):
            raise ConfigError("a key of scope user names its user, others name none; give --user ID with --scope user")
        token = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
        return self._add(token, scope, user_id), token

    def create_for_this_run(self, scope: Scope) -> tuple[Key, str]:
        """A key for everybody's data that is never written to the file: it ends with the process."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
        key = Key(secrets.token_hex(4), hash_token(token), scope.value, None, time.time())
        with self._lock:
            self._fleeting.add(key.key_id)
            self._replace({**self._keys, key.key_id: key})
        return key, token

    def _add(self, token: str, scope: Scope, user_id: str | None) -> Key:
        key = Key(secrets.token_hex(4), hash_token(token), scope.value, user_id, time.time())
        with self._lock:
            self._save({**self._keys, key.key_id: key})
        return key

    def revoke(self, key_id: str) -> bool:
        """Forget a key; False where there is none of this id."""
        with self._lock:
            if key_id not in self._keys:
                return False
            self._save({name: key for name, key in self._keys.items() if name != key_id})
        return True

    def revoke_user(self, user_id: str) -> int:
        """Forget the keys of one user; how many there were."""
        mine = [key.key_id for key in self._keys.values() if key.user_id == user_id]
        return sum(self.revoke(key_id) for key_id in mine)

    def find(self, token: str) -> Principal | None:
        """Who holds this token: looked up by its hash, compared in constant time."""
        if not token or len(token) > _MAX_TOKEN_CHARACTERS:
            return None
        digest = hash_token(token)
        key = self._by_digest.get(digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            return None
        return Principal(key.key_id, Scope(key.scope), key.user_id)

    def holds(self, principal: Principal) -> bool:
        """Whether the key behind a principal is still valid."""
        return principal.key_id in self._keys

    def _replace(self, keys: dict[str, Key]) -> None:
        self._keys = keys
        self._by_digest = {key.digest: key for key in keys.values()}

    def _save(self, keys: dict[str, Key]) -> None:
        """Keep other keys from now on: in the file first, then in memory."""
        if self._path is not None:
            _write(self._path, {name: key for name, key in keys.items() if name not in self._fleeting})
        self._replace(keys)


def _write(path: Path, keys: dict[str, Key]) -> None:
    content = json.dumps({"keys": [asdict(key) for key in keys.values()]}, indent=1)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); free the disk or mend the rights") from error


def hash_token(token: str) -> str:
    """SHA-256 of a token, 64 hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _check(keys: list[Key]) -> None:
    for key in keys:
        Scope(key.scope)
        if len(key.digest) != 64 or (key.scope == Scope.USER) != (key.user_id is not None):
            raise ValueError(f"key {key.key_id!r} is malformed")
