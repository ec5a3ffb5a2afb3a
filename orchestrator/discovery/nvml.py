"""One session with the driver, through NVML. The only module that knows ``pynvml``.

Every call is announced before it is made, so that whoever watches can say which one never returned.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import combinations
from typing import Any

from orchestrator.discovery.inventory import Device, GpuProcess, Instance, Inventory, Link, Vitals

OnCall = Callable[[str | None, int | None], None]
"""Told the name of the call and the index of its device before each call, and None and None after it."""

# By number, since an old binding lacks some of the names.
DRIVER_GONE = {
    1: "the NVIDIA driver was unloaded",
    9: "the NVIDIA driver is not loaded",
    12: "no NVIDIA driver here, there is no libnvidia-ml.so.1",
    18: "the NVIDIA library is not of the driver that is loaded; reboot, or reload the driver",
}
DEVICE_LOST = frozenset((15, 16))  # lost, reset required
TEMPERATURE_GPU = 0
UNCORRECTED, VOLATILE, AGGREGATE = 1, 0, 1
PAGE_CAUSES = (0, 1)  # several single-bit errors, one double-bit error
XID_EVENT = 8
MAX_LINKS = 36
MAX_EVENTS = 64

PATHS = {
    0: "the board",
    10: "one PCIe switch",
    20: "several PCIe switches",
    30: "the host bridge",
    40: "the CPU's own interconnect",
    50: "the link between CPU sockets",
}
THROTTLE = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "thermal slowdown (software)",
    0x40: "thermal slowdown (hardware)",
    0x80: "power brake",
}
"""The reasons that mean that the device is held back; the others are somebody's settings, or idleness."""


class DriverGone(Exception):
    """The driver as a whole has gone away, or never was there."""


class NvmlSession:
    """The driver, opened: look at it as often as you like.

    Parameters
    ----------
    binding
        What speaks for the driver; ``pynvml``.
    on_call
        See :data:`OnCall`.

    Raises
    ------
    DriverGone
        Here and in :meth:`look`; the session is then of no more use.
    """

    def __init__(self, binding: Any = None, on_call: OnCall = lambda name, index: None) -> None:
        if binding is None:
            import pynvml

            binding = pynvml
        self._nvml = binding
        self._on_call = on_call
        self._losses: dict[int, str] = {}
        self._events: Any = None
        self._heard: dict[int, int] = {}
        self._links: dict[tuple[int, ...], tuple[Link, ...]] = {}
        self._on_call("nvmlInit", None)
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as exc:
            raise DriverGone(DRIVER_GONE.get(exc.value, str(exc))) from exc
        finally:
            self._on_call(None, None)

    def look(self, skip: frozenset[int] = frozenset()) -> Inventory:
        """One look at all devices.

        Parameters
        ----------
        skip
            Indexes of devices not to touch, since a call on them did not return before.
        """
        self._losses = {}
        driver = _text(self._ask("nvmlSystemGetDriverVersion"))
        count = self._ask("nvmlDeviceGetCount") or 0
        handles = {
            i: self._ask("nvmlDeviceGetHandleByIndex", i, index=i) for i in range(count) if i not in skip
        }
        present = {i: handle for i, handle in handles.items() if handle is not None}
        xids = self._new_xids(present)
        devices = [
            self._device(i, present[i], xids.get(i, ())) if i in present else self._unread(i, i in skip)
            for i in range(count)
        ]
        absence = "" if devices else "the driver lists no device"
        return Inventory(tuple(devices), driver, absence, self._links_between(present, devices))

    def close(self) -> None:
        """Leave the driver."""
        self._ask("nvmlShutdown")

    def _ask(self, name: str, *arguments: Any, index: int | None = None) -> Any:
        """The answer, or None where this device or driver does not know."""
        self._on_call(name, index)
        try:
            return getattr(self._nvml, name)(*arguments)
        except self._nvml.NVMLError as exc:
            if exc.value in DRIVER_GONE:
                raise DriverGone(DRIVER_GONE[exc.value]) from exc
            if exc.value in DEVICE_LOST and index is not None:
                self._losses.setdefault(index, str(exc))
            return None
        except Exception:  # the binding has errors of its own for drivers older than itself
            return None
        finally:
            self._on_call(None, None)

    def _unread(self, index: int, skipped: bool) -> Device:
        problem = self._losses.get(index, "" if skipped else "the driver does not give it out")
        return Device(None, index, lost=index in self._losses, problem=problem)

    def _device(self, index: int, handle: Any, xids: tuple[int, ...]) -> Device:
        def ask(name: str, *more: Any) -> Any:
            return self._ask(name, handle, *more, index=index)

        memory = ask("nvmlDeviceGetMemoryInfo")
        mig = ask("nvmlDeviceGetMigMode")
        device = Device(
            gpu_uuid=_text(ask("nvmlDeviceGetUUID")),
            nvml_index=index,
            name=_text(ask("nvmlDeviceGetName")),
            memory_bytes=None if memory is None else int(memory.total),
            free_bytes=None if memory is None else int(memory.free),
            mig=None if mig is None else bool(mig[0]),
            pci_bus_id=_bus_id(ask("nvmlDeviceGetPciInfo")),
            processes=self._processes(handle, index),
            instances=self._instances(handle, index) if mig and mig[0] else (),
            vitals=_vitals(ask, xids),
        )
        loss = self._losses.get(index)
        return device if loss is None else replace(device, lost=True, problem=loss)

    def _processes(self, handle: Any, index: int) -> tuple[GpuProcess, ...] | None:
        compute = self._ask("nvmlDeviceGetComputeRunningProcesses", handle, index=index)
        if compute is None:
            return None
        # Devices that cannot draw have no list of who does. Who does both is in both, with the same bytes.
        drawing = self._ask("nvmlDeviceGetGraphicsRunningProcesses", handle, index=index) or ()
        used = {int(process.pid): process.usedGpuMemory for process in (*drawing, *compute)}
        return tuple(GpuProcess(pid, None if n is None else int(n)) for pid, n in sorted(used.items()))

    def _instances(self, handle: Any, index: int) -> tuple[Instance, ...]:
        found = []
        for mig_index in range(self._ask("nvmlDeviceGetMaxMigDeviceCount", handle, index=index) or 0):
            instance = self._ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, mig_index, index=index)
            if instance is None:
                continue
            memory = self._ask("nvmlDeviceGetMemoryInfo", instance, index=index)
            found.append(
                Instance(
                    gpu_uuid=_text(self._ask("nvmlDeviceGetUUID", instance, index=index)),
                    mig_index=mig_index,
                    name=_text(self._ask("nvmlDeviceGetName", instance, index=index)),
                    memory_bytes=None if memory is None else int(memory.total),
                    free_bytes=None if memory is None else int(memory.free),
                    processes=self._processes(instance, index),
                )
            )
        return tuple(found)

    def _new_xids(self, present: dict[int, Any]) -> dict[int, tuple[int, ...]]:
        """The error events since the look before, by device; from the first look on they are gathered."""
        if self._events is None:
            self._events = self._ask("nvmlEventSetCreate")
        if self._events is None:
            return {}
        indexes = {_address(handle): i for i, handle in present.items()}
        for address in indexes.keys() - self._heard.keys():
            handle = present[indexes[address]]
            self._ask("nvmlDeviceRegisterEvents", handle, XID_EVENT, self._events, index=indexes[address])
            self._heard[address] = indexes[address]
        xids: dict[int, tuple[int, ...]] = {}
        for _ in range(MAX_EVENTS):
            event = self._ask("nvmlEventSetWait", self._events, 0)
            if event is None:
                break
            index = indexes.get(_address(event.device))
            if index is not None and event.eventType == XID_EVENT:
                xids[index] = (*xids.get(index, ()), int(event.eventData))
        return xids

    def _links_between(self, present: dict[int, Any], devices: Iterable[Device]) -> tuple[Link, ...]:
        """Links of the devices that are there; asked once, for they are soldered."""
        key = tuple(present)
        if key not in self._links:
            peers = {i: self._nvlink_peers(handle, i) for i, handle in present.items()}
            buses = {device.nvml_index: device.pci_bus_id for device in devices}
            self._links[key] = tuple(
                Link(
                    one,
                    other,
                    _nvlinks(peers[one], peers[other], buses[one], buses[other], set(buses.values())),
                    PATHS.get(
                        self._ask(
                            "nvmlDeviceGetTopologyCommonAncestor", present[one], present[other], index=one
                        )
                    ),
                )
                for one, other in combinations(present, 2)
            )
        return self._links[key]

    def _nvlink_peers(self, handle: Any, index: int) -> list[str] | None:
        """Bus ids at the other end of each NVLink that is up; None where the driver does not say."""
        peers: list[str] = []
        for link in range(MAX_LINKS):
            active = self._ask("nvmlDeviceGetNvLinkState", handle, link, index=index)
            if active is None:
                return peers or None
            if active:
                peer = _bus_id(self._ask("nvmlDeviceGetNvLinkRemotePciInfo", handle, link, index=index))
                peers += [] if peer is None else [peer]
        return peers


