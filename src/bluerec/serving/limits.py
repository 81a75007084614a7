"""Limits around the whole application: hosts, sizes, rates, concurrency, time. Plain ASGI, so that they cost little."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPMethod
from typing import Any
from urllib.parse import unquote

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bluerec.serving.metrics import Metrics, describe_exception, log

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
SECURITY_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # Not no-referrer: with it browsers say `Origin: null` of the page's own forms.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_MAX_BUCKETS = 10_000
# A name or an IPv4 address, or an IPv6 address in brackets; then perhaps a port.
_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^\[\]:]+))(?::[0-9]*)?")
# Python reads no number of more than some thousand digits; no length has as many as this.
_MOST_DIGITS = 18
_METHODS = frozenset(method.value for method in HTTPMethod)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the service.

    Bytes of a body, characters of a profile, rows of one call; requests a second and at once per key; requests in
    flight before others are turned away; seconds for one request; profiles that may wait to be written.
    """

    max_body_bytes: int = 1_000_000
    max_profile_characters: int = 4_000
    max_rows: int = 1_000
    requests_per_second: float = 500.0
    burst: int = 1_000
    max_in_flight: int = 64
    timeout_seconds: float = 10.0
    max_queued: int = 10_000


class RateLimiter:
    """Token buckets, one per name; the least recently seen are forgotten."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now: float | None = None) -> float:
        """Take one token: 0 if there was one, else the seconds until there is."""
        now = time.monotonic() if now is None else now
        tokens, then = self._buckets.pop(name, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - then) * self._per_second)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._per_second
        self._buckets[name] = (tokens - 1 if wait == 0 else tokens, now)
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return wait


class Guard:
    """Turns away what the service cannot or should not answer, and closes every response with safe headers."""

    def __init__(self, app: ASGIApp, *, limits: Limits, metrics: Metrics, hosts: frozenset[str]) -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._hosts = frozenset(host.lower() for host in hosts)
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send, self._metrics, self._limits.max_body_bytes, receive)
        refusal = self._refuse(scope)
        if refusal:
            await answer.refuse(*refusal)
            return
        scope["path"] = _keep_slashes(scope)
        if scope["path"].startswith(("/health/", "/static/")) or scope["path"] == "/metrics":
            await self._app(scope, answer.receive, answer.send)
            return
        await self._run(scope, answer)

    def _refuse(self, scope: Scope) -> tuple[int, str, str] | None:
        headers = dict(scope["headers"])
        if self._hosts and _read_host(headers.get(b"host", b"")) not in self._hosts:
            return 421, "host", "this server does not answer for that host name"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            return 400, "length", "Content-Length is not a number"
        digits = length.lstrip(b"0")
        if len(digits) > _MOST_DIGITS or int(digits or b"0") > self._limits.max_body_bytes:
            return 413, "size", f"the body is larger than {self._limits.max_body_bytes} bytes"
        return None

    async def _run(self, scope: Scope, answer: _Answer) -> None:
        if self._in_flight >= self._limits.max_in_flight:
            await answer.refuse(503, "overload", "too many requests at once; try again in a second")
            return
        self._in_flight += 1
        self._metrics.in_flight.inc()
        task = asyncio.ensure_future(self._app(scope, answer.receive, answer.send))
        task.add_done_callback(self._leave)
        await asyncio.wait({task}, timeout=self._limits.timeout_seconds)
        if task.done():
            await task
            return
        task.add_done_callback(answer.log_late_failure)
        # Work in a thread cannot be stopped: it keeps its place among those in flight until it ends. Cancelling the
        # task would give the place away while the thread goes on; only who waits for a body is sent away.
        await answer.refuse(503, "timeout", "the answer took too long; try again later")
        if answer.is_receiving:
            task.cancel()

    def _leave(self, task: asyncio.Future[Any]) -> None:
        self._in_flight -= 1
        self._metrics.in_flight.dec()
        if not task.cancelled():
            task.exception()  # seen here, so that no task complains at the end; `_run` raises or logs it


class TooLarge(HTTPException):
    """A body without a stated length turned out to be too large.

    An HTTP exception, because FastAPI turns any other that comes up while it reads a body into status 400.
    """

    def __init__(self) -> None:
        super().__init__(413, {"code": "size", "message": "the body is too large"})


class _Answer:
    """One response: adds headers, counts bytes of the body, and can close the door behind a refusal."""

    def __init__(self, scope: Scope, send: Send, metrics: Metrics, max_body: int, receive: Receive) -> None:
        self._scope, self._send, self._receive = scope, send, receive
        self._metrics, self._max_body = metrics, max_body
        self._begin = time.perf_counter()
        self._request_id = secrets.token_hex(8)
        self._started = self._closed = False
        self.is_receiving = False
        self._n_bytes = 0

    async def receive(self) -> Message:
        self.is_receiving = True
        message = await self._receive()
        self.is_receiving = False
        self._n_bytes += len(message.get("body", b""))
        if self._n_bytes > self._max_body:
            raise TooLarge
        return message

    async def send(self, message: Message) -> None:
        if self._closed:
            return
        if message["type"] == "http.response.start":
            self._started = True
            own = {name.lower() for name, _ in message["headers"]}
            extra = [pair for pair in SECURITY_HEADERS if pair[0] not in own]
            if b"cache-control" not in own:
                extra.append((b"cache-control", b"no-store"))
            extra.append((b"x-request-id", self._request_id.encode()))
            message = {**message, "headers": [*message["headers"], *extra]}
            self._count(message["status"])
        await self._send(message)

    async def refuse(self, status: int, reason: str, text: str) -> None:
        """Answer with an error instead of the application, unless it has already begun to answer."""
        self._metrics.refused.labels(reason).inc()
        if not self._started:
            body = json.dumps({"error": {"code": reason, "message": text}}).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            if status in (429, 503):
                headers.append((b"retry-after", b"1"))
            await self.send({"type": "http.response.start", "status": status, "headers": headers})
            await self.send({"type": "http.response.body", "body": body})
        self._closed = True

    def log_late_failure(self, task: asyncio.Future[Any]) -> None:
        """Log what a request that was refused for its time failed with, since nobody waits for it any more."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            facts = describe_exception(error)
            log("failed after its time was up", level=logging.ERROR, request_id=self._request_id, **facts)

    def _count(self, status: int) -> None:
        seconds = time.perf_counter() - self._begin
        route = getattr(self._scope.get("route"), "path", "none")
        # Labels are never freed: a name that a stranger makes up must not become one.
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        level = logging.WARNING if status >= 500 else logging.DEBUG if status < 400 else logging.INFO
        log("request", level=level, request_id=self._request_id, method=method, route=route,
            status=status, ms=round(seconds * 1000, 1), key=self._scope.get("key_id"))  # fmt: skip


def _read_host(header: bytes) -> str:
    """The name or address of a Host header in small letters; empty where it is neither."""
    found = _HOST.fullmatch(header.decode("latin-1").lower())
    return found["address"] or found["name"] if found else ""


def _keep_slashes(scope: Scope) -> str:
    """The path with slashes inside a user's id, and percent signs, still escaped: such a user can be reached so."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    text = raw.split(b"?")[0].decode("latin-1")
    return unquote(text.replace("%25", "%2525").replace("%2f", "%252F").replace("%2F", "%252F"), errors="replace")


def restore_slashes(part: str) -> str:
    """A part of such a path as it was meant: nothing else in it is escaped any more."""
    return part.replace("%2f", "/").replace("%2F", "/").replace("%25", "%")
