"""Where reading the allocation log begins: after its newest usable snapshot, for all who fold it.

A snapshot that lacks a part, cannot be read or is not the state that it names is passed over, with a line in
the log: the one before it is taken, and without any the log is read from its start. The state is the same
either way.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.ledger import State, restore, whole
from schemas import allocations
from schemas.allocations import Snapshot
from schemas.errors import LedgerError
from schemas.settings import Settings
from streams import topics
from streams.log_reader import LogReader

log = logging.getLogger(__name__)

PARTITION = 0
LOOK_BACK = 50_000
"""Records before the end of the log among which snapshots are looked for, the first time; then ever more."""

# Looking for the word is ten times faster than decoding everything.
_KIND = re.compile(rb'\s*\{\s*"kind"\s*:\s*"([a-z_]+)"')
PULSE = (allocations.Tick, allocations.Renewed, allocations.CapacityMeasured, Snapshot)
"""Records that say only that all goes on."""
_SNAPSHOT = allocations.kind(Snapshot).encode()
_PULSE = frozenset(allocations.kind(record).encode() for record in PULSE)


class Base(NamedTuple):
    """A state to fold on from, and the last offset that it stands for."""

    state: State
    basis: int


class Raw(NamedTuple):
    """A record of the log, not decoded yet."""

    offset: int
    domain: str
    value: bytes


@dataclass(slots=True)
class Window:
    """What the end of the log has: its domains, snapshots, and where decisions lie; grows backwards."""

    domains: set[str] = field(default_factory=set)
    snapshots: list[Snapshot] = field(default_factory=list)
    decisions: list[int] = field(default_factory=list)

    def note(self, raw: Raw) -> None:
        """One more record."""
        self.domains.add(raw.domain)
        found = _KIND.match(raw.value)
        if found is None or found[1] not in _PULSE:
            self.decisions.append(raw.offset)
        elif found[1] == _SNAPSHOT:
            try:
                record = allocations.decode(raw.value)
            except LedgerError as exc:
                log.warning("%s@%d: no snapshot: %s", topics.ALLOCATIONS, raw.offset, exc.problem)
                return
            if isinstance(record, Snapshot):
                self.snapshots.append(record)

    def base(self, domain: str, decisions: int = 0) -> Base | None:
        """The newest usable snapshot of a domain with so many decisions after it, else the oldest.

        A snapshot that is not usable is passed over and not looked at again.
        """
        for parts in list(self._in_turn(domain, decisions)):
            try:
                return Base(restore(parts), parts[0].basis)
            except LedgerError as exc:
                log.warning("%s: passed over: %s", topics.ALLOCATIONS, exc.problem)
                self.snapshots = [record for record in self.snapshots if record not in parts]
        return None

    def _in_turn(self, domain: str, decisions: int) -> Iterator[list[Snapshot]]:
        found = whole(record for record in self.snapshots if record.domain == domain)
        enough = [parts for parts in found if self._after(parts[0].basis) >= decisions]
        yield from enough
        yield from reversed(found[: len(found) - len(enough)])

    def _after(self, basis: int) -> int:
        return sum(offset > basis for offset in self.decisions)


async def bases(settings: Settings, domain: str = "", decisions: int = 0) -> dict[str, Base]:
    """The states to fold on from, by domain; empty when the log is to be read from its start.

    Parameters
    ----------
    domain
        The one that is asked for; when empty, all that have said something since the snapshots are needed.
    decisions
        So many should lie after the snapshot, if there is such a one near the log's end.
    """
    name = topics.name(settings, topics.ALLOCATIONS)
    window = Window()
    async with LogReader(settings) as reader:
        begin, end = await reader.bounds(name, PARTITION)
        upto, back = end, LOOK_BACK
        while True:
            start = max(begin, end - back)
            async for message in reader.read(name, PARTITION, start, upto):
                key = (message.key or b"").decode(errors="replace")
                if not domain or key == domain:
                    window.note(Raw(message.offset, key, message.value or b""))
            wanted = {domain} if domain else window.domains
            found = {one: base for one in wanted if (base := window.base(one, decisions)) is not None}
            if len(found) == len(wanted) > 0:
                return found
            if start == begin:
                return {}
            upto, back = start, back * 4
