import asyncio
import json

import pytest

from orchestrator.ledger import ACCEPTED, Ignored
from orchestrator.policies import Policy
from schemas.allocations import RECORDS, CapacityMeasured, Input, Snapshot, changed, encode, kind
from schemas.settings import Settings
from streams import clients, topics
from tapestream import cli
from tapestream.allocations_view import SENTENCES, line, size
from tests.orchestrator.scheduling.cases import Domain

HEAD = {"domain": "here", "owner": "o1", "epoch": 1, "at_ns": 1_700_000_000_123_000_000}


def a_domain() -> Domain:
    here = Domain(Policy())
    here.device("GPU-a", 10, host="h1")
    here.task("t0", 6, inputs=(Input("gpu.tasks", 3, 17),))
    here.decide()
    here.start("t0")
    here.end("t0", "FAILED", "TASK_ERROR")
    return here


async def write(settings: Settings, *values: bytes) -> None:
    async with clients.producer(settings) as producer:
        for value in values:
            await producer.send_and_wait(topics.name(settings, topics.ALLOCATIONS), value, partition=0)


@pytest.fixture
def environment(monkeypatch, settings, topics_ready):
    monkeypatch.setenv("TAPESTREAM_BROKER", settings.broker)
    monkeypatch.setenv("TAPESTREAM_TOPIC_PREFIX", settings.topic_prefix)


async def ran(capsys, *command: str) -> tuple[int, list[str], str]:
    code = await asyncio.to_thread(cli.main, list(command))
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_a_record_reads_like_a_sentence():
    here = a_domain()
    said = [SENTENCES[kind(record)](record) for _, record in here.log]
    assert said == [
        "o1 takes here in epoch 1",
        "GPU-a appears on h1: 10 B, 4 slots",
        "GPU-a is HEALTHY",
        "t0 (any) is accepted with priority 5: 6 B, from gpu.tasks[3]@17",
        "o1 grants t0 attempt 1 6 B of GPU-a (best fit of 1 open devices)",
        "x starts t0 attempt 1",
        "t0 attempt 1 ends FAILED (TASK_ERROR) on x",
        "the bytes of t0 attempt 1 are back, says x",
    ]


def test_a_line_says_when_where_and_whether_it_counts():
    record = CapacityMeasured(
        **HEAD, gpu_uuid="GPU-a", capacity_bytes=80 << 30, free_bytes=79 << 30, stranger_bytes=512 << 20
    )
    said = "2023-11-14 22:13:20.123  @42      GPU-a has 80.0 GiB, 79.0 GiB free, strangers use 512.0 MiB"
    assert line(record, 42, ACCEPTED) == said
    assert line(record, 42, Ignored("epoch_is_current")) == f"{said}  [ignored: epoch is current]"


def test_every_kind_of_record_has_a_sentence():
    assert set(SENTENCES) == {record.__struct_config__.tag for record in RECORDS}


def test_sizes_are_in_the_unit_that_suits_them():
    assert [size(count) for count in (0, 1023, 1024, 3 << 29, 5 << 40)] == [
        *("0 B", "1023 B", "1.0 KiB", "1.5 GiB", "5.0 TiB")
    ]


@pytest.mark.kafka
async def test_the_log_is_shown_a_sentence_a_record_and_what_is_none_is_named(environment, settings, capsys):
    here = a_domain()
    records = [record for _, record in here.log]
    await write(settings, *map(encode, records), b"{}", encode(records[0]))
    code, lines, err = await ran(capsys, "allocations")
    assert (code, len(lines)) == (0, 9)
    assert [text[25:].split(maxsplit=1)[1] for text in lines][:2] == [
        "o1 takes here in epoch 1",
        "GPU-a appears on h1: 10 B, 4 slots",
    ]
    assert lines[-1].endswith("o1 takes here in epoch 1  [ignored: epoch is next]")
    assert f"skipped {topics.name(settings, topics.ALLOCATIONS)}[0]@8: no allocation record" in err
    code, lines, _ = await ran(capsys, "allocations", "--task", "t0", "--json")
    shown = [json.loads(text) for text in lines]
    assert [(row["kind"], row["offset"], row["ignored"]) for row in shown] == [
        ("task_accepted", 3, None),
        ("granted", 4, None),
        ("started", 5, None),
        ("ended", 6, None),
        ("released", 7, None),
    ]
    code, lines, _ = await ran(capsys, "allocations", "--device", "GPU-a")
    assert len(lines) == 3


@pytest.mark.kafka
async def test_decisions_are_derived_anew_and_another_policy_is_compared(environment, settings, capsys):
    here = a_domain()
    records = [record for _, record in here.log]
    await write(settings, *map(encode, records))
    code, lines, _ = await ran(capsys, "replay-decisions")
    assert (code, lines[0].split("; state")[0]) == (
        0,
        "here: 1 decisions in 1 batches follow from the log; 8 of 8 records count",
    )
    code, lines, _ = await ran(capsys, "replay-decisions", "--policy", "spread", "--json")
    assert code == 0
    rows = json.loads(lines[0])["simulated"]
    assert [(row["policy"], row["granted"]) for row in rows] == [("default/1", 1), ("spread/1", 1)]
    code, lines, _ = await ran(capsys, "replay-decisions", "--policy", "spread")
    assert lines[0] == "here, simulated with the running times of the log:"
    assert lines[3].startswith("  spread/1: 1 grants for 1 tasks, ")
    code, _, err = await ran(capsys, "replay-decisions", "--policy", "fairest")
    assert (code, "no policy is called 'fairest'" in err) == (2, True)


@pytest.mark.kafka
async def test_a_decision_that_does_not_follow_ends_with_its_own_exit_code(environment, settings, capsys):
    here = a_domain()
    records = [
        changed(record, memory_bytes=5) if kind(record) == "granted" else record for _, record in here.log
    ]
    await write(settings, *map(encode, records))
    code, lines, err = await ran(capsys, "replay-decisions", "--json")
    assert code == 7
    assert json.loads(lines[0])["difference"] == {
        "offset": 4,
        "name": "field_differs",
        "detail": "granted of t0: memory_bytes is 5 in the log, 6 derived",
    }
    assert err.startswith("error: here @4: field differs: granted of t0: memory_bytes is 5")
    code, lines, _ = await ran(capsys, "replay-decisions", "--to", "3")
    assert code == 0


@pytest.mark.kafka
async def test_an_empty_log_is_said_to_be_empty(environment, settings, capsys):
    assert await ran(capsys, "replay-decisions") == (0, ["the log is empty"], "")


def test_a_snapshot_is_said_with_its_part():
    part = Snapshot(**HEAD, basis=7, part=1, parts=3, digest="", rows="[]")
    assert SENTENCES["snapshot"](part) == "snapshot up to offset 7, part 2 of 3"
