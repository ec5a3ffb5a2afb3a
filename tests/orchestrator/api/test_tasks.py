"""Tasks over HTTP: what is sent, what is not sent twice, what is shown."""

import asyncio

import pytest

from orchestrator.api.model import Seen
from orchestrator.api.model.read_model import LETTERS
from schemas import allocations, codec
from schemas.commands import PolicyCommand
from schemas.devices import DeviceReport
from schemas.tasks import Failure, TaskCancel, TaskProgress, TaskRequest, TaskResult
from streams import topics
from tests.orchestrator.api.lab import NOW_MS, Client, running

AS_PEOPLE_TYPE_IT = (
    b'{"task_type": "neural_analysis", "data": {"symbols": ["AAPL", "GOOGL"], "model": "LSTM"}, '
    b'"memory_required": 2000000000}'
)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_the_lines_that_people_type_work_as_they_are() -> None:
    async with running() as client:
        for path in ("/api/v1/gpu/stats", "/gpu/resources", "/gpu/memory/alerts"):
            assert (await client.call("GET", path))[0] == 200
        status, accepted = await client.call(
            "POST", "/api/v1/gpu/tasks", data=AS_PEOPLE_TYPE_IT, headers=FORM
        )
        assert (status, accepted["state"]) == (202, "QUEUED")
        (sent,) = client.log.entries
        assert (sent.base, sent.key.decode()) == (topics.GPU_TASKS, accepted["task_id"])
        assert codec.decode(TaskRequest, sent.value) == TaskRequest(
            task_id=accepted["task_id"],
            task_type="neural_analysis",
            data={"symbols": ["AAPL", "GOOGL"], "model": "LSTM"},
            memory_required=2_000_000_000,
        )
        status, policy = await client.call(
            "POST", "/gpu/memory/policy", data=b'{"policy": "aggressive"}', headers=FORM
        )
        assert (status, policy["policy"]) == (202, "aggressive")
        assert codec.decode(PolicyCommand, client.log.entries[-1].value).policy == "aggressive"
        assert (await client.call("GET", "/api/v1/gpu/memory/policy"))[1]["policy"] == "aggressive"


@pytest.mark.parametrize("where", ["header", "field"])
async def test_the_same_key_does_nothing_twice_even_at_once_and_elsewhere(where: str) -> None:
    headers = {"Idempotency-Key": "order-7"} if where == "header" else {}
    field = {"idempotency_key": "order-7"} if where == "field" else {}
    async with running() as client:
        client.log.echoes = False
        answers = await asyncio.gather(
            *(
                client.call("POST", "/gpu/tasks", json={"task_type": "a"} | field, headers=headers)
                for _ in range(8)
            )
        )
        ids = {answer["task_id"] for _, answer in answers}
        assert sorted(answer["repeated"] for _, answer in answers) == [False] + [True] * 7
        assert (len(ids), len(client.log.entries)) == (1, 1)
        status, problem = await client.call(
            "POST", "/gpu/tasks", json={"task_type": "b"} | field, headers=headers
        )
        assert (status, problem["type"]) == (409, "urn:tapestream:problem:conflict")
    async with running() as other:  # another process makes the same id of the key
        _, again = await other.call("POST", "/gpu/tasks", json={"task_type": "a"} | field, headers=headers)
        assert {again["task_id"]} == ids


async def test_a_key_that_another_client_used_on_the_topic_is_known() -> None:
    async with running() as client:
        asked = TaskRequest(task_id="t1", task_type="a", idempotency_key="k")
        client.log.put(topics.GPU_TASKS, codec.dumps(asked))
        _, answer = await client.call(
            "POST", "/gpu/tasks", json={"task_type": "a"}, headers={"Idempotency-Key": "k"}
        )
        assert (answer["task_id"], answer["repeated"], len(client.log.entries)) == ("t1", True, 1)


async def test_a_key_in_two_places_that_differ_is_refused() -> None:
    async with running() as client:
        body = {"task_type": "a", "idempotency_key": "x"}
        status, problem = await client.call("POST", "/gpu/tasks", json=body, headers={"Idempotency-Key": "y"})
        assert (status, problem["errors"][0]["field"]) == (400, "idempotency_key")


