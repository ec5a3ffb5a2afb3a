"""Looks at the driver from a safe distance: the calls are made in a child process, which may hang or die.

A device on which a call hangs is left out for a while and the others are read without it; a driver that goes
away is asked for again after a while, by a new process, so that it may come back as another version.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter

from orchestrator.discovery.child import LineChild
from orchestrator.discovery.inventory import Device, Inventory
from schemas import codec

MODULE = "orchestrator.discovery.nvml_child"
CALL_LIMIT_S = 2.0
RETRY_S = 10.0
START_S = 10.0
"""What starting the child and a look may take, beside a call that hangs."""

_INVENTORY = TypeAdapter(Inventory)


@dataclass(frozen=True, slots=True)
class _Hang:
    """A call on a device, or on the driver where the index is None, that did not return."""

    call: str
    nvml_index: int | None
    until_s: float


class InventoryReader:
    """The inventory, as often as you ask, without ever waiting much longer than :attr:`patience_s`.

    Blocks while it waits; an event loop asks it in a thread. Not for several threads at once.

    Parameters
    ----------
    call_limit_s
        A call that takes longer hangs.
    retry_s
        How long an absent driver, and a device that hung, are left alone.
    now
        A monotonic clock, seconds.
    environment
        The child's; ours when absent.
    """

    def __init__(
        self,
        *,
        call_limit_s: float = CALL_LIMIT_S,
        retry_s: float = RETRY_S,
        now: Callable[[], float] = time.monotonic,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._call_limit_s = call_limit_s
        self._retry_s = retry_s
        self._now = now
        self._environment = environment
        self._child: LineChild | None = None
        self._stuck: LineChild | None = None
        self._hangs: dict[int, _Hang] = {}
        self._known: dict[int, Device] = {}
        self._absence: tuple[str, float] | None = None

    @property
    def patience_s(self) -> float:
        """The longest wait for one answer of the child."""
        return self._call_limit_s + START_S

    def look(self) -> Inventory:
        """What is there now; when the driver was absent just before, that answer again."""
        now = self._now()
        if self._absence is not None and now < self._absence[1]:
            return Inventory((), absence=self._absence[0])
        self._absence = None
        self._hangs = {i: hang for i, hang in self._hangs.items() if now < hang.until_s}
        while True:
            found = self._ask(now)
            if isinstance(found, Inventory):
                return self._with_hangs(found)
            if found.nvml_index is None or found.nvml_index in self._hangs:
                return self._absent(f"{found.call} of the NVIDIA driver does not return", now)
            self._hangs[found.nvml_index] = found

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None and not child.end():
            self._stuck = child

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, now: float) -> Inventory | _Hang:
        if self._stuck is not None and not self._stuck.has_ended():
            return self._absent(
                f"process {self._stuck.pid} waits for the NVIDIA driver and cannot be ended", now
            )
        self._stuck = None
        if self._child is None:
            self._child = LineChild(MODULE, [str(self._call_limit_s)], self._environment)
        self._child.tell(codec.dumps({"skip": sorted(self._hangs)}))
        line = self._child.hear(self.patience_s)
        if not line:
            why = self._child.ending() if line is not None else f"said nothing for {self.patience_s:g} s"
            self.close()
            return self._absent(f"the process that asks the NVIDIA driver {why}", now)
        answer = codec.loads(line)
        if "inventory" in answer:
            return _INVENTORY.validate_python(answer["inventory"])
        self.close()
        if "gone" in answer:
            return self._absent(answer["gone"], now)
        return _Hang(answer["hung"], answer["nvml_index"], now + self._retry_s)

    def _absent(self, why: str, now: float) -> Inventory:
        self._absence = (why, now + self._retry_s)
        return Inventory((), absence=why)

    def _with_hangs(self, found: Inventory) -> Inventory:
        """The look, with what was known before of the devices that it had to leave out."""
        for device in found.devices:
            if not device.problem and device.nvml_index not in self._hangs:
                self._known[device.nvml_index] = device
        uuids = {device.gpu_uuid for device in found.devices}
        return replace(found, devices=tuple(self._named(device, uuids) for device in found.devices))

    def _named(self, device: Device, uuids: set[str | None]) -> Device:
        before = self._known.get(device.nvml_index)
        hang = self._hangs.get(device.nvml_index)
        if hang is not None:
            device = replace(device, problem=f"{hang.call} did not return within {self._call_limit_s:g} s")
        if before is None or device.gpu_uuid is not None or before.gpu_uuid in uuids:
            return device  # nothing known, nothing missing, or the list has moved up
        return replace(device, gpu_uuid=before.gpu_uuid, name=before.name, pci_bus_id=before.pci_bus_id)


def take_inventory() -> Inventory:
    """One look, with a child of its own."""
    with InventoryReader() as reader:
        return reader.look()
