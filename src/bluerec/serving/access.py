"""Who may ask for what: bearer tokens for the API, a session cookie for the page; neither works for the other."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from bluerec.serving.keys import KeyRing, Principal
from bluerec.serving.limits import Limits, RateLimiter, restore_slashes
from bluerec.serving.metrics import Metrics
from bluerec.serving.ports import ProfileStore, ReasonedRecommender
from bluerec.serving.schemas import MAX_ID_CHARACTERS

SESSION_COOKIE = "bluerec_session"
SESSION_SECONDS = 12 * 3600
_MAX_SESSIONS = 10_000
# After which it is worth asking again whether the embedder is there.
_WARMING_SECONDS = 2
_bearer = HTTPBearer(auto_error=False, description="A token made by: bluerec key")


class Sessions:
    """Browsers that have shown a key: random ids, in memory, for half a day."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[Principal, float]] = OrderedDict()

    def begin(self, principal: Principal) -> str:
        name = secrets.token_urlsafe(32)
        self._open[name] = (principal, time.monotonic() + SESSION_SECONDS)
        while len(self._open) > _MAX_SESSIONS:
            self._open.popitem(last=False)
        return name

    def find(self, name: str | None) -> Principal | None:
        principal, end = self._open.get(name or "", (None, 0.0))
        return principal if time.monotonic() < end else None

    def end(self, name: str | None) -> None:
        self._open.pop(name or "", None)


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that a request may need; one per application."""

    store: ProfileStore
    recommender: ReasonedRecommender
    keys: KeyRing
    limits: Limits
    metrics: Metrics
    sessions: Sessions
    rates: RateLimiter
    generator_state: Callable[[], str]
    embedder_state: Callable[[], str]
    # Held while a list is made where the event loop runs.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


def fail(status: int, code: str, message: str, retry_after: float | None = None) -> HTTPException:
    """An error with a code for machines and a line for people."""
    headers = {"Retry-After": str(max(1, round(retry_after)))} if retry_after is not None else None
    return HTTPException(status, {"code": code, "message": message}, headers)


# Dependencies that wait for nothing are coroutines all the same: they run where they are asked for, while a plain
# function would be given to a thread of its own, several times for each request.
async def get_service(request: Request) -> Service:
    """The application's service."""
    service: Service = request.app.state.service
    return service


async def find_principal(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    """Who holds the bearer token. 401 without a valid one, 429 beyond the key's rate."""
    service = await get_service(request)
    principal = service.keys.find(credentials.credentials) if credentials else None
    if principal is None:
        check_rate(service, f"stranger {request.client.host if request.client else ''}")
        error = fail(401, "no-key", "send a valid token: Authorization: Bearer TOKEN; make one with: bluerec key")
        error.headers = {"WWW-Authenticate": "Bearer"}
        raise error
    request.scope["key_id"] = principal.key_id
    check_rate(service, principal.key_id)
    return principal


def check_rate(service: Service, name: str) -> None:
    """429 where a key asks too often."""
    wait = service.rates.take(name)
    if wait:
        service.metrics.refused.labels("rate").inc()
        raise fail(429, "rate", "too many requests with this key; slow down", wait)


def check_user_id(user_id: str) -> str:
    """The id as it is. 422 where it cannot be a user's."""
    if not 0 < len(user_id) <= MAX_ID_CHARACTERS or not user_id.isprintable():
        raise fail(422, "user-id", f"a user's id has 1 to {MAX_ID_CHARACTERS} printable characters")
    return user_id


def read_path_id(part: str) -> str:
    """A user's id from a path. 422 where it cannot be one."""
    return check_user_id(restore_slashes(part))


PrincipalOf = Annotated[Principal, Depends(find_principal)]
ServiceOf = Annotated[Service, Depends(get_service)]


def check_embedder(service: Service) -> None:
    """503 while the embedder is being loaded: whoever waited for it in a thread would hold up those who need none."""
    if service.embedder_state() == "warming":
        message = "the embedder is being loaded; try again in some seconds, lists of stored profiles are there already"
        raise fail(503, "warming", message, _WARMING_SECONDS)


async def require_embedder(service: ServiceOf, _: PrincipalOf) -> None:
    """The same as a dependency of the API, for those with a key."""
    check_embedder(service)


async def read_user(user_id: str, principal: PrincipalOf) -> str:
    """The user of the path, if the key may read about them. What it may not see does not exist for it."""
    user_id = read_path_id(user_id)
    if not principal.may_read(user_id):
        raise fail(403, "scope", "this key does not open that user")
    return user_id


async def write_user(user_id: str, principal: PrincipalOf) -> str:
    """The user of the path, if the key may change them."""
    user_id = read_path_id(user_id)
    if not principal.may_write(user_id):
        raise fail(403, "scope", "this key may not change that user")
    return user_id


async def require_reader(principal: PrincipalOf) -> Principal:
    """A key that is not one user's."""
    if not principal.sees_everybody:
        raise fail(403, "scope", "this needs a key of scope reader or admin")
    return principal


UserToRead = Annotated[str, Depends(read_user)]
UserToWrite = Annotated[str, Depends(write_user)]
ReaderOf = Annotated[Principal, Depends(require_reader)]