@pytest.mark.parametrize(("keys", "status"), [(("k", "k"), 202), (("k", "other"), 400)])
async def test_a_key_that_is_sent_twice_must_be_one(keys: tuple[str, str], status: int) -> None:
    async with running() as client:
        headers = [("Idempotency-Key", key) for key in keys]
        found, answer = await client.call("POST", "/gpu/tasks", json={"task_type": "a"}, headers=headers)
        assert found == status
        if status == 400:
            assert (answer["errors"][0]["field"], len(client.log.entries)) == ("Idempotency-Key", 0)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "body"),
        (b"{", 400, "body"),
        (b'{"task_type": "a", "data": {"x": NaN}}', 400, "body"),
        (b'"\\ud800"', 400, "body"),
        (b"[]", 422, "body"),
        (b"{}", 422, "task_type"),
        (b'{"task_type": "a", "priority": 99}', 422, "priority"),
        (b'{"task_type": "a", "memory_required": -1}', 422, "memory_required"),
        (b'{"task_type": "a", "memory_required": 1, "min_memory": 2}', 422, "body"),
        (b'{"task_type": "a b"}', 422, "task_type"),
        (b'{"task_type": "a", "deadline_ms": 1' + b"0" * 30 + b"}", 422, "deadline_ms"),
        (b'{"task_type": "a", "deadline_ms": 100000000000000000000}', 422, "deadline_ms"),
        (b'{"task_type": "a", "data": {"x": ' + b"[" * 400 + b"]" * 400 + b"}}", 422, "data"),
        (b'{"task_type": "a", "data": {"x": ' + b"[" * 2_000 + b"]" * 2_000 + b"}}", 400, "body"),
    ],
)
async def test_a_wrong_request_is_named_by_its_field_and_not_sent(
    body: bytes, status: int, field: str
) -> None:
    async with running() as client:
        found, problem = await client.call("POST", "/gpu/tasks", data=body)
        assert (found, problem["errors"][0]["field"]) == (status, field)
        assert client.log.entries == []


async def test_what_the_log_does_not_take_is_a_503_and_can_be_sent_again() -> None:
    async with running() as client:
        client.log.delivers = False
        status, problem = await client.call("POST", "/gpu/tasks", json={"task_type": "a", "task_id": "t"})
        assert (status, problem["type"]) == (503, "urn:tapestream:problem:log-unavailable")
        client.log.delivers = True
        status, answer = await client.call("POST", "/gpu/tasks", json={"task_type": "a", "task_id": "t"})
        assert (status, answer["repeated"]) == (202, False)


async def test_nothing_is_accepted_before_the_topics_are_read() -> None:
    async with running() as client:
        client.api.model.caught_up = False
        status, problem = await client.call("POST", "/gpu/tasks", json={"task_type": "a"})
        assert (status, problem["type"]) == (503, "urn:tapestream:problem:not-ready")
        assert (await client.call("GET", "/gpu/tasks/t"))[0] == 503
        async with client.session.get(client.address + "/ready") as reply:
            assert reply.status == 503


async def test_a_task_is_shown_from_its_request_to_its_result() -> None:
    async with running() as client:
        asked = TaskRequest(task_id="t1", task_type="a", memory_required=5, priority=7)
        client.log.put(topics.GPU_TASKS, codec.dumps(asked))
        told = TaskProgress(task_id="t1", attempt=1, progress=0.5, stage="half")
        client.log.put(topics.GPU_RESULTS, codec.dumps(told))
        result = TaskResult(
            task_id="t1",
            task_type="a",
            state="FAILED",
            failure=Failure(code="TASK_ERROR", problem="no bars"),
            ran_on=["GPU-1"],
            ran_ms=3.5,
        )
        client.log.put(topics.GPU_RESULTS, codec.dumps(result))
        _, shown = await client.call("GET", "/gpu/tasks/t1")
        assert shown == {
            "task_id": "t1",
            "task_type": "a",
            "state": "FAILED",
            "priority": 7,
            "memory_required": 5,
            "devices": 1,
            "submitted_ms": NOW_MS,
            "updated_ms": NOW_MS + 2,
            "attempt": 1,
            "gpu_uuids": ["GPU-1"],
            "progress": 0.5,
            "stage": "half",
            "cancel_requested": False,
            "failure": {"code": "TASK_ERROR", "problem": "no bars", "remedy": ""},
            "ran_ms": 3.5,
            "request": codec.loads(codec.dumps(asked)),
            "result": codec.loads(codec.dumps(result)),
        }


async def test_cancelling_is_sent_once_and_not_to_what_is_over() -> None:
    async with running() as client:
        await client.call("POST", "/gpu/tasks", json={"task_type": "a", "task_id": "t"})
        for _ in range(2):
            status, shown = await client.call("DELETE", "/gpu/tasks/t?reason=enough")
            assert (status, shown["cancel_requested"]) == (202, True)
        assert codec.decode(TaskCancel, client.log.entries[1].value) == TaskCancel(
            task_id="t", reason="enough"
        )
        over = TaskResult(task_id="u", task_type="a", state="SUCCEEDED")
        client.log.put(topics.GPU_RESULTS, codec.dumps(over))
        assert (await client.call("DELETE", "/gpu/tasks/u"))[1]["state"] == "SUCCEEDED"
        assert (await client.call("DELETE", "/gpu/tasks/nobody"))[0] == 404
        assert len(client.log.entries) == 3


