"""Names of processes that tell whether their bearer still lives, as far as this machine can tell.

``host/namespace-pid-ticks``: the pid namespace and the start time keep a later process, or one of another
container, from being taken for the bearer.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

_FORM = re.compile(r"(?P<host>.+)/(?P<space>\d+)-(?P<pid>\d+)-(?P<ticks>\d+)")
_START_FIELD = 19
"""Of the fields of ``/proc/<pid>/stat`` after the command, counted from 0: the start time in clock ticks."""


@dataclass(frozen=True, slots=True)
class ProcessName:
    """Who a process is."""

    host: str
    space: int
    pid: int
    ticks: int

    def __str__(self) -> str:
        return f"{self.host}/{self.space}-{self.pid}-{self.ticks}"

    @classmethod
    def own(cls, host: str | None = None) -> ProcessName:
        """Ours."""
        return cls(host or socket.gethostname(), _space(), os.getpid(), started_ticks(os.getpid()) or 0)

    @classmethod
    def parse(cls, text: str) -> ProcessName | None:
        """Read what ``str()`` wrote; None for any other name."""
        found = _FORM.fullmatch(text)
        if found is None:
            return None
        return cls(found["host"], int(found["space"]), int(found["pid"]), int(found["ticks"]))


def is_gone(name: str, host: str) -> bool:
    """Whether the bearer lived on this host, in this pid namespace, and has ended. False when in doubt."""
    known = ProcessName.parse(name)
    if known is None or known.host != host or not known.space or known.space != _space():
        return False
    return started_ticks(known.pid) != known.ticks or _is_zombie(known.pid)


def descendants(name: str, host: str) -> frozenset[int]:
    """The pids of the bearer and of all processes below it; none when it is not one of ours or has ended."""
    known = ProcessName.parse(name)
    if (
        known is None
        or known.host != host
        or known.space != _space()
        or started_ticks(known.pid) != known.ticks
    ):
        return frozenset()
    try:
        below = psutil.Process(known.pid).children(recursive=True)
    except psutil.Error:
        return frozenset()
    return frozenset((known.pid, *(process.pid for process in below)))


def _space() -> int:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def started_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did; None when there is none.

    With the pid it is an identity: a later process with the same pid has started later.
    """
    fields = _stat(pid)
    return int(fields[_START_FIELD]) if len(fields) > _START_FIELD else None


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] == ["Z"]
