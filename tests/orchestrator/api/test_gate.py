"""Tokens, sizes, slowness, and what of us an error shows: nothing."""

import asyncio
import logging
import resource
from collections.abc import Iterator

import aiohttp
import pytest

from orchestrator.api import views
from orchestrator.api.app import make_api
from orchestrator.api.connections import with_limits
from orchestrator.api.gate import Limits
from schemas.errors import SettingsError
from schemas.settings import Settings, load_settings
from tests.orchestrator.api.lab import TOKEN, running

MIB = 1_048_576


def test_without_a_token_the_api_does_not_start() -> None:
    with pytest.raises(SettingsError, match="TAPESTREAM_API_TOKEN"):
        make_api(Settings())


def test_a_token_that_could_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPESTREAM_API_TOKEN", "short")
    with pytest.raises(SettingsError, match="TAPESTREAM_API_TOKEN") as refused:
        load_settings()
    assert "short" not in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}X",
        f"Bearer {TOKEN} {TOKEN}",
        "Bearer " + "x" * 6_000,
    ],
)
async def test_a_wrong_or_absent_token_of_any_length_opens_nothing(given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given}
    async with running() as client, aiohttp.ClientSession(headers=headers) as session:
        for path in ("/api/v1/gpu/stats", "/gpu/stats", "/api/v1/events", "/nothing/here"):
            async with session.get(client.address + path) as reply:
                problem = await reply.json(content_type=None)
                assert (reply.status, problem["type"]) == (401, "urn:tapestream:problem:unauthorized")
                assert reply.headers["WWW-Authenticate"].startswith("Bearer")
                assert reply.content_type == "application/problem+json"


async def test_pages_and_health_need_no_token_and_hold_no_data() -> None:
    async with running() as client, aiohttp.ClientSession() as session:
        for path in ("/live", "/ready", "/metrics", "/docs", "/dashboard", "/openapi.json", "/favicon.ico"):
            async with session.get(client.address + path) as reply:
                assert reply.status == 200, path
                assert TOKEN not in await reply.text()


async def test_pages_load_nothing_from_elsewhere() -> None:
    async with running() as client:
        for page in ("/docs", "/dashboard"):
            async with client.session.get(client.address + page) as reply:
                text = await reply.text()
            assert "//" not in text.replace("<!--", "")
            for part in text.split('"'):
                if part.startswith(("/assets/", "/favicon")):
                    async with client.session.get(client.address + part) as asset:
                        assert asset.status == 200, part
        async with client.session.get(client.address + "/assets/..%2f..%2fapp.py") as reply:
            assert reply.status == 404


async def test_a_body_of_100_mb_is_refused_before_it_is_sent() -> None:
    async with running() as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(client.address.rsplit(":")[-1]))
        writer.write(
            b"POST /api/v1/gpu/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n"
            b"Authorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
        )
        answer = await asyncio.wait_for(reader.read(), 10)  # to the end: the connection is closed
        writer.close()
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"urn:tapestream:problem:body-too-large" in answer


async def test_a_body_that_does_not_say_its_size_is_refused_where_it_becomes_too_large() -> None:
    taken = 0

    async def endless() -> object:
        nonlocal taken
        for _ in range(1_600):
            taken += 65_536
            yield b" " * 65_536

    async with running() as client:
        try:
            status, problem = await client.call("POST", "/gpu/tasks", data=endless())
            assert (status, problem["type"]) == (413, "urn:tapestream:problem:body-too-large")
        except aiohttp.ClientConnectionError:  # it was cut off while it still sent
            pass
        assert taken < 40 * MIB
        assert not client.log.entries
        assert (await client.call("GET", "/gpu/stats"))[0] == 200


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async with running(Limits(body_s=0.2)) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(client.address.rsplit(":")[-1]))
        writer.write(
            b"POST /gpu/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Authorization: Bearer " + TOKEN.encode() + b'\r\n\r\n{"task'
        )
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of a thousand connections are files of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4_096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
async def test_a_thousand_slow_clients_hinder_nobody_and_are_cut_off() -> None:
    async with running(connections=with_limits(headers_s=1.5)) as client:
        port = int(client.address.rsplit(":")[-1])
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1_000)]
        for _, writer in slow:
            writer.write(b"GET /api/v1/gpu/stats HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        answers = await asyncio.gather(*(client.call("GET", "/gpu/stats") for _ in range(50)))
        assert {status for status, _ in answers} == {200}
        ends = await asyncio.wait_for(
            asyncio.gather(*(reader.read() for reader, _ in slow), return_exceptions=True), 20
        )
        assert all(end == b"" or isinstance(end, ConnectionError) for end in ends)
        for _, writer in slow:
            writer.close()


async def test_connections_beyond_the_most_are_refused() -> None:
    async with running(connections=with_limits(headers_s=60, most=5)) as client:
        port = int(client.address.rsplit(":")[-1])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
        ended = [asyncio.create_task(reader.read()) for reader, _ in held]
        done, waiting = await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert (len(done), len(waiting)) == (1, 5)
        for _, writer in held:
            writer.close()
        await asyncio.gather(*ended, return_exceptions=True)


async def test_a_defect_shows_its_request_id_and_not_its_stack(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret of the code")

    monkeypatch.setattr(views, "stats", broken)
    async with running() as client:
        with caplog.at_level(logging.INFO):
            status, problem = await client.call("GET", "/gpu/stats", headers={"X-Request-Id": "mine-1"})
    assert status == 500
    assert problem == {
        "type": "urn:tapestream:problem:internal",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "a defect of Tapestream",
        "remedy": "the API's log has it under this request_id",
        "request_id": "mine-1",
    }
    assert "mine-1" in caplog.text
    assert "a secret of the code" in caplog.text


async def test_an_answer_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(Limits(answer_s=0.05)) as client:

        async def forever(*_: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(client.log, "send", forever)
        status, problem = await client.call("POST", "/gpu/tasks", json={"task_type": "a"})
    assert (status, problem["type"]) == (503, "urn:tapestream:problem:timeout")


async def test_the_token_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with running() as client:
            await client.call("GET", "/gpu/stats")
            await client.call("GET", "/nope")
            await client.call("POST", "/gpu/tasks", data=b"{")
    assert TOKEN not in caplog.text


async def test_a_request_id_is_kept_when_it_is_one_and_made_otherwise() -> None:
    async with running() as client:
        for given, kept in (("abc-1", True), ("x" * 200, False), ("a b", False)):
            async with client.session.get(
                client.address + "/gpu/stats", headers={"X-Request-Id": given}
            ) as reply:
                assert (reply.headers["X-Request-Id"] == given) is kept


async def test_unknown_paths_and_methods_have_the_same_shape_of_error() -> None:
    async with running() as client:
        for method, path, status in (("GET", "/nope", 404), ("PUT", "/gpu/tasks", 405)):
            found, problem = await client.call(method, path)
            assert (found, problem["status"], sorted(problem)) == (
                status,
                status,
                ["detail", "remedy", "request_id", "status", "title", "type"],
            )
