"""The memory guard at work, in the owner's office: reports and commands in; alerts, commands and records out.

Invariants

- Nothing is said before the alerts and commands on the topics were read up to where they ended.
- An open alert of an earlier owner is gone on with under its id; one that such an owner opens beside ours is
  closed.
- Whether a device admits tasks is on the allocation log, and is made so again until the fold has it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from orchestrator.guard import MemoryGuard, OpenAlerts, Sample, sample_of
from orchestrator.guard.alerts import Memory
from orchestrator.guard.guard import Output
from orchestrator.guard.holders import Holders
from orchestrator.ledger import State
from orchestrator.service.sightings import head_of
from schemas import codec
from schemas.alerts import MemoryAlert
from schemas.allocations import AdmissionChanged, Record
from schemas.commands import (
    AllocatorSample,
    CleanupAnswer,
    CleanupCommand,
    GpuCommand,
    PolicyCommand,
    decode_command,
)
from schemas.devices import DeviceReport
from schemas.errors import FrameError
from streams import topics
from streams.log_writer import Writer

log = logging.getLogger("tapestream.orchestrate")

POLICY_KEY = "policy"
SUM_NS = 1_000_000_000
"""How often the samples of allocators are added up."""
REPEAT_POLICY_NS = 86_400_000_000_000
"""A choice of policy is said again when it is as old as this, since the topic forgets after a week."""


class Tail(Protocol):
    """A topic as it grows; :class:`streams.partition_tail.PartitionTail`."""

    @property
    def caught_up(self) -> bool:
        """Whether all that was there at the beginning has been taken."""

    def take(self) -> Sequence[Any]:
        """The records that have arrived."""


class MemoryDesk:
    """The guard of one owner, from its claim until another one's.

    Parameters
    ----------
    state
        The owner's; never changed here.
    alerts, commands
        Their topics, from the beginning.
    epoch
        In which it owns the domain.
    may_end
        :func:`schemas.kill_switch.kill_allowed`.

    Attributes
    ----------
    guard
        To be looked at.
    said
        What was done, by word.
    """

    def __init__(
        self,
        state: State,
        writer: Writer,
        alerts: Tail,
        commands: Tail,
        *,
        epoch: int,
        may_end: bool = False,
    ) -> None:
        self.guard = MemoryGuard(may_end=may_end)
        self.said: Counter[str] = Counter()
        self.freed_bytes = 0
        self._state, self._writer, self._epoch = state, writer, epoch
        self._alerts, self._commands = alerts, commands
        self._heard = OpenAlerts()
        self._spoken: set[Memory] = set()
        self._samples: list[Sample] = []
        self._room_wanted: set[str] = set()
        self._holders = Holders()
        self._summed_ns = 0
        self._chosen: PolicyCommand | None = None

    @property
    def ready(self) -> bool:
        """Whether what was on the topics at the beginning has been read."""
        return self._alerts.caught_up and self._commands.caught_up

    def saw(self, report: DeviceReport) -> None:
        """A report is a sample; one of a device that does not answer is none."""
        sample = sample_of(report)
        if sample is not None:
            self._samples.append(sample)

    async def work(self, now_ns: int) -> list[Record]:
        """Take in what has arrived and say what follows; the records are to be written by the caller.

        Raises
        ------
        BrokerError
            When a topic cannot be read or written.
        """
        outputs = [out for got in self._alerts.take() for out in self._hear(got.value or b"", now_ns)]
        outputs += [out for got in self._commands.take() for out in self._obey(got.value or b"", now_ns)]
        samples, self._samples = self._samples, []
        if not self.ready:
            return []  # samples until then are nobody's: the levels they would lead to may be wrong
        if now_ns - self._summed_ns >= SUM_NS:
            self._summed_ns = now_ns
            samples += [
                Sample(uuid, used, limit, now_ns, kind)
                for uuid, kind, used, limit in self._holders.sums(now_ns)
            ]
        outputs += [out for sample in samples for out in self.guard.take(sample)]
        for uuid in self.guard.devices:
            device = self._state.devices.get(uuid)
            if device is not None and device.health == "LOST":
                outputs += self.guard.forget(uuid, now_ns, "the device is lost")
        for output in outputs:
            await self._say(output)
        await self._repeat_policy(now_ns)
        return self._admission(now_ns)

    def _hear(self, payload: bytes, now_ns: int) -> list[Output]:
        try:
            alert = codec.decode(MemoryAlert, payload)
        except FrameError as exc:
            log.warning("%s: passed over: %s", topics.MEMORY_ALERTS, exc.problem)
            return []
        counts = self._heard.see(alert)
        if alert.domain != self._state.domain or alert.epoch >= self._epoch:
            return []
        if counts and (alert.gpu_uuid, alert.kind) not in self._spoken:
            self.guard.adopt(alert)
        elif alert.event != "closed":
            reason = "opened by an owner that had lost the domain"
            closed = {"event": "closed", "at_ns": now_ns, "forecast": [], "reason": reason}
            return [alert.model_copy(update=closed)]
        return []

    def _obey(self, payload: bytes, now_ns: int) -> list[Output]:
        try:
            command: GpuCommand = decode_command(payload)
        except FrameError as exc:
            log.warning("%s: passed over: %s", topics.GPU_COMMANDS, exc.problem)
            return []
        if isinstance(command, PolicyCommand):
            self._chosen = command
            if self.ready and command.policy != self.guard.policy:
                log.info("memory policy %s, asked for by %s", command.policy, command.requested_by or "?")
            # The sender's clock may be wrong, and measures are timed by ours.
            return self.guard.change_policy(command.model_copy(update={"at_ns": now_ns}))
        if isinstance(command, AllocatorSample) and self.ready:
            self._holders.take(command, now_ns)
        if isinstance(command, CleanupAnswer) and self.ready:
            self.said["answers" if command.done else "refusals"] += 1
            if command.bytes_before is not None and command.bytes_after is not None:
                self.freed_bytes += max(0, command.bytes_before - command.bytes_after)
        return []

    async def _say(self, output: Output) -> None:
        if isinstance(output, MemoryAlert):
            stated = {"domain": self._state.domain, "epoch": self._epoch}
            self._spoken.add((output.gpu_uuid, output.kind))
            self.said[output.event] += 1
            log.info("%s: alert %s at %s, %s", output.gpu_uuid, output.event, output.level, output.reason)
            await self._send(topics.MEMORY_ALERTS, output.model_copy(update=stated))
            return
        if output.action == "preempt_lowest":
            self._room_wanted.add(output.gpu_uuid)
        if output.action == "end_process":
            lease = self._lease_to_end(output.gpu_uuid)
            if not lease:
                return
            output = output.model_copy(update={"lease": lease})
        self.said["commands"] += 1
        await self._send(topics.GPU_COMMANDS, output)

    async def _send(self, base: str, message: MemoryAlert | CleanupCommand) -> None:
        await self._writer.write(base, message.gpu_uuid, [codec.dumps(message)])

    def _lease_to_end(self, gpu_uuid: str) -> str:
        """Of the attempts on a device, the lowest priority's, the newest of them; empty when none runs."""
        running = [
            (self._state.tasks[lease.task_id].priority, -lease.started_ns, lease)
            for lease in self._state.leases.values()
            if gpu_uuid in lease.gpu_uuids and lease.agent
        ]
        if not running:
            return ""
        *_, lease = min(running, key=lambda row: row[:2])
        return f"{lease.task_id}/{lease.attempt}"

    async def _repeat_policy(self, now_ns: int) -> None:
        chosen = self._chosen
        if chosen is not None and now_ns - chosen.at_ns >= REPEAT_POLICY_NS:
            self._chosen = chosen.model_copy(update={"at_ns": now_ns})
            await self._writer.write(topics.GPU_COMMANDS, POLICY_KEY, [codec.dumps(self._chosen)])

    def _admission(self, now_ns: int) -> list[Record]:
        """What the log should say of each device that is watched and does not say yet."""
        records: list[Record] = []
        for uuid in self.guard.devices:
            device = self._state.devices.get(uuid)
            if device is None:
                continue
            in_force = self.guard.in_force(uuid)
            stopped = "stop_admission" in in_force
            room = "preempt_lowest" in in_force and (device.make_room or uuid in self._room_wanted)
            self._room_wanted.discard(uuid)
            if (device.stopped, device.make_room) != (stopped, room):
                level = self.guard.level(uuid)
                reason = f"memory is {level}" if level else "memory is well again"
                records.append(
                    AdmissionChanged(
                        **head_of(self._state, now_ns),
                        gpu_uuid=uuid,
                        stopped=stopped,
                        make_room=room,
                        reason=reason,
                    )
                )
        return records
