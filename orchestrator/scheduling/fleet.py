"""The devices in sorted structures: which one fits a task, in a time that grows with their logarithm.

A view of the ledger's devices, kept by :meth:`Fleet.put` and :meth:`Fleet.forget`. Placements within one
decision are entered as copies of devices, so the ledger's own stay as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sortedcontainers import SortedList

from orchestrator.ledger.state import Device
from orchestrator.policies.base import Policy
from schemas.allocations import Lane

SERVING = frozenset(("UNKNOWN", "HEALTHY", "SUSPECT", "PROBATION"))
"""States of health from which a device may soon take work."""

Entry = tuple[Any, ...]
"""(admissible bytes, preference, uuid): smallest first is best fit."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a task asks of the devices of a lane."""

    lane: Lane
    memory_bytes: int
    devices: int = 1
    only_on: tuple[str, ...] = ()


class Fleet:
    """The devices, by what they can take.

    Parameters
    ----------
    policy
        Says what is admissible and which of equals is preferred.

    Attributes
    ----------
    version
        Grows whenever what devices could ever take changed, not with what they have free.
    """

    def __init__(self, policy: Policy) -> None:
        self.version = 0
        self._policy = policy
        self._devices: dict[str, Device] = {}
        self._entries: dict[str, Entry] = {}
        self._open: dict[Lane, SortedList[Entry]] = {"gpu": SortedList(), "cpu": SortedList()}
        self._on_host: dict[tuple[str, Lane], SortedList[Entry]] = defaultdict(SortedList)
        self._gangs: dict[int, SortedList[tuple[int, str]]] = {}
        self._gang_of: dict[tuple[int, str], int] = {}
        self._could: dict[str, tuple[Lane, str, int, bool]] = {}
        self._sizes: dict[tuple[Lane, bool], SortedList[int]] = defaultdict(SortedList)
        self._hosts: dict[str, set[str]] = defaultdict(set)

    def put(self, device: Device) -> None:
        """Enter a device as it is now, in place of what was known of it."""
        uuid = device.gpu_uuid
        self._devices[uuid] = device
        self._note_size(device)
        old = self._entries.pop(uuid, None)
        if old is not None:
            self._open[device.lane].remove(old)
            self._on_host[device.host, device.lane].remove(old)
        if device.health == "HEALTHY" and not device.stopped and device.used_slots < device.slots:
            admissible = self._policy.admissible_bytes(device)
            entry = (admissible, self._policy.preference(device), uuid)
            self._entries[uuid] = entry
            self._open[device.lane].add(entry)
            self._on_host[device.host, device.lane].add(entry)
        if self._gangs and device.lane == "gpu":
            for size in self._gangs:
                self._note_gang(size, device.host)

    def set_aside(self, uuids: Iterable[str]) -> None:
        """Keep devices from all further searches until they are put in again."""
        for uuid in uuids:
            self.put(replace(self._devices[uuid], used_slots=self._devices[uuid].slots))

    def charge(self, uuids: Iterable[str], memory_bytes: int) -> None:
        """Count a placement that the ledger does not know yet."""
        for uuid in uuids:
            device = self._devices[uuid]
            self.put(
                replace(
                    device,
                    leased_bytes=device.leased_bytes + memory_bytes,
                    used_slots=device.used_slots + 1,
                )
            )

    def is_full(self, lane: Lane) -> bool:
        """Whether no device of the lane takes anything at all."""
        return not self._open[lane]

    def open_devices(self, lane: Lane) -> int:
        """How many devices of the lane take more work."""
        return len(self._open[lane])

    def knows(self, lane: Lane) -> bool:
        """Whether the lane has any device, in whatever health."""
        return bool(self._sizes[lane, True]) or bool(self._sizes[lane, False])

    def find(self, need: Need) -> tuple[str, ...] | None:
        """The devices for a task, all on one host, or None when it does not fit now."""
        if need.only_on:
            return self._find_among(need)
        if need.devices > 1:
            return self._find_gang(need)
        entry = self._best(self._open[need.lane], need.memory_bytes)
        return None if entry is None else (entry[-1],)

    def _best(self, entries: SortedList[Entry], memory_bytes: int) -> Entry | None:
        if not entries or entries[-1][0] < memory_bytes:
            return None
        wanted = memory_bytes if self._policy.packs else entries[-1][0]
        found: Entry = entries[entries.bisect_left((wanted,))]
        return found

    def _find_gang(self, need: Need) -> tuple[str, ...] | None:
        ranking = self._gang_ranking(need.devices)
        place = ranking.bisect_left((need.memory_bytes, "")) if self._policy.packs else len(ranking) - 1
        if place >= len(ranking) or place < 0 or ranking[place][0] < need.memory_bytes:
            return None
        return self._on_one_host(ranking[place][1], need)

    def _on_one_host(self, host: str, need: Need) -> tuple[str, ...]:
        entries = self._on_host[host, "gpu"]
        first = entries.bisect_left((need.memory_bytes,))
        return tuple(entry[-1] for entry in entries[first : first + need.devices])

    def _find_among(self, need: Need) -> tuple[str, ...] | None:
        by_host: dict[str, list[Entry]] = defaultdict(list)
        for uuid in self._named(need.only_on):
            entry, device = self._entries.get(uuid), self._devices[uuid]
            if entry is not None and device.lane == need.lane and entry[0] >= need.memory_bytes:
                by_host[device.host].append(entry)
        fitting = [
            (*sorted(entries)[: need.devices],)
            for entries in by_host.values()
            if len(entries) >= need.devices
        ]
        return tuple(entry[-1] for entry in min(fitting)) if fitting else None

    def _named(self, names: tuple[str, ...]) -> set[str]:
        hosts = {uuid for name in names for uuid in self._hosts.get(name, ())}
        return hosts | {name for name in names if name in self._devices}

    def could(self, need: Need, *, serving: bool) -> bool:
        """Whether the devices could take a task if nothing ran: those that serve, or all that are known."""
        if need.devices == 1 and not need.only_on:
            kinds = (True,) if serving else (True, False)
            return any(
                sizes[-1] >= need.memory_bytes for kind in kinds if (sizes := self._sizes[need.lane, kind])
            )
        names = self._named(need.only_on) if need.only_on else self._could
        per_host: dict[str, int] = defaultdict(int)
        for uuid in names:
            lane, host, size, serves = self._could[uuid]
            if lane == need.lane and size >= need.memory_bytes and (serves or not serving):
                per_host[host] += 1
        return any(count >= need.devices for count in per_host.values())

    def nearest(self, need: Need) -> tuple[str, ...]:
        """The devices nearest to having room for a task that does not fit; empty when none is open."""
        names = self._named(need.only_on) if need.only_on else None
        if need.devices > 1:
            return self._nearest_host(need)
        for entry in reversed(self._open[need.lane]):
            uuid = entry[-1]
            if (names is None or uuid in names) and self._could[uuid][2] >= need.memory_bytes:
                return (uuid,)
        return ()

    def _nearest_host(self, need: Need) -> tuple[str, ...]:
        names = self._named(need.only_on) if need.only_on else self._could
        large: dict[str, list[str]] = defaultdict(list)
        ready: dict[str, int] = defaultdict(int)
        for uuid in names:
            lane, host, size, serves = self._could[uuid]
            if lane == "gpu" and serves and size >= need.memory_bytes:
                large[host].append(uuid)
                entry = self._entries.get(uuid)
                ready[host] += entry is not None and entry[0] >= need.memory_bytes
        hosts = [host for host, uuids in large.items() if len(uuids) >= need.devices]
        if not hosts:
            return ()
        return tuple(sorted(large[min(hosts, key=lambda host: (-ready[host], host))]))

    def _note_size(self, device: Device) -> None:
        known = (
            device.lane,
            device.host,
            self._policy.most_bytes(device),
            device.health in SERVING,
        )
        old = self._could.get(device.gpu_uuid)
        if old == known:
            return
        if old is not None:
            self._sizes[old[0], old[3]].remove(old[2])
        self._could[device.gpu_uuid] = known
        self._sizes[known[0], known[3]].add(known[2])
        self._hosts[device.host].add(device.gpu_uuid)
        self.version += 1

    def _gang_ranking(self, size: int) -> SortedList[tuple[int, str]]:
        """Hosts by the bytes of their ``size``-th largest open device, kept from its first use on."""
        if size not in self._gangs:
            self._gangs[size] = SortedList()
            for host in self._hosts:
                self._note_gang(size, host)
        return self._gangs[size]

    def _note_gang(self, size: int, host: str) -> None:
        old = self._gang_of.pop((size, host), None)
        if old is not None:
            self._gangs[size].remove((old, host))
        entries = self._on_host[host, "gpu"]
        if len(entries) >= size:
            least = entries[-size][0]
            self._gang_of[size, host] = least
            self._gangs[size].add((least, host))
