"""The service over a small store inside this process: what the suites ask and look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluerec.errors import MissingExtraError
from bluerec.selftest.small_store import open_store
from bluerec.store.recommender import Recommender
from bluerec.store.store import Store

if TYPE_CHECKING:
    from bluerec.serving.keys import KeyRing


@dataclass(frozen=True)
class Served:
    """The store, its keys, a client that speaks to the service, and the headers of an administrator."""

    store: Store
    keys: KeyRing
    app: Any
    client: Any
    admin: dict[str, str]

    def sign_in(self) -> None:
        """Open the page as an administrator; from then on the client carries the session."""
        token = self.admin["Authorization"].removeprefix("Bearer ")
        self.client.post("/studio/sign-in", data={"token": token}, headers=SAME_SITE)


# What a browser says of a form that comes from the page itself.
SAME_SITE = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}


@contextmanager
def serve(folder: Path) -> Iterator[Served]:
    """The service over a store, without bounds on how often one may ask, and without waits for the disk.

    Raises `MissingExtraError`.
    """
    try:
        from fastapi.testclient import TestClient

        from bluerec.serving.api import build_app
        from bluerec.serving.keys import KeyRing, Scope
        from bluerec.serving.limits import Limits
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve") from error
    limits = Limits(requests_per_second=1e9, burst=10**9)
    with open_store(folder, durable=False) as store:
        keys = KeyRing()
        app = build_app(store, Recommender(store), keys, hosts=(), limits=limits)
        admin = bearer(keys.create(Scope.ADMIN)[1])
        with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
            yield Served(store, keys, app, client, admin)


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {token}"}
