"""HTTP connections that may not be slow: uvicorn's own, with limits for headers, and so many at most.

What is no HTTP is answered here, by the same problem documents as everything else. uvicorn waits without end
for a request's headers, of any size, and for the client to take what it is sent; that is how one client with
a thousand sockets keeps a server busy for nothing.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from orchestrator.api import problems
from orchestrator.api.gate import SAFE_HEADERS
from orchestrator.api.problems import ApiProblem

HEADERS_S = 10.0
"""From the connection, or the first byte of a further request, to the end of its headers."""

MOST_HEAD_BYTES = 65_536
"""Of a request's line and headers, beside what comes in one piece with their end."""

LINGER_S = 2.0
"""How long a client that was refused may go on sending into nothing."""

MOST_CONNECTIONS = 4_000


class PatientToAPoint(HttpToolsProtocol):
    """A connection that is closed when its headers do not come."""

    headers_s = HEADERS_S
    most_connections = MOST_CONNECTIONS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.abort()
            return
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Take bytes in; headers that do not end are given up, and what comes after a refusal is not read."""
        if self._refused:
            return
        expected = self._deadline is not None
        super().data_received(data)
        if not expected or self._deadline is None:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(problems.head_too_large(MOST_HEAD_BYTES))

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; uvicorn would say so in plain text."""
        self._refuse(problems.malformed())

    def on_message_begin(self) -> None:
        """Begin to wait for the headers of a further request."""
        super().on_message_begin()
        if self._deadline is None:
            self._expect_headers()

    def on_headers_complete(self) -> None:
        """The headers are there."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _refuse(self, problem: ApiProblem) -> None:
        """Answer, unless another answer is on its way, and hang up.

        Not at once: with bytes unread the client would be told of a reset, and not see the answer.
        """
        self._stop_waiting()
        self._refused = True
        answering = (
            self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        )
        if not answering and not self.transport.is_closing():
            request_id = uuid.uuid4().hex
            body = problem.document(request_id)
            headers = [
                (b"content-type", problems.MEDIA_TYPE.encode()),
                (b"content-length", b"%d" % len(body)),
                (b"connection", b"close"),
                (b"cache-control", b"no-store"),
                (b"x-request-id", request_id.encode()),
                *SAFE_HEADERS,
            ]
            first = b"HTTP/1.1 %d %s\r\n" % (problem.status, problem.status.phrase.encode())
            lines = b"".join(b"%s: %s\r\n" % header for header in headers)
            self.transport.write(first + lines + b"\r\n" + body)
            if self.transport.can_write_eof():
                self.transport.write_eof()
                self.loop.call_later(LINGER_S, self.transport.abort)
                return
        self.transport.close()

    def _expect_headers(self) -> None:
        self._deadline = self.loop.call_later(self.headers_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.abort()


def with_limits(headers_s: float, most: int = MOST_CONNECTIONS) -> type[PatientToAPoint]:
    """The same with other limits."""
    return type("Limited", (PatientToAPoint,), {"headers_s": headers_s, "most_connections": most})
