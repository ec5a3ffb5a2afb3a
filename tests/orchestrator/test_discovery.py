"""The inventory through the real binding, on a driver of our own that lies, hangs, dies and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.discovery import (
    Device,
    GpuProcess,
    Instance,
    Inventory,
    InventoryReader,
    Link,
    Vitals,
    take_inventory,
)
from orchestrator.discovery.child import LineChild
from tests.orchestrator.fake_gpus import GIB, FakeGpus, bus, device, instance, uuid

H100 = "NVIDIA H100 80GB HBM3"
WELL = Vitals(
    ecc_volatile=0,
    ecc_aggregate=0,
    retired_pages=0,
    retirement_pending=False,
    remapped_rows=0,
    remap_pending=False,
    remap_failure=False,
    throttle=(),
    utilisation=0.4,
    temperature_c=51.0,
    power_w=310.5,
)


def expected(number: int, index: int, **values: object) -> Device:
    usual: dict[str, object] = {
        "gpu_uuid": uuid(number),
        "nvml_index": index,
        "name": H100,
        "memory_bytes": 80 * GIB,
        "free_bytes": 78 * GIB,
        "mig": False,
        "pci_bus_id": bus(number),
        "processes": (),
        "vitals": WELL,
    }
    return Device(**(usual | values))  # type: ignore[arg-type]


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(gpus: FakeGpus, clock: Clock) -> Iterator[InventoryReader]:
    with InventoryReader(call_limit_s=0.3, now=clock, environment=gpus.environment) as reader:
        yield reader


def test_the_inventory_is_what_the_driver_lists(gpus: FakeGpus, reader: InventoryReader) -> None:
    gpus.has(
        device(1, process=[f"4242 {GIB}", "7"], throttle=0x40 | 0x01, remapped="0 3 1 0"),
        device(2, ecc_volatile=2, ecc_aggregate=5, retired=4, retirement_pending=1),
    )
    assert reader.look() == Inventory(
        (
            expected(
                1,
                0,
                processes=(GpuProcess(7, None), GpuProcess(4242, GIB)),
                vitals=Vitals(
                    0, 0, 0, False, 3, True, False, ("thermal slowdown (hardware)",), 0.4, 51.0, 310.5
                ),
            ),
            expected(2, 1, vitals=Vitals(2, 5, 4, True, 0, False, False, (), 0.4, 51.0, 310.5)),
        ),
        "580.65.06",
        links=(Link(0, 1),),
    )


def test_a_device_that_knows_nothing_of_itself_is_listed_without_values(
    gpus: FakeGpus, reader: InventoryReader
) -> None:
    gpus.has("device\n")
    assert reader.look().devices == (Device(None, 0, processes=()),)


VALUES = (
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetTotalEccErrors",
    "nvmlDeviceGetRetiredPages",
    "nvmlDeviceGetRetiredPagesPendingStatus",
    "nvmlDeviceGetRemappedRows",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetTopologyCommonAncestor",
    "nvmlDeviceRegisterEvents",
)


@pytest.mark.parametrize("code", [2, 3, 4, 13, 999])
def test_whichever_call_fails_the_rest_is_read(gpus: FakeGpus, reader: InventoryReader, code: int) -> None:
    for call in VALUES:
        gpus.has(device(1, fault=f"{call} {code}"), device(2))
        first, second = reader.look().devices
        assert (first.problem, second) == ("", expected(2, 1)), call
        assert first != expected(1, 0) or call in VALUES[-2:], f"{call} {code} was not injected"


def test_a_driver_without_events_is_read_all_the_same(gpus: FakeGpus, reader: InventoryReader) -> None:
    gpus.has(device(1), fault="nvmlEventSetCreate 3")
    assert reader.look().devices == (expected(1, 0),)


def test_instances_are_listed_under_their_gpu(gpus: FakeGpus, reader: InventoryReader) -> None:
    gpus.has(device(1, mig=1), instance(11), instance(12, process=f"9 {GIB}"), device(2))
    first, second = reader.look().devices
    name = "NVIDIA H100 MIG 3g.40gb"
    assert first == expected(
        1,
        0,
        mig=True,
        instances=(
            Instance(uuid(11, "MIG"), 0, name, 40 * GIB, 39 * GIB, ()),
            Instance(uuid(12, "MIG"), 1, name, 40 * GIB, 39 * GIB, (GpuProcess(9, GIB),)),
        ),
    )
    assert second == expected(2, 1)


def test_links_are_counted_directly_and_through_a_switch(gpus: FakeGpus, reader: InventoryReader) -> None:
    switch = bus(99)
    gpus.has(
        device(1, nvlink=[f"0 {bus(2)}", f"1 {bus(2)}", f"2 {switch}"], path=["1 20", "2 50"]),
        device(2, nvlink=[f"0 {bus(1)}", f"1 {bus(1)}"]),
        device(3, nvlink=[f"0 {switch}", f"5 {switch}"]),
    )
    assert reader.look().links == (
        Link(0, 1, 2, "several PCIe switches"),
        Link(0, 2, 1, "the link between CPU sockets"),
        Link(1, 2, 0, None),
    )


def test_error_events_are_told_once_and_only_those_that_came_since(
    gpus: FakeGpus, reader: InventoryReader
) -> None:
    def xids() -> list[tuple[int, ...]]:
        return [found.vitals.xids for found in reader.look().devices]

    gpus.has(device(1, xid=[13]), device(2))
    assert xids() == [(), ()]
    gpus.has(device(1, xid=[13, 48, 94]), device(2, xid=[79]))
    assert xids() == [(48, 94), (79,)]
    assert xids() == [(), ()]


@pytest.mark.parametrize(
    "code", [(15, "GPU is lost"), (16, "GPU requires restart")], ids=["lost", "reset required"]
)
@pytest.mark.parametrize("call", ["nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetMemoryInfo", "*"])
def test_a_lost_device_keeps_its_name_and_the_others_their_index(
    gpus: FakeGpus, reader: InventoryReader, call: str, code: tuple[int, str]
) -> None:
    gpus.has(device(1), device(2))
    reader.look()
    gpus.has(device(1, fault=f"{call} {code[0]}"), device(2))
    lost, other = reader.look().devices
    assert (lost.gpu_uuid, lost.name, lost.lost, lost.problem) == (uuid(1), H100, True, code[1])
    assert other == expected(2, 1)


def test_a_device_that_moved_up_in_the_list_is_not_taken_for_the_one_before_it(
    gpus: FakeGpus, reader: InventoryReader
) -> None:
    gpus.has(device(1), device(2))
    reader.look()
    gpus.has(device(2), device(3, uuid=None))
    assert [found.gpu_uuid for found in reader.look().devices] == [uuid(2), None]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (9, "the NVIDIA driver is not loaded"),
        (18, "the NVIDIA library is not of the driver that is loaded; reboot, or reload the driver"),
        (999, "Unknown Error"),
    ],
)
def test_a_driver_that_does_not_start_says_why(
    gpus: FakeGpus, reader: InventoryReader, code: int, why: str
) -> None:
    gpus.has(device(1), fault=f"nvmlInitWithFlags {code}")
    assert reader.look() == Inventory((), absence=why)


def test_a_driver_that_goes_away_is_asked_again_later_and_comes_back(
    gpus: FakeGpus, reader: InventoryReader, clock: Clock
) -> None:
    gpus.has(device(1))
    assert reader.look().devices == (expected(1, 0),)
    gpus.has(device(1), fault=["* 9"])
    gone = Inventory((), absence="the NVIDIA driver is not loaded")
    assert reader.look() == gone
    gpus.has(device(1), driver="590.1")
    assert reader.look() == gone, "it is left alone for a while"
    clock.now_s += 10
    assert reader.look() == Inventory((expected(1, 0),), "590.1")


def test_a_driver_without_devices_says_so(reader: InventoryReader) -> None:
    assert reader.look() == Inventory((), "580.65.06", "the driver lists no device")


def test_a_machine_without_the_library_says_so(tmp_path: Path) -> None:
    (tmp_path / "pynvml.py").write_text(
        "class NVMLError(Exception):\n    value = 12\n\ndef nvmlInit():\n    raise NVMLError\n"
    )
    environment = {"PYTHONPATH": str(tmp_path), "PATH": ""}
    with InventoryReader(environment=environment) as reader:
        assert reader.look() == Inventory((), absence="no NVIDIA driver here, there is no libnvidia-ml.so.1")


def test_a_call_that_hangs_costs_its_device_alone_and_for_a_while(
    gpus: FakeGpus, reader: InventoryReader, clock: Clock
) -> None:
    gpus.has(device(1), device(2))
    reader.look()
    gpus.has(device(1, hang="nvmlDeviceGetMemoryInfo"), device(2))
    hung, other = reader.look().devices
    assert (hung.gpu_uuid, hung.problem) == (uuid(1), "nvmlDeviceGetMemoryInfo did not return within 0.3 s")
    assert (hung.lost, other) == (False, expected(2, 1))
    gpus.has(device(1), device(2))
    assert reader.look().devices[0].problem == hung.problem, "it is left alone for a while"
    clock.now_s += 10
    assert reader.look().devices == (expected(1, 0), expected(2, 1))


def test_all_devices_may_hang(gpus: FakeGpus, reader: InventoryReader) -> None:
    gpus.has(device(1, hang="nvmlDeviceGetName"), device(2, hang="nvmlDeviceGetPowerUsage"))
    assert [found.problem for found in reader.look().devices] == [
        "nvmlDeviceGetName did not return within 0.3 s",
        "nvmlDeviceGetPowerUsage did not return within 0.3 s",
    ]


@pytest.mark.parametrize("call", ["nvmlInitWithFlags", "nvmlDeviceGetCount_v2", "nvmlEventSetWait_v2"])
def test_a_driver_that_hangs_as_a_whole_is_an_absent_one(
    gpus: FakeGpus, reader: InventoryReader, call: str
) -> None:
    gpus.has(device(1), hang=call)
    name = {"nvmlInitWithFlags": "nvmlInit"}.get(call, call.removesuffix("_v2"))
    assert reader.look() == Inventory((), absence=f"{name} of the NVIDIA driver does not return")


def test_a_driver_that_crashes_whoever_asks_is_an_absent_one(
    gpus: FakeGpus, reader: InventoryReader, clock: Clock
) -> None:
    gpus.has(device(1), crash="nvmlDeviceGetName")
    assert reader.look().absence == "the process that asks the NVIDIA driver ended by SIGABRT"
    gpus.has(device(1))
    clock.now_s += 10
    assert reader.look().devices == (expected(1, 0),)


def test_a_process_that_cannot_be_ended_is_not_followed_by_another(
    gpus: FakeGpus, reader: InventoryReader, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus.has(device(1, hang="nvmlDeviceGetName"))
    stuck: list[LineChild] = []
    end = LineChild.end
    monkeypatch.setattr(LineChild, "end", lambda child: stuck.append(child))
    monkeypatch.setattr(LineChild, "has_ended", lambda child, timeout_s=0.0: False)
    absence = " waits for the NVIDIA driver and cannot be ended"
    assert reader.look().absence.endswith(absence)
    monkeypatch.undo()
    assert [end(child) for child in stuck] == [True]
    gpus.has(device(1))
    clock.now_s += 10
    assert reader.look().devices == (expected(1, 0),)


def test_closing_leaves_no_process(gpus: FakeGpus) -> None:
    gpus.has(device(1))
    before = set(psutil.Process().children())
    reader = InventoryReader(environment=gpus.environment)
    reader.look()
    (child,) = set(psutil.Process().children()) - before
    reader.close()
    assert not child.is_running()


def test_a_reader_that_was_killed_leaves_no_process(gpus: FakeGpus) -> None:
    gpus.has(device(1))
    child = LineChild("orchestrator.discovery.nvml_child", ["1"], gpus.environment)
    child.tell(b'{"skip": []}')
    assert child.hear(20)
    assert child._process.stdin is not None
    child._process.stdin.close()  # what the end of a parent does
    assert child.ending() == "ended with exit code 0"
    child.end()


def test_this_machine_answers_one_way_or_the_other() -> None:
    found = take_inventory()
    assert bool(found.devices) != bool(found.absence)
