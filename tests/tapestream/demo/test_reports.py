from aiohttp import web
from aiohttp.test_utils import TestServer

from streams.broker.ports import free_ports
from tapestream.demo.reports import WorkerPages, sent_of


def a_worker(ready: bool, accounting: dict) -> TestServer:
    app = web.Application()

    async def say_ready(_: web.Request) -> web.Response:
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    async def say_accounting(_: web.Request) -> web.Response:
        return web.json_response(accounting)

    app.router.add_get("/ready", say_ready)
    app.router.add_get("/accounting", say_accounting)
    return TestServer(app)


def address(server: TestServer) -> str:
    return str(server.make_url("")).rstrip("/")


async def test_workers_are_ready_when_each_is():
    async with a_worker(True, {}) as one, a_worker(False, {}) as two, WorkerPages() as pages:
        assert await pages.ready({"one": address(one)})
        assert not await pages.ready({"one": address(one), "two": address(two)})
        assert not await pages.ready({})


async def test_a_worker_that_does_not_answer_is_not_ready():
    async with WorkerPages() as pages:
        assert not await pages.ready({"one": f"http://127.0.0.1:{free_ports(1)[0]}"})


async def test_what_a_worker_last_said_stands_while_it_is_away():
    report = {"worker": "one", "partitions": []}
    async with WorkerPages() as pages:
        async with a_worker(True, report) as one:
            assert await pages.reports({"one": address(one)}) == [report]
            assert pages.silent == set()
        assert await pages.reports({"one": f"http://127.0.0.1:{free_ports(1)[0]}"}) == [report]
        assert pages.silent == {"one"}


async def test_who_has_no_accounting_is_not_waited_for():
    async with a_worker(True, {}) as api, WorkerPages() as pages:
        assert (
            await pages.reports({"api": address(api), "agent": f"http://127.0.0.1:{free_ports(1)[0]}"}) == []
        )
        assert pages.silent == set()


def test_a_producer_says_what_it_sent_in_its_last_json_object(tmp_path):
    log = tmp_path / "market.log"
    log.write_text('{"ticks": 1}\nwaiting\n{"ticks": 7, "wall_s": 1.0}\nnot {json\n{broken\n')
    assert sent_of(log) == 7


def test_a_producer_that_says_nothing_sent_nobody_knows_what(tmp_path):
    log = tmp_path / "market.log"
    assert sent_of(log) is None
    log.write_text("error: no broker\n")
    assert sent_of(log) is None
