"""What is said on gpu.devices, from the fake driver to the log."""

from __future__ import annotations

import asyncio
import json
import threading

import jsonschema
import pytest

from orchestrator.discovery import CpuPool, CudaReport, InventoryReader, probe_cuda
from orchestrator.discovery.reporter import DeviceReporter
from schemas import codec
from schemas.devices import DeviceReport
from schemas.errors import DeliveryError
from schemas.headers import VERSION_HEADER
from schemas.messages import Message
from schemas.settings import Settings
from streams import topics
from streams.json_sender import json_sender
from tests.docs.pages import ROOT
from tests.integration.lane import read_topic
from tests.orchestrator.fake_gpus import GIB, FakeGpus, device, instance, uuid

POOL = CpuPool("CPU-here", 4, 8 * GIB, 6 * GIB, 0.25)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


class Box:
    """A log in memory, which may refuse."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Message]] = []
        self.refuses = False

    async def send(self, base: str, key: str, *messages: Message) -> None:
        if self.refuses:
            raise DeliveryError("no broker")
        self.sent += [(base, key, message) for message in messages]


def reporter(gpus: FakeGpus, reader: InventoryReader, box: Box, **values: object) -> DeviceReporter:
    usual: dict[str, object] = {
        "probe": lambda visible, environment: probe_cuda(environment),
        "pool": lambda: POOL,
        "own_pids": lambda: frozenset((10,)),
        "clock": Clock(),
        "wall_ns": lambda: 1_700_000_000_000_000_000,
        "host": "here",
        "environment": gpus.environment,
    }
    return DeviceReporter(box, reader.look, **(usual | values))  # type: ignore[arg-type]


CPU = DeviceReport(
    gpu_uuid="CPU-here",
    kind="cpu",
    host="here",
    name="4 slots",
    health="HEALTHY",
    at_ns=1_700_000_000_000_000_000,
    memory_bytes=8 * GIB,
    free_bytes=6 * GIB,
    slots=4,
    utilisation=0.25,
)
GPU = DeviceReport(
    gpu_uuid=uuid(1),
    kind="gpu",
    host="here",
    name="NVIDIA H100 80GB HBM3",
    nvml_index=0,
    cuda_ordinal=0,
    health="HEALTHY",
    at_ns=1_700_000_000_000_000_000,
    memory_bytes=80 * GIB,
    free_bytes=70 * GIB,
    own_bytes=3 * GIB,
    stranger_bytes=7 * GIB,
    processes=2,
    uncorrected_errors=0,
    utilisation=0.4,
    temperature_c=51.0,
    power_w=310.5,
)


async def settled(told: DeviceReporter) -> list[DeviceReport]:
    """The reports once the probe that the first look asks for has been answered."""
    await told.report_once()
    while told.fleet.wants_probe:
        reports = await told.report_once()
    return reports


async def test_devices_and_the_pool_are_told_with_what_is_ours_and_what_is_strangers(gpus: FakeGpus) -> None:
    gpus.has(device(1, used=10 * GIB, process=[f"10 {3 * GIB}", f"99 {5 * GIB}"]))
    box = Box()
    with InventoryReader(environment=gpus.environment) as reader:
        told = reporter(gpus, reader, box)
        waiting = await told.report_once()
        assert waiting == [
            GPU.model_copy(
                update={"health": "UNKNOWN", "reasons": ["waits for a probe by CUDA"], "cuda_ordinal": None}
            ),
            CPU,
        ]
        assert await settled(told) == [GPU, CPU]
    assert box.sent[-2:] == [(topics.GPU_DEVICES, uuid(1), GPU), (topics.GPU_DEVICES, "CPU-here", CPU)]


async def test_an_instance_names_the_gpu_it_is_cut_from(gpus: FakeGpus) -> None:
    gpus.has(device(1, mig=1), instance(11))
    with InventoryReader(environment=gpus.environment) as reader:
        found, _ = await settled(reporter(gpus, reader, Box()))
    assert (found.gpu_uuid, found.kind, found.parent_uuid, found.health) == (
        uuid(11, "MIG"),
        "mig",
        uuid(1),
        "HEALTHY",
    )
    assert (found.memory_bytes, found.free_bytes) == (40 * GIB, 39 * GIB)


async def test_a_device_that_does_not_answer_has_no_measurements(gpus: FakeGpus) -> None:
    gpus.has(device(1))
    with InventoryReader(environment=gpus.environment, call_limit_s=0.3) as reader:
        told = reporter(gpus, reader, Box())
        await settled(told)
        gpus.has(device(1, hang="nvmlDeviceGetMemoryInfo"))
        hung, _ = await told.report_once()
    assert hung == DeviceReport(
        gpu_uuid=uuid(1),
        kind="gpu",
        host="here",
        name=GPU.name,
        nvml_index=0,
        cuda_ordinal=0,
        health="SUSPECT",
        reasons=["nvmlDeviceGetMemoryInfo did not return within 0.3 s"],
        at_ns=GPU.at_ns,
        memory_bytes=80 * GIB,
        uncorrected_errors=0,
    )


async def test_own_bytes_that_the_driver_does_not_tell_are_unknown_and_so_are_the_rest(
    gpus: FakeGpus,
) -> None:
    gpus.has(device(1, process=["10", f"99 {GIB}"]))
    with InventoryReader(environment=gpus.environment) as reader:
        found, _ = await settled(reporter(gpus, reader, Box()))
    assert (found.own_bytes, found.stranger_bytes, found.processes) == (None, None, 2)


async def test_looks_go_on_while_a_probe_takes_its_time(gpus: FakeGpus) -> None:
    gpus.has(device(1))
    may_end = threading.Event()

    def slow(visible: object, environment: object) -> CudaReport:
        may_end.wait(60)
        return probe_cuda(gpus.environment)

    with InventoryReader(environment=gpus.environment) as reader:
        told = reporter(gpus, reader, Box(), probe=slow)
        for _ in range(3):
            assert (await told.report_once())[0].health == "UNKNOWN"
        may_end.set()
        assert (await settled(told))[0].health == "HEALTHY"


async def test_a_log_that_is_away_costs_reports_and_nothing_else(
    gpus: FakeGpus, caplog: pytest.LogCaptureFixture
) -> None:
    box = Box()
    with InventoryReader(environment=gpus.environment) as reader:
        told = reporter(gpus, reader, box)
        box.refuses = True
        await told.report_once()
        box.refuses = False
        await told.report_once()
    assert (told.dropped, box.sent) == (1, [(topics.GPU_DEVICES, "CPU-here", CPU)])
    assert caplog.messages == ["no broker"]


async def test_a_round_begins_each_second_however_long_the_one_before_took(gpus: FakeGpus) -> None:
    clock, rounds = Clock(), 0

    def pool() -> CpuPool:
        nonlocal rounds
        rounds += 1
        clock.now_s += (0.0, 0.3, 5.0)[min(rounds, 3) - 1]
        return POOL

    with InventoryReader(environment=gpus.environment) as reader:
        running = asyncio.create_task(reporter(gpus, reader, Box(), pool=pool, clock=clock).run())
        while len(clock.slept) < 3:  # noqa: ASYNC110 - what we wait for has no event to set
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait([running])
    assert clock.slept[:3] == [1.0, pytest.approx(0.7), 0.0]


@pytest.mark.kafka
@pytest.mark.usefixtures("topics_ready")
async def test_reports_are_on_the_log_keyed_by_device(gpus: FakeGpus, settings: Settings) -> None:
    gpus.has(device(1, used=10 * GIB, process=[f"10 {3 * GIB}", f"99 {5 * GIB}"]))
    with InventoryReader(environment=gpus.environment) as reader:
        async with json_sender(settings) as sender:
            told = reporter(gpus, reader, sender)  # type: ignore[arg-type]
            await settled(told)
    records = await read_topic(settings.model_copy(update={"partitions": 1}), topics.GPU_DEVICES)
    last = {record.key.decode(): codec.decode(DeviceReport, record.value) for record in records}
    assert last == {uuid(1): GPU, "CPU-here": CPU}
    assert {record.headers for record in records} == {(VERSION_HEADER,)}
    schema = json.loads((ROOT / "docs/schemas/device_report.schema.json").read_text())
    for record in records:
        jsonschema.validate(json.loads(record.value), schema)


@pytest.mark.kafka
async def test_a_message_that_the_broker_refuses_is_named(settings: Settings) -> None:
    async with json_sender(settings, request_timeout_s=1.0) as sender:
        large = CPU.model_copy(update={"name": "x" * 2_000_000})
        with pytest.raises(DeliveryError, match=r"gpu\.devices: CPU-here was not delivered"):
            await sender.send(topics.GPU_DEVICES, "CPU-here", large)
