"""A service over a store in memory, with a key of each scope."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from fastapi.testclient import TestClient

from bluerec.serving.api import build_app
from bluerec.serving.keys import KeyRing, Scope
from serving.memory_store import MemoryRecommender, MemoryStore, build_memory_store


@dataclass
class Served:
    """A running application: its store, its client and the headers of each key."""

    client: TestClient
    store: MemoryStore
    keys: KeyRing
    admin: dict[str, str]
    reader: dict[str, str]
    user: dict[str, str]
    token: str


def headers_of(keys: KeyRing, scope: Scope, user_id: str | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {keys.create(scope, user_id)[1]}"}


@pytest.fixture
def served() -> Iterator[Served]:
    store, keys = build_memory_store(), KeyRing()
    app = build_app(store, MemoryRecommender(store), keys, hosts=("testserver",))
    admin = headers_of(keys, Scope.ADMIN)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Served(
            client, store, keys, admin, headers_of(keys, Scope.READER), headers_of(keys, Scope.USER, "u0001"),
            admin["Authorization"].removeprefix("Bearer "),
        )  # fmt: skip
