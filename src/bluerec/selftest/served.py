"""The service over a small store inside this process: what the suites ask and look at."""

from __future__ import annotations

import asyncio
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

BASE_URL = "http://testserver"


class Client:
    """Speaks to an application in this thread, in an event loop of its own, and keeps cookies.

    The framework's own test client hands every request to another thread and back several times, which is most of what
    a request costs on a busy machine. What an application raises becomes status 500, as in a server.
    """

    def __init__(self, app: Any) -> None:
        import httpx

        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("testclient", 50000))
        self._client = httpx.AsyncClient(transport=transport, base_url=BASE_URL)
        self._life = self._loop.create_task(self._live(app))

    async def _live(self, app: Any) -> None:
        """Like a server's main task: worker threads belong to it, and are not made anew for every request."""
        from anyio import CancelScope, to_thread

        async with app.router.lifespan_context(app), self._client:
            with CancelScope():
                await to_thread.run_sync(int)
                self._loop.stop()
                await self._over.wait()

    def __enter__(self) -> Client:
        self._life.add_done_callback(lambda _: self._loop.stop())
        self._loop.run_forever()
        if self._life.done():
            self._life.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._loop.run_until_complete(self._life)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def request(self, verb: str, url: str, **content: Any) -> Any:
        """The answer to a request; `content` as httpx takes it: params, headers, json, data, content, cookies."""
        return self._loop.run_until_complete(self._client.request(verb, url, **content))

    def get(self, url: str, **content: Any) -> Any:
        return self.request("GET", url, **content)

    def post(self, url: str, **content: Any) -> Any:
        return self.request("POST", url, **content)

    def put(self, url: str, **content: Any) -> Any:
        return self.request("PUT", url, **content)

    def delete(self, url: str, **content: Any) -> Any:
        return self.request("DELETE", url, **content)


@dataclass(frozen=True)
class Served:
    """The store, its keys, a client that speaks to the service, and the headers of an administrator."""

    store: Store
    keys: KeyRing
    app: Any
    client: Client
    admin: dict[str, str]

    def sign_in(self) -> None:
        """Open the page as an administrator; from then on the client carries the session."""
        token = self.admin["Authorization"].removeprefix("Bearer ")
        self.client.post("/studio/sign-in", data={"token": token}, headers=SAME_SITE)


# What a browser says of a form that comes from the page itself.
SAME_SITE = {"origin": BASE_URL, "sec-fetch-site": "same-origin"}


@contextmanager
def serve(folder: Path) -> Iterator[Served]:
    """The service over a store, without bounds on how often one may ask, and without waits for the disk.

    Raises `MissingExtraError`.
    """
    try:
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
        with Client(app) as client:
            yield Served(store, keys, app, client, admin)


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {token}"}
