"""The application: routes, errors, health and metrics put together around a store and a recommender."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from inspect import signature
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from bluerec import __version__
from bluerec.errors import BluerecError, DataError
from bluerec.serving import routes, studio
from bluerec.serving.access import PrincipalOf, Service, Sessions, check_embedder, fail
from bluerec.serving.keys import KeyRing
from bluerec.serving.limits import Guard, Limits, RateLimiter
from bluerec.serving.messages import describe_fault
from bluerec.serving.metrics import Metrics, describe_failure, log
from bluerec.serving.ports import ProfileStore, ReasonedRecommender
from bluerec.serving.schemas import REQUEST_FIELDS
from bluerec.serving.warming import Warmup
from bluerec.serving.worker import Generate, ProfileWorker

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
_SEE_LOG = "see the log and run: bluerec doctor --store STORE"
_PLACES = ("body", "query", "path")
# What searches and reads at the same time: more threads than this only wait for the same two cores.
_THREADS = 8


def build_app(
    store: ProfileStore,
    recommender: ReasonedRecommender,
    keys: KeyRing,
    *,
    generate: Generate | None = None,
    warm: Callable[[], object] | None = None,
    limits: Limits | None = None,
    hosts: Iterable[str] = LOOPBACK_HOSTS,
) -> FastAPI:
    """The service as an ASGI application. `hosts` are the names that it answers for (none: any).

    `generate` writes the profiles of the queue; without it jobs stay queued, for another process. `warm` loads the
    embedder: it is called beside the start, and until it returns the service is not ready.
    """
    limits = limits or Limits()
    metrics = Metrics()
    rates = RateLimiter(limits.requests_per_second, limits.burst)
    worker = ProfileWorker(store, generate, metrics) if generate else None
    warmup = Warmup(warm)
    service = Service(
        store, recommender, keys, limits, metrics, Sessions(), rates, generator_state=partial(_tell_state, worker),
        embedder_state=lambda: warmup.state,
    )  # fmt: skip

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        from anyio import to_thread

        to_thread.current_default_thread_limiter().total_tokens = _THREADS
        if worker:
            worker.start()
        warmup.start()
        yield
        warmup.stop()
        if worker:
            worker.stop()

    app = FastAPI(
        title="bluerec",
        version=__version__,
        description="Profiles that people read, correct and delete, and what they bring.",
        lifespan=live,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    app.include_router(routes.router)
    app.include_router(studio.router)
    studio.mount_static(app)
    _add_health(app, service, worker)
    _add_errors(app)
    app.add_middleware(Guard, limits=limits, metrics=metrics, hosts=frozenset(hosts))
    return app


def _tell_state(worker: ProfileWorker | None) -> str:
    """Whether there is what writes profiles, and whether it waits for an endpoint that does not answer."""
    if worker is None:
        return "none"
    return "waiting" if worker.is_waiting else "ready"


def _add_health(app: FastAPI, service: Service, worker: ProfileWorker | None) -> None:
    @app.get("/health/live", summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get(
        "/health/ready",
        summary="The store can be read, the worker runs, the embedder is there",
        responses=routes.ERRORS,
    )
    def ready() -> dict[str, str]:
        try:
            service.store.user_ids("", 1)
        except (BluerecError, OSError, RuntimeError, ValueError) as error:
            log("the store cannot be read", level=logging.WARNING, **describe_failure(error))
            raise fail(503, "store", f"the store cannot be read; {_SEE_LOG}") from error
        if worker and not worker.is_alive:
            raise fail(503, "worker", "the worker that writes profiles has ended; restart the service")
        check_embedder(service)
        if service.embedder_state() == "failed":
            raise fail(503, "embedder", f"the embedder cannot be loaded; {_SEE_LOG}")
        return {"status": "ready"}

    @app.get("/metrics", summary="Counters for Prometheus", responses=routes.ERRORS, response_class=Response)
    def metrics(principal: PrincipalOf) -> Response:
        if not principal.sees_everybody:
            raise fail(403, "scope", "this needs a key of scope reader or admin")
        service.metrics.queued.set(service.store.n_open_jobs())
        return Response(service.metrics.render(), media_type=service.metrics.content_type)


def _add_errors(app: FastAPI) -> None:
    """Every failure has one shape, and none repeats what was sent or what an exception says."""

    def answer(request: Request, status: int, code: str, message: str, **more: Any) -> Response:
        if request.scope["path"].startswith("/studio") and request.headers.get("accept", "").startswith("text/html"):
            return studio.show_failure(request, status, message)
        return JSONResponse({"error": {"code": code, "message": message}}, status, **more)

    async def on_http(request: Request, error: Exception) -> Response:
        detail = getattr(error, "detail", None)
        known = detail if isinstance(detail, dict) else {"code": "http", "message": str(detail)}
        status = getattr(error, "status_code", 500)
        return answer(request, status, known["code"], known["message"], headers=getattr(error, "headers", None))

    async def on_invalid(request: Request, error: Exception) -> Response:
        first = error.errors()[0] if isinstance(error, RequestValidationError) and error.errors() else {}
        where = _name_place(request, first.get("loc", ()))
        what = describe_fault(where, first.get("type", "invalid"), first.get("ctx", {}))
        return answer(request, 422, "invalid", f"{where}: {what}; see /openapi.json")

    async def on_data(request: Request, error: Exception) -> Response:
        # What only the store can see: a text of characters that do not show, an item that has gone meanwhile.
        return answer(request, 422, "invalid", "the store refuses a value of this request; see /openapi.json")

    async def on_bluerec(request: Request, error: Exception) -> Response:
        log("store refused", level=logging.WARNING, **describe_failure(error))
        return answer(request, 503, "store", f"the store could not do this; {_SEE_LOG}")

    async def on_defect(request: Request, error: Exception) -> Response:
        return answer(request, 500, "defect", "a defect of the service; the log has its place")

    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        HTTPException: on_http,
        RequestValidationError: on_invalid,
        DataError: on_data,
        BluerecError: on_bluerec,
        Exception: on_defect,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _name_place(request: Request, parts: Sequence[str | int]) -> str:
    """Where in a request a bad value stands, in names of ours: a field that nobody knows has its name from outside."""
    endpoint = getattr(request.scope.get("route"), "endpoint", None)
    parameters = signature(endpoint).parameters if endpoint else {}
    known = {*_PLACES, *REQUEST_FIELDS, *parameters}
    return ".".join(part for part in parts if part in known)
