"""What every request passes before the routes: id, token, size, time; and what every trouble becomes.

Pure ASGI, since the framework's own middleware costs a task a request. A client learns nothing of us but the
problem document; what happened is in the log under the request's id. Tokens and query strings are not logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from orchestrator.api import problems
from orchestrator.api.metrics import RequestMetrics
from orchestrator.api.problems import ApiProblem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("tapestream.api")

OPEN = ("/live", "/ready", "/metrics", "/docs", "/openapi.json", "/dashboard", "/assets/", "/favicon.ico")
"""Without a token: health as on every process of ours, and pages that hold nothing until given a token."""

ENDLESS = "/api/v1/events"

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_DIGITS = re.compile(rb"[0-9]{1,18}")

SAFE_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    ),
]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may take."""

    body_bytes: int = 1_048_576
    body_s: float = 10.0
    answer_s: float = 30.0


class Token:
    """The API's token; only its digest is kept, so that comparing takes the same time for every length."""

    def __init__(self, token: str) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()

    def admits(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether the request names the token."""
        given = [value for name, value in headers if name == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        same = hmac.compare_digest(hashlib.sha256(token.strip()).digest(), self._digest)
        return same and scheme.lower() == b"bearer"


class Gate:
    """The outermost of the application."""

    def __init__(self, app: App, token: Token, limits: Limits, metrics: RequestMetrics) -> None:
        self._app = app
        self._token = token
        self._limits = limits
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        passage = _Passage(scope, receive, send, self._limits)
        scope.setdefault("state", {})["request_id"] = passage.request_id
        started = time.perf_counter()
        try:
            await self._serve(scope, passage)
        except ApiProblem as problem:
            await passage.refuse(problem)
        except _ClientLeft:
            pass
        except Exception:
            log.exception("request %s: %s %s failed", passage.request_id, scope["method"], scope["path"])
            await passage.refuse(problems.internal())
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.count(scope["method"], route, passage.status, time.perf_counter() - started)

    async def _serve(self, scope: Scope, passage: _Passage) -> None:
        path = scope["path"]
        if scope["method"] == "HEAD" and path != ENDLESS:
            # The server sends no body, by its own scope; metrics want the route.
            looked, scope = scope, {**scope, "method": "GET"}
            try:
                await self._serve(scope, passage)
            finally:
                looked["route"] = scope.get("route")
            return
        if not _is_open(path) and not self._token.admits(scope["headers"]):
            raise problems.unauthorized()
        passage.check_declared_size()
        if path == ENDLESS:
            await self._app(scope, passage.receive, passage.send)
            return
        try:
            async with asyncio.timeout(self._limits.answer_s):
                await self._app(scope, passage.receive, passage.send)
        except TimeoutError:
            raise problems.took_too_long(self._limits.answer_s) from None


def _is_open(path: str) -> bool:
    return any(path == name or (name.endswith("/") and path.startswith(name)) for name in OPEN)


class _ClientLeft(Exception):
    """The client hung up while we were reading from it."""


class _Passage:
    """One request and its answer on their way through the gate."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        self._receive, self._send, self._limits = receive, send, limits
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self._headers.get(b"x-request-id", b"")
        self.request_id = given.decode() if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        self.status = 0
        self._taken = 0
        self._whole = False
        self._last: float | None = None

    def check_declared_size(self) -> None:
        """Refuse what says itself that it is too large, before any of it is read."""
        declared = self._headers.get(b"content-length", b"0")
        if not _DIGITS.fullmatch(declared) or int(declared) > self._limits.body_bytes:
            raise problems.body_too_large(self._limits.body_bytes)

    async def receive(self) -> MutableMapping[str, Any]:
        if self._whole:  # only the end of the connection is left to wait for
            return await self._receive()
        loop = asyncio.get_running_loop()
        self._last = self._last or loop.time() + self._limits.body_s
        try:
            async with asyncio.timeout_at(self._last):
                message = await self._receive()
        except TimeoutError:
            raise problems.body_too_slow(self._limits.body_s) from None
        if message["type"] == "http.disconnect":
            raise _ClientLeft
        self._taken += len(message.get("body", b""))
        if self._taken > self._limits.body_bytes:
            raise problems.body_too_large(self._limits.body_bytes)
        self._whole = not message.get("more_body", False)
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", []), (b"x-request-id", self.request_id.encode())]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers + SAFE_HEADERS}
        await self._send(message)

    async def refuse(self, problem: ApiProblem) -> None:
        """Answer with a problem document, unless an answer has begun."""
        if self.status:
            return
        body = problem.document(self.request_id)
        headers = [
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        ]
        await self.send({"type": "http.response.start", "status": problem.status.value, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