def _vitals(ask: Callable[..., Any], xids: tuple[int, ...]) -> Vitals:
    retired = [ask("nvmlDeviceGetRetiredPages", cause) for cause in PAGE_CAUSES]
    retirement_pending = ask("nvmlDeviceGetRetiredPagesPendingStatus")
    remapped = ask("nvmlDeviceGetRemappedRows")
    reasons = ask("nvmlDeviceGetCurrentClocksEventReasons")
    if reasons is None:  # the name before driver 535
        reasons = ask("nvmlDeviceGetCurrentClocksThrottleReasons")
    use = ask("nvmlDeviceGetUtilizationRates")
    milliwatts = ask("nvmlDeviceGetPowerUsage")
    celsius = ask("nvmlDeviceGetTemperature", TEMPERATURE_GPU)
    return Vitals(
        ecc_volatile=ask("nvmlDeviceGetTotalEccErrors", UNCORRECTED, VOLATILE),
        ecc_aggregate=ask("nvmlDeviceGetTotalEccErrors", UNCORRECTED, AGGREGATE),
        retired_pages=None if None in retired else sum(map(len, retired)),
        retirement_pending=None if retirement_pending is None else bool(retirement_pending),
        remapped_rows=None if remapped is None else int(remapped[1]),
        remap_pending=None if remapped is None else bool(remapped[2]),
        remap_failure=None if remapped is None else bool(remapped[3]),
        throttle=None if reasons is None else tuple(name for bit, name in THROTTLE.items() if reasons & bit),
        utilisation=None if use is None else min(int(use.gpu), 100) / 100,
        temperature_c=None if celsius is None else float(celsius),
        power_w=None if milliwatts is None else milliwatts / 1000,
        xids=xids,
    )


def _nvlinks(
    peers: list[str] | None,
    others: list[str] | None,
    bus: str | None,
    other: str | None,
    gpus: set[str | None],
) -> int | None:
    if peers is None or others is None or bus is None or other is None:
        return None
    # A switch is no device of the list; what reaches the same kind of fabric reaches each other.
    through_switch = min(sum(p not in gpus for p in peers), sum(p not in gpus for p in others))
    return peers.count(other) + through_switch


def _address(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def _bus_id(pci: Any) -> str | None:
    return None if pci is None else _text(pci.busId)


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
