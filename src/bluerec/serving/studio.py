"""The page: choose a user, read and edit the profile, see the list move, go back, take it along, delete it.

Rendered on the server and complete without scripts; the script only makes the list move while one types. Forms are
answered only where the browser says that they come from this page.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.staticfiles import StaticFiles

from bluerec.data.sentences import join_sentences
from bluerec.serving.access import (
    SESSION_COOKIE,
    SESSION_SECONDS,
    Service,
    ServiceOf,
    check_rate,
    check_user_id,
    fail,
)
from bluerec.serving.keys import Principal, Scope
from bluerec.serving.ports import ReasonedRecommender
from bluerec.serving.routes import (
    UNKNOWN_USER,
    delete_everything,
    export_everything,
    is_known,
    require_profile,
    revert_to,
    save_text,
)
from bluerec.serving.schemas import Text
from bluerec.serving.timeline import show_day
from bluerec.serving.views import (
    build_bare_page,
    build_comparison,
    build_free_reading,
    build_reading,
    build_user_page,
    describe_item,
    name_item,
    show_reading,
)
from bluerec.serving.visitors import EMBEDDING, ChangeUser, OpenUser, Visitor, check_origin

WEB_FOLDER = Path(__file__).parent / "web"
N_LISTED = 60
_AT_ONCE = 303


def _show_moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %b %Y, %H:%M UTC")


def _quote_id(text: str) -> str:
    """An id inside a path. A slash is escaped too, and a bare dot, which a browser would take for a folder."""
    return quote(text, safe="").replace(".", "%2E")


def _letter(place: int) -> str:
    """A, B, ... for the sentences of a profile, from 0."""
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[place % 26]


templates = Environment(
    loader=FileSystemLoader(WEB_FOLDER),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters.update(
    day=show_day, moment=_show_moment, in_path=_quote_id, name=name_item, about=describe_item, letter=_letter
)
router = APIRouter(prefix="/studio", include_in_schema=False)


def mount_static(app: FastAPI) -> None:
    """The style sheet and the script, from this package."""
    app.mount("/static", StaticFiles(directory=WEB_FOLDER / "static"), name="static")

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("/studio", 307)


def render(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from a template; everything in it is escaped."""
    return HTMLResponse(templates.get_template(name).render(principal=None, **values), status)


def show_failure(request: Request, status: int, message: str) -> HTMLResponse:
    """A failure as a page; strangers get the sign-in form."""
    return render("sign-in.html" if status == 401 else "failure.html", status, message=message if status != 401 else "")


ProfileField = Annotated[Text, Form()]
ItemField = Annotated[str | None, Form(max_length=256)]


@router.get("/sign-in")
async def sign_in_by_link(service: ServiceOf, token: str = "") -> Response:
    """The link that the server prints at its start: the token is exchanged for a cookie and leaves the address bar."""
    return _sign_in(service, token)


@router.post("/sign-in")
async def sign_in(request: Request, service: ServiceOf, token: Annotated[str, Form(max_length=200)] = "") -> Response:
    check_origin(request)
    return _sign_in(service, token)


def _sign_in(service: Service, token: str) -> Response:
    check_rate(service, "sign-in")
    principal = service.keys.find(token.strip())
    if principal is None:
        message = "No key has this token. The server prints a link when it starts." if token else ""
        return render("sign-in.html", 401, message=message)
    response = RedirectResponse("/studio", _AT_ONCE)
    response.set_cookie(
        SESSION_COOKIE, service.sessions.begin(principal), max_age=SESSION_SECONDS, httponly=True, samesite="strict",
        path="/studio",
    )  # fmt: skip
    return response


@router.post("/sign-out")
async def sign_out(request: Request, service: ServiceOf, _: Visitor) -> Response:
    service.sessions.end(request.cookies.get(SESSION_COOKIE))
    response = RedirectResponse("/studio", _AT_ONCE)
    response.delete_cookie(SESSION_COOKIE, path="/studio")
    return response


@router.get("")
def choose(
    service: ServiceOf, visitor: Visitor, q: Annotated[str, Query(max_length=256)] = "", deleted: bool = False
) -> Response:
    if visitor.user_id is not None:
        if deleted or not is_known(service, visitor.user_id):
            return render("failure.html", message="Nothing is kept about the user of this key.")
        return RedirectResponse(f"/studio/users/{_quote_id(visitor.user_id)}", _AT_ONCE)
    found = list(service.store.user_ids(q, N_LISTED + 1))
    profiles = [(user_id, service.store.profile(user_id)) for user_id in found[:N_LISTED]]
    users = [(user_id, profile) for user_id, profile in profiles if profile is not None]
    return render("choose.html", users=users, more=len(found) > N_LISTED, query=q, deleted=deleted)


@router.get("/try")
def ask_for_text(visitor: Visitor) -> Response:
    return render("try.html", reading=None, can_keep=visitor.scope is Scope.ADMIN, message="")


@router.post("/try", dependencies=EMBEDDING)
def try_text(request: Request, service: ServiceOf, visitor: Visitor, text: ProfileField) -> Response:
    """The list of any text: nobody needs a history, and nothing is kept."""
    _check_length(service, text)
    reading = build_free_reading(service, text)
    if _wants_json(request):
        return JSONResponse(show_reading(reading))
    return render("try.html", reading=reading, can_keep=visitor.scope is Scope.ADMIN, message="")


