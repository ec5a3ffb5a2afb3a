"""Says once a second on ``gpu.devices`` how each device is. Run inside another service.

The log's trouble is not the devices': a report that cannot be delivered is dropped and counted, since the
next one replaces it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from orchestrator.discovery.cpu import CpuPool, cpu_pool
from orchestrator.discovery.fleet import Fleet, looked, tried
from orchestrator.discovery.inventory import Inventory
from orchestrator.discovery.probe import CudaReport, probe_usable
from orchestrator.discovery.reports import reports_of
from orchestrator.discovery.visible import ORDER_VARIABLE, VARIABLE, Visible, visible_devices
from schemas.devices import DeviceReport
from schemas.errors import DeliveryError
from schemas.messages import Message
from streams import topics
from streams.clock import Clock, MonotonicClock

log = logging.getLogger(__name__)

PERIOD_S = 1.0


class Sender(Protocol):
    """Where reports go; :class:`streams.json_sender.JsonSender`."""

    async def send(self, base: str, key: str, *messages: Message) -> None:
        """Send messages of one key; DeliveryError when the broker does not take them."""


class DeviceReporter:
    """Looks, classifies and publishes, until it is cancelled.

    Parameters
    ----------
    sender
        Where reports go.
    look
        Takes an inventory; blocks, so it runs in a thread. :meth:`InventoryReader.look`.
    probe
        Computes on the usable devices; blocks for seconds, so looks go on meanwhile.
    own_pids
        The processes that we started, now.
    clock, wall_ns
        What to wait by, and what to date reports with.
    environment
        Where ``CUDA_VISIBLE_DEVICES`` may stand; ours when absent.

    Attributes
    ----------
    fleet
        All devices and their health, as of the last look.
    dropped
        Rounds whose reports the broker did not take.
    """

    def __init__(
        self,
        sender: Sender,
        look: Callable[[], Inventory],
        *,
        probe: Callable[[Visible, Mapping[str, str]], CudaReport] = probe_usable,
        pool: Callable[[], CpuPool] = cpu_pool,
        own_pids: Callable[[], frozenset[int]] = frozenset,
        clock: Clock | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        host: str | None = None,
        environment: Mapping[str, str] | None = None,
        period_s: float = PERIOD_S,
    ) -> None:
        self._sender = sender
        self._look = look
        self._probe = probe
        self._pool = pool
        self._own_pids = own_pids
        self._clock = clock or MonotonicClock()
        self._wall_ns = wall_ns
        self._host = host or socket.gethostname()
        self._environment = dict(os.environ if environment is None else environment)
        self._period_s = period_s
        self._probing: asyncio.Task[CudaReport] | None = None
        self.fleet = Fleet()
        self.dropped = 0

    async def run(self) -> None:
        """Report once a period; the period is from start to start, however long a round takes."""
        try:
            while True:
                begun = self._clock.now()
                await self.report_once()
                await self._clock.sleep(max(0.0, begun + self._period_s - self._clock.now()))
        finally:
            if self._probing is not None:
                self._probing.cancel()

    async def report_once(self) -> list[DeviceReport]:
        """One round: look, classify, publish; what was said."""
        inventory = await asyncio.to_thread(self._look)
        visible = visible_devices(
            self._environment.get(VARIABLE), inventory, self._environment.get(ORDER_VARIABLE)
        )
        at_ns = self._wall_ns()
        self.fleet = looked(self.fleet, inventory, visible)
        await self._follow_probe(visible)
        reports = reports_of(
            self.fleet, self._pool(), host=self._host, own_pids=self._own_pids(), at_ns=at_ns
        )
        try:
            for report in reports:
                await self._sender.send(topics.GPU_DEVICES, report.gpu_uuid, report)
        except DeliveryError as exc:
            self.dropped += 1
            log.warning("%s", exc)
        return reports

    async def _follow_probe(self, visible: Visible) -> None:
        """Start a probe where a device waits for one, and take the answer of one that has ended."""
        if self._probing is not None and self._probing.done():
            self.fleet = tried(self.fleet, self._probing.result())
            self._probing = None
        if self._probing is None and self.fleet.wants_probe:
            self._probing = asyncio.create_task(
                asyncio.to_thread(self._probe, visible, self._environment), name="probe of the devices"
            )
