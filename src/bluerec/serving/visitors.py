"""Who visits the page: a session, whom it opens, and whether a form comes from this page."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from bluerec.serving.access import (
    SESSION_COOKIE,
    ServiceOf,
    check_embedder,
    check_rate,
    fail,
    get_service,
    read_path_id,
)
from bluerec.serving.keys import Principal

_SAFE_SITES = ("same-origin", "none")


async def find_visitor(request: Request) -> Principal:
    """Who is signed in. 401 without a session; 403 for a form that another site has sent."""
    if request.method != "GET":
        check_origin(request)
    service = await get_service(request)
    principal = service.sessions.find(request.cookies.get(SESSION_COOKIE))
    if principal is None or not service.keys.holds(principal):
        raise fail(401, "no-session", "sign in first")
    request.scope["key_id"] = principal.key_id
    check_rate(service, principal.key_id)
    return principal


def check_origin(request: Request) -> None:
    """What the browser says of where a form comes from, which no page can forge: `Sec-Fetch-Site`, else `Origin`."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is None and origin is None:
        raise fail(403, "cross-site", "the browser does not say where this form comes from")
    is_own = site in _SAFE_SITES if site is not None else urlsplit(origin or "").netloc == request.headers.get("host")
    if not is_own:
        raise fail(403, "cross-site", "this form was not sent by this page")


Visitor = Annotated[Principal, Depends(find_visitor)]


async def _open_user(user_id: str, visitor: Visitor) -> str:
    user_id = read_path_id(user_id)
    if not visitor.may_read(user_id):
        raise fail(404, "unknown-user", "no such user")
    return user_id


async def _change_user(user_id: str, visitor: Visitor) -> str:
    user_id = await _open_user(user_id, visitor)
    if not visitor.may_write(user_id):
        raise fail(403, "scope", "your key reads only; sign in with another to change a profile")
    return user_id


async def _require_embedder(service: ServiceOf, _: Visitor) -> None:
    check_embedder(service)


# Of pages that cannot do without the embedder.
EMBEDDING = [Depends(_require_embedder)]
OpenUser = Annotated[str, Depends(_open_user)]
ChangeUser = Annotated[str, Depends(_change_user)]