@router.post("/try/keep", dependencies=EMBEDDING)
def keep_text(
    service: ServiceOf, visitor: Visitor, text: ProfileField, user_id: Annotated[str, Form(max_length=256)]
) -> Response:
    """A text becomes the profile of a new user."""
    user_id = check_user_id(user_id.strip())
    if not visitor.may_write(user_id):
        raise fail(403, "scope", "your key cannot make users; sign in with one of scope admin")
    if service.store.profile(user_id) is not None:
        reading, message = build_free_reading(service, text), "There is a user of this name already; choose another."
        return render("try.html", 409, reading=reading, can_keep=True, message=message)
    save_text(service, user_id, text)
    return _back(user_id, "saved")


@router.get("/users/{user_id}")
def show_user(
    service: ServiceOf, visitor: Visitor, user_id: OpenUser, said: Annotated[str, Query(max_length=20)] = ""
) -> Response:
    if service.store.profile(user_id) is not None:
        return _show(service, visitor, user_id, said=said)
    _require_user(service, user_id)
    return render("bare.html", page=build_bare_page(service, user_id), can_write=visitor.may_write(user_id))


def _show(service: Service, visitor: Principal, user_id: str, text: str | None = None, said: str = "") -> HTMLResponse:
    page = build_user_page(service, user_id, require_profile(service, user_id), text)
    return render("user.html", page=page, reading=page.reading, can_write=visitor.may_write(user_id), said=said)


@router.post("/users/{user_id}/preview", dependencies=EMBEDDING)
def preview(
    request: Request, service: ServiceOf, visitor: Visitor, user_id: ChangeUser, text: ProfileField
) -> Response:
    """What a text would say and bring, saved nowhere: JSON for the script, else the whole page."""
    return _show_draft(request, service, visitor, user_id, text)


def _show_draft(
    request: Request, service: Service, visitor: Principal, user_id: str, text: str, said: str = ""
) -> Response:
    _check_length(service, text)
    if _wants_json(request):
        return JSONResponse(show_reading(build_reading(service, user_id, require_profile(service, user_id), text)))
    return _show(service, visitor, user_id, text, said)


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _check_length(service: Service, text: str) -> None:
    if len(text) > service.limits.max_profile_characters:
        raise fail(413, "size", f"a profile has at most {service.limits.max_profile_characters} characters")


@router.post("/users/{user_id}/save", dependencies=EMBEDDING)
def save(request: Request, service: ServiceOf, user_id: ChangeUser, text: ProfileField) -> Response:
    """Save a text. The script stays where it is until this has worked, so that no failure costs the text."""
    version = save_text(service, user_id, text).version
    return JSONResponse({"version": version}) if _wants_json(request) else _back(user_id, "saved")


@router.post("/users/{user_id}/revert", dependencies=EMBEDDING)
def go_back(service: ServiceOf, user_id: ChangeUser, version: Annotated[int, Form(ge=1, le=2**31 - 1)]) -> Response:
    revert_to(service, user_id, version)
    return _back(user_id, "reverted")


@router.post("/users/{user_id}/steer", dependencies=EMBEDDING)
def steer(
    request: Request,
    service: ServiceOf,
    visitor: Visitor,
    user_id: ChangeUser,
    text: ProfileField,
    more: ItemField = None,
    less: ItemField = None,
    drop: Annotated[int | None, Form(ge=0, le=1000)] = None,
) -> Response:
    """`More like this`, `not this` and `without this sentence` are edits that the user sees before they are saved."""
    item_id = more or less
    if item_id is not None and service.store.item(item_id) is None:
        raise fail(404, "unknown-item", "no such item")
    if item_id is not None:
        change = service.recommender.more_like if more else service.recommender.not_this
        text = change(text, item_id)
    elif drop is not None:
        text = _take_out(service.recommender, text, drop)
    return _show_draft(request, service, visitor, user_id, text, said="steered")


def _take_out(recommender: ReasonedRecommender, text: str, place: int) -> str:
    """The text without one of its sentences, cut into the others again. The only sentence stays."""
    kept = [sentence for at, sentence in enumerate(recommender.sentences(text)) if at != place]
    return join_sentences(kept) or text


@router.get("/users/{user_id}/versions/{before}/{after}", dependencies=EMBEDDING)
def compare(service: ServiceOf, visitor: Visitor, user_id: OpenUser, before: int, after: int) -> Response:
    known = {version.version: version for version in service.store.versions(user_id)}
    if before not in known or after not in known:
        raise fail(404, "unknown-version", "this user has no such version")
    comparison = build_comparison(service, user_id, known[before], known[after])
    return render("compare.html", comparison=comparison, can_write=visitor.may_write(user_id))


@router.get("/users/{user_id}/export")
def export(service: ServiceOf, user_id: OpenUser) -> Response:
    content = json.dumps(export_everything(service, user_id), ensure_ascii=False, indent=1)
    headers = {"Content-Disposition": 'attachment; filename="profile.json"'}
    return Response(content.encode("utf-8", "replace"), media_type="application/json", headers=headers)


@router.get("/users/{user_id}/delete")
def ask_delete(service: ServiceOf, user_id: ChangeUser) -> Response:
    _require_user(service, user_id)
    return render("delete.html", user_id=user_id, message="")


@router.post("/users/{user_id}/delete", dependencies=EMBEDDING)
def delete(service: ServiceOf, user_id: ChangeUser, confirm: Annotated[str, Form(max_length=256)] = "") -> Response:
    if confirm != user_id:
        return render("delete.html", 422, user_id=user_id, message="That is not the user's id; nothing was deleted.")
    return render("deleted.html", user_id=user_id, receipt=delete_everything(service, user_id))


def _require_user(service: Service, user_id: str) -> None:
    """404 where nothing is kept under this id. A history without a profile is something."""
    if not is_known(service, user_id):
        raise fail(404, "unknown-user", UNKNOWN_USER)


def _back(user_id: str, said: str) -> Response:
    return RedirectResponse(f"/studio/users/{_quote_id(user_id)}?said={said}", _AT_ONCE)