async def test_pages_hold_each_task_once_while_others_arrive() -> None:
    async with running() as client:
        for number in range(25):
            client.log.put(topics.GPU_TASKS, codec.dumps(TaskRequest(task_id=f"t{number}", task_type="a")))
        found, cursor = [], ""
        while True:
            _, page = await client.call("GET", f"/gpu/tasks?limit=10{cursor}")
            found += [task["task_id"] for task in page["tasks"]]
            client.log.put(
                topics.GPU_TASKS, codec.dumps(TaskRequest(task_id=f"late{len(found)}", task_type="a"))
            )
            if "next_cursor" not in page:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert found == [f"t{number}" for number in reversed(range(25))]
        for wrong in ("x", "1", "~", "x~y"):
            assert (await client.call("GET", f"/gpu/tasks?cursor={wrong}"))[0] == 400
        _, page = await client.call("GET", "/gpu/tasks?state=RUNNING")
        assert page["tasks"] == []


async def test_devices_and_decisions_are_shown_with_what_the_fold_said() -> None:
    async with running() as client:
        report = DeviceReport(
            gpu_uuid="GPU-1", kind="gpu", host="h", health="HEALTHY", at_ns=1, memory_bytes=100, free_bytes=60
        )
        client.log.put(topics.GPU_DEVICES, codec.dumps(report))
        head = {"domain": "h", "owner": "o", "at_ns": 1}
        for record in (
            allocations.OwnerClaimed(**head, epoch=1),
            allocations.DeviceSeen(
                **head, epoch=1, gpu_uuid="GPU-1", device_kind="gpu", host="h", capacity_bytes=100
            ),
            allocations.OwnerClaimed(**head, epoch=7),
        ):
            client.log.put(topics.ALLOCATIONS, allocations.encode(record))
        _, resources = await client.call("GET", "/gpu/resources")
        (device,) = resources["devices"]
        assert (device["report"], device["ledger_free_bytes"]) == (codec.loads(codec.dumps(report)), 100)
        _, page = await client.call("GET", "/gpu/allocations?limit=2")
        assert [(d["offset"], d["verdict"]) for d in page["decisions"]] == [(2, "ignored"), (1, "accepted")]
        _, rest = await client.call("GET", f"/gpu/allocations?cursor={page['next_cursor']}")
        assert [d["record"]["kind"] for d in rest["decisions"]] == ["owner_claimed"]


async def _events(client: Client, last_id: str | None, count: int) -> list[tuple[str, str, object]]:
    """The first events of a stream: id, kind, data."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    found = []
    async with (
        asyncio.timeout(10),
        client.session.get(client.address + "/api/v1/events", headers=headers) as reply,
    ):
        assert reply.content_type == "text/event-stream"
        fields: dict[str, str] = {}
        async for line in reply.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "id" in fields:
                found.append((fields["id"], fields["event"], codec.loads(fields["data"])))
                fields = {}
                if len(found) == count:
                    break
    return found


def _submit(client: Client, task_id: str, partition: int = 0) -> None:
    asked = TaskRequest(task_id=task_id, task_type="a")
    client.log.put(topics.GPU_TASKS, codec.dumps(asked), partition=partition)


async def test_an_event_stream_goes_on_after_the_event_that_its_client_saw() -> None:
    async with running() as client:
        for number in range(6):
            _submit(client, f"t{number}", partition=number % 2)
        everything = await _events(client, "t0-0", 7)
        assert [kind for _, kind, _ in everything] == ["hello"] + ["task"] * 6
        for cut in range(1, 6):
            rest = await _events(client, everything[cut][0], 7 - cut)
            assert rest[1:] == everything[cut + 1 :]
        for wrong in ("x", "t0", "z0-1", "t0-0..q"):
            status, _ = await client.call("GET", "/api/v1/events", headers={"Last-Event-ID": wrong})
            assert status == 400


async def test_a_client_that_was_away_too_long_is_told_to_read_anew() -> None:
    async with running() as client:
        client.api.model.events.__init__(kept=3)
        for number in range(5):
            _submit(client, f"t{number}")
        ((told_id, kind, _),) = await _events(client, "t0-1", 1)
        assert kind == "reset"
        assert Seen.parse(told_id, LETTERS) == client.api.model.seen()
        assert [k for _, k, _ in await _events(client, "t0-2", 4)] == ["hello", "task", "task", "task"]


async def test_events_come_as_they_happen() -> None:
    async with running() as client:
        watching = asyncio.create_task(_events(client, None, 3))
        while not watching.done():
            _submit(client, f"t{len(client.log.entries)}")
            await asyncio.sleep(0)
        kinds = [kind for _, kind, _ in await watching]
        assert kinds == ["hello", "task", "task"]
