"""One child process: started clean, talked to, signalled, buried. Knows nothing of tasks.

Start it from the loop's own thread: Linux ends it when the thread that started it ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.allocators import Held
from agents.tasks import protocol
from agents.tasks.agent import on_cpu
from agents.tasks.assignment import ChildIdentity
from agents.tasks.measure import KIB, process_memory
from agents.tasks.protocol import Done, FromChild, Holding, Ready, Tended, ToChild
from schemas.errors import ChildError
from streams.process_name import started_ticks

LAST_WORDS_BYTES = 4_096
LOG_BYTES = 16 * 1_048_576
"""A log above this begins anew with the next child."""
AFTER_END_S = 1.0
"""How long what a dead child has said may take to be read; all of it is here already."""


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended.

    Attributes
    ----------
    code
        Exit code, or minus the signal.
    peak_bytes
        Most memory that was resident in it, by the kernel; None where it cannot be told: Linux counts what
        the starting process had at the moment of starting, so only what is above that is the child's.
    """

    code: int
    peak_bytes: int | None

    def __str__(self) -> str:
        if self.code >= 0:
            return f"it ended with exit code {self.code}"
        with suppress(ValueError):
            return f"it was killed by {signal.Signals(-self.code).name}"
        return f"it was killed by signal {-self.code}"


def child_environment(inherited: Mapping[str, str], devices: Sequence[str]) -> dict[str, str]:
    """The environment of a child: it sees its devices and no others, and finds modules where we do.

    CUDA reads ``CUDA_VISIBLE_DEVICES`` once, when it starts; so it is there before anything is imported, and
    a child belongs to its devices for life.
    """
    visible = "" if on_cpu(devices) else ",".join(devices)
    places = [os.path.abspath(place) for place in sys.path]
    return {
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # its own takes a GiB at once, on no task's account
        **inherited,
        "CUDA_VISIBLE_DEVICES": visible,
        "PYTHONPATH": os.pathsep.join(places),
    }


class Child:
    """A running child; made by :func:`start_child`.

    Attributes
    ----------
    identity
        Pid and start time.
    devices
        That it sees.
    held
        What its allocators held on its GPUs when it said so last.
    ended
        Done when it has ended, with how. By then its whole process group has been killed.
    """

    def __init__(self, popen: subprocess.Popen[bytes], devices: Sequence[str], log_file: Path) -> None:
        self._popen = popen
        self._log_file = log_file
        self._log_start = 0
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.devices = tuple(devices)
        self.held: tuple[Held, ...] = ()
        self.identity = ChildIdentity(popen.pid, started_ticks(popen.pid) or 0)
        self.ended: asyncio.Future[ChildEnd] = self._loop.create_future()
        self.mark_log()
        self._starter_bytes = process_memory().peak_bytes
        self._pidfd = os.pidfd_open(popen.pid)
        self._loop.add_reader(self._pidfd, self._bury)

    async def connect(self, ours: socket.socket) -> None:
        """Take over our end of the connection."""
        self._reader, self._writer = await asyncio.open_connection(sock=ours)

    def _bury(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        # Before it is reaped, its pid cannot be another's; and the group goes with it.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.identity.pid, signal.SIGKILL)
        _, status, used = os.wait4(self.identity.pid, 0)
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        peak_bytes = used.ru_maxrss * KIB
        known = peak_bytes if peak_bytes > self._starter_bytes else None
        self.ended.set_result(ChildEnd(self._popen.returncode, known))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return not self.ended.done()

    async def tell(self, head: ToChild) -> None:
        """Send a frame; to one that has ended, nothing happens."""
        assert self._writer is not None
        with suppress(ConnectionError):
            self._writer.write(protocol.encode(head))
            await self._writer.drain()

    async def hear(self) -> tuple[FromChild, bytes] | None:
        """The next frame; None when it has ended."""
        assert self._reader is not None
        reading = asyncio.ensure_future(protocol.read(self._reader))
        try:
            either: set[asyncio.Future[Any]] = {reading, self.ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            # A process that has left the group may still hold the connection open.
            frame = await asyncio.wait_for(reading, None if reading.done() else AFTER_END_S)
        except TimeoutError:
            return None
        finally:
            reading.cancel()
        if frame is None:
            return None
        head, body = frame
        assert not isinstance(head, ToChild)
        if isinstance(head, Holding | Done | Tended):
            self.held = tuple(head.held)
        return head, body

    def signal(self, number: int) -> None:
        """Signal the child itself; its group only with SIGKILL. Not once it has been reaped."""
        if not self.alive:
            return
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self.identity.pid, number)
            else:
                os.kill(self.identity.pid, number)

    async def close(self, patience_s: float) -> ChildEnd:
        """Let it end by closing the connection, which its watch answers with SIGKILL."""
        if self._writer is not None:
            self._writer.close()
        try:
            return await asyncio.wait_for(asyncio.shield(self.ended), patience_s)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await asyncio.shield(self.ended)

    def mark_log(self) -> None:
        """What it wrote until now is no concern of :meth:`last_words`."""
        with suppress(OSError):
            self._log_start = self._log_file.stat().st_size

    def last_words(self) -> str:
        """The line that tells most of what it wrote last: a fatal error, else the last one."""
        with suppress(OSError), self._log_file.open("rb") as log:
            log.seek(max(self._log_start, self._log_file.stat().st_size - LAST_WORDS_BYTES))
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
            fatal = [line for line in lines if line.startswith("Fatal Python error")]
            return next((line for line in (*fatal, *reversed(lines)) if line), "")
        return ""


OURSELVES = (sys.executable, "-P", "-m", "agents.tasks.child")


def _spawn(
    program: Sequence[str], environment: Mapping[str, str], log_file: Path
) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """A started process and our end of the connection to it."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    ours, theirs = socket.socketpair()
    large = log_file.exists() and log_file.stat().st_size > LOG_BYTES
    with log_file.open("wb" if large else "ab") as log, theirs:
        popen = subprocess.Popen(
            [*program, str(theirs.fileno()), str(os.getpid())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    return ours, popen


async def start_child(
    devices: Sequence[str],
    environment: Mapping[str, str],
    log_file: Path,
    patience_s: float,
    program: Sequence[str] = (),
) -> Child:
    """Start a child and wait until it is up.

    Raises
    ------
    ChildError
        When it does not come up within ``patience_s``.
    """
    ours, popen = _spawn(program or OURSELVES, child_environment(environment, devices), log_file)
    child = Child(popen, devices, log_file)
    try:
        async with asyncio.timeout(patience_s):
            await child.connect(ours)
            frame = await child.hear()
    except BaseException as exc:
        await child.close(0)
        if isinstance(exc, TimeoutError):
            raise ChildError(f"a task's process is not up after {patience_s:g} s", f"see {log_file}") from exc
        raise
    if frame is None or not isinstance(frame[0], Ready):
        end = await child.close(0)
        raise ChildError(f"a task's process does not start: {end}: {child.last_words()}", f"see {log_file}")
    return child
