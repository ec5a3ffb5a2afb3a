"""Whatever a client sends, it gets a problem document; what is no HTTP, too."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest

from orchestrator.api.connections import MOST_HEAD_BYTES
from schemas import codec
from schemas.tasks import MAX_DEADLINE_MS
from tests.orchestrator.api.lab import TOKEN, Client, running

HEAD = b"Host: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n" % TOKEN.encode()


def request(method: bytes, path: bytes, more: bytes = b"", body: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return method + b" " + path + b" HTTP/1.1\r\n" + HEAD + more + length + b"\r\n" + body


async def answer(client: Client, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of what comes back."""
    host, _, port = client.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        async with asyncio.timeout(20):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def task(text: bytes) -> bytes:
    return request(b"POST", b"/gpu/tasks", body=b'{"task_type": "echo", ' + text + b"}")


REFUSED = {
    "another protocol": (b"\x16\x03\x01\x02\x00 hello\r\n\r\n", 400, "malformed-request"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed-request"),
    "an unknown method": (request(b"FOO", b"/gpu/stats"), 400, "malformed-request"),
    "CONNECT": (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "malformed-request"),
    "a path that is not encoded": (request(b"GET", b"/gpu/tasks/\xff"), 400, "malformed-request"),
    "no path": (request(b"GET", b"?x"), 400, "malformed-request"),
    "NUL in a header": (request(b"GET", b"/gpu/stats", b"X-A: a\x00b\r\n"), 400, "malformed-request"),
    "a negative length": (
        request(b"POST", b"/gpu/tasks", b"Content-Length: -5\r\n"),
        400,
        "malformed-request",
    ),
    "two lengths": (
        request(b"POST", b"/gpu/tasks", b"Content-Length: 5\r\nContent-Length: 6\r\n"),
        400,
        "malformed-request",
    ),
    "length and chunks": (
        request(b"POST", b"/gpu/tasks", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        400,
        "malformed-request",
    ),
    "a chunk without a size": (
        request(b"POST", b"/gpu/tasks", b"Transfer-Encoding: chunked\r\n") + b"zz\r\nhello\r\n",
        400,
        "malformed-request",
    ),
    "a greatest length": (
        request(b"POST", b"/gpu/tasks", b"Content-Length: 9999999999999999999\r\n"),
        413,
        "body-too-large",
    ),
    "no bytes": (request(b"POST", b"/gpu/tasks"), 400, "bad-request"),
    "XML": (request(b"POST", b"/gpu/tasks", b"Content-Type: text/xml\r\n", b"<a/>"), 400, "bad-request"),
    "gzip": (
        request(b"POST", b"/gpu/tasks", b"Content-Encoding: gzip\r\n", b"\x1f\x8b"),
        400,
        "bad-request",
    ),
    "UTF-16": (
        request(b"POST", b"/gpu/tasks", body='{"task_type":"a"}'.encode("utf-16")),
        400,
        "bad-request",
    ),
    "half a surrogate": (task(rb'"idempotency_key": "\ud800"'), 400, "bad-request"),
    "a number beyond doubles": (task(b'"data": {"x": 1e999}'), 400, "bad-request"),
    "data too deep": (task(b'"data": {"x": ' + b"[" * 200 + b"]" * 200 + b"}"), 422, "invalid-request"),
    "data beyond all depth": (
        task(b'"data": {"x": ' + b"[" * 9_999 + b"]" * 9_999 + b"}"),
        400,
        "bad-request",
    ),
    "a deadline beyond 64 bits": (task(b'"deadline_ms": 9223372036854775807'), 422, "invalid-request"),
    "an unknown task": (request(b"DELETE", b"/gpu/tasks/unknown"), 404, "unknown-task"),
    "NUL as an id": (request(b"GET", b"/gpu/tasks/%00"), 422, "invalid-request"),
    "an id of 60,000 letters": (request(b"GET", b"/gpu/tasks/" + b"a" * 60_000), 422, "invalid-request"),
    "a folder above": (request(b"GET", b"/assets/%2e%2e%2fapp.py"), 404, "unknown-path"),
    "digits of another script": (request(b"GET", b"/gpu/tasks?limit=%D9%A3"), 422, "invalid-request"),
    "a limit of 5,000 digits": (request(b"GET", b"/gpu/tasks?limit=" + b"9" * 5_000), 422, "invalid-request"),
    "a cursor of NUL": (request(b"GET", b"/gpu/tasks?cursor=%00~%ff"), 400, "bad-request"),
    "an event's id that is none": (
        request(b"GET", b"/api/v1/events", b"Last-Event-ID: \xff\xfe\r\n"),
        400,
        "bad-request",
    ),
    "OPTIONS": (request(b"OPTIONS", b"/gpu/stats"), 405, "method-not-allowed"),
    "OPTIONS of all": (request(b"OPTIONS", b"*"), 404, "unknown-path"),
}


@pytest.fixture(scope="module")
def refusals() -> dict[str, tuple[int, dict[str, str], bytes]]:
    """What each of them is answered, by one API, which still works afterwards."""

    async def ask() -> dict[str, tuple[int, dict[str, str], bytes]]:
        async with running() as client:
            found = {name: await answer(client, sent) for name, (sent, _, _) in REFUSED.items()}
            assert client.log.entries == []
            assert (await client.call("GET", "/gpu/stats"))[0] == 200
            return found

    return asyncio.run(ask())


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_refused_with_a_problem_document(
    refusals: dict[str, tuple[int, dict[str, str], bytes]], name: str
) -> None:
    status, headers, body = refusals[name]
    problem = codec.loads(body)
    assert (status, problem["status"], problem["type"]) == (
        REFUSED[name][1],
        REFUSED[name][1],
        f"urn:tapestream:problem:{REFUSED[name][2]}",
    )
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"] == problem["request_id"]
    assert headers["x-content-type-options"] == "nosniff"
    assert problem["detail"]
    assert problem["title"] == HTTPStatus(status).phrase


async def test_headers_that_do_not_end_are_refused_and_large_ones_that_do_are_read() -> None:
    async with running() as client:
        endless = b"GET /gpu/stats HTTP/1.1\r\n" + HEAD + b"X-A: " + b"a" * (1 << 20)
        status, _, body = await answer(client, endless)
        assert (status, codec.loads(body)["type"]) == (431, "urn:tapestream:problem:headers-too-large")
        fits = request(b"GET", b"/gpu/stats", b"X-A: " + b"a" * (MOST_HEAD_BYTES // 2) + b"\r\n")
        assert (await answer(client, fits))[0] == 200


async def test_a_body_and_the_next_request_in_one_piece_are_no_large_header() -> None:
    async with running() as client:
        body = b'{"task_type": "echo", "data": {"x": "' + b"a" * 100_000 + b'"}}'
        first = request(b"POST", b"/gpu/tasks", body=body).replace(b"Connection: close\r\n", b"")
        status, _, rest = await answer(client, first + request(b"GET", b"/gpu/stats"))
        assert (status, b"HTTP/1.1 200 OK" in rest) == (202, True)


async def test_garbage_after_an_event_stream_has_begun_is_no_second_answer_in_it() -> None:
    async with running() as client:
        host, _, port = client.address.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request(b"GET", b"/api/v1/events").replace(b"Connection: close\r\n", b""))
        seen = await reader.readuntil(b"event: hello")
        writer.write(b"\x00\x01garbage\r\n\r\n")
        async with asyncio.timeout(20):
            seen += await reader.read()
        writer.close()
        assert seen.count(b"HTTP/1.1") == 1


async def test_head_is_get_without_its_body_and_405_names_every_method() -> None:
    async with running() as client:
        for path in ("/live", "/gpu/stats", "/api/v1/gpu/tasks"):
            status, headers, body = await answer(client, request(b"HEAD", path.encode()))
            assert (status, body) == (200, b""), path
            assert int(headers["content-length"]) > 0
        _, _, shown = await answer(client, request(b"GET", b"/metrics"))
        assert b'method="HEAD",route="/api/v1/gpu/tasks"' in shown
        allowed = {}
        for path in ("/gpu/tasks", "/gpu/tasks/a", "/gpu/memory/policy", "/api/v1/events"):
            allowed[path] = (await answer(client, request(b"PATCH", path.encode())))[1]["allow"]
        assert allowed == {
            "/gpu/tasks": "get, head, post",
            "/gpu/tasks/a": "delete, get, head",
            "/gpu/memory/policy": "get, head, post",
            "/api/v1/events": "get",
        }
        assert (await answer(client, request(b"HEAD", b"/api/v1/events")))[0] == 405
        assert (await answer(client, request(b"HEAD", b"/nope")))[0] == 404


async def test_an_event_id_beyond_the_log_is_answered_by_a_reset() -> None:
    """An id of a log that was made anew: its reader would otherwise wait for offsets that come in years."""
    async with running() as client:
        for last_id, first in (("t0-7", "reset"), ("t0-0", "hello"), ("", "hello"), ("...", "hello")):
            async with (
                asyncio.timeout(20),
                client.session.get(
                    client.address + "/api/v1/events", headers={"Last-Event-ID": last_id}
                ) as reply,
            ):
                found = await reply.content.readuntil(b"event: ")
                assert found.endswith(b"event: ")
                assert (await reply.content.readline()).strip().decode() == first, last_id


async def test_the_longest_deadline_is_taken() -> None:
    async with running() as client:
        body = {"task_type": "echo", "deadline_ms": MAX_DEADLINE_MS}
        assert (await client.call("POST", "/gpu/tasks", json=body))[0] == 202
