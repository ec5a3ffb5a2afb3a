"""The child's loop: orders in, work, answers out."""

from __future__ import annotations

import asyncio
import faulthandler
import queue
import signal
import socket
import threading
import time
from dataclasses import dataclass, field
from types import FrameType

import setproctitle

from agents.tasks import measure, protocol
from agents.tasks.agent import TaskCancelled
from agents.tasks.protocol import FromChild, Order, Progressed, Ready, Stop, Tend
from agents.tasks.work import Bench
from schemas.settings import load_settings

PROGRESS_EVERY_S = 0.05
"""Progress that only moves on is told no more often."""
ENDED_BY_TERM = 128 + signal.SIGTERM


@dataclass(slots=True)
class Link:
    """The child's end of the connection; a thread reads it, since a task may be busy."""

    connection: socket.socket
    orders: queue.SimpleQueue[Order | Tend | None] = field(default_factory=queue.SimpleQueue)
    stop: threading.Event = field(default_factory=threading.Event)
    work: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None
    _sending: threading.Lock = field(default_factory=threading.Lock)
    _told_s: float = 0.0
    _told_stage: str = ""

    def listen(self) -> None:
        """Read until the runner is gone."""
        try:
            while (frame := protocol.receive(self.connection)) is not None:
                if isinstance(frame, Order):
                    self.stop.clear()
                    self.orders.put(frame)
                elif isinstance(frame, Tend):
                    self.orders.put(frame)
                elif isinstance(frame, Stop):
                    self._end_work()
        finally:  # also when there is no memory left to read with: the child then ends after its task
            self.orders.put(None)

    def _end_work(self) -> None:
        self.stop.set()
        work = self.work
        if work is not None:
            loop, task = work
            loop.call_soon_threadsafe(task.cancel)

    def tell(self, head: FromChild, body: bytes = b"") -> None:
        """Send a frame, from any thread."""
        with self._sending:
            self.connection.sendall(protocol.encode(head, body))

    def report(self, fraction: float, stage: str) -> None:
        """Tell progress, if it is news."""
        now_s = time.monotonic()
        if fraction < 1.0 and stage == self._told_stage and now_s - self._told_s < PROGRESS_EVERY_S:
            return
        self._told_s, self._told_stage = now_s, stage
        self.tell(Progressed(progress=fraction, stage=stage))


def serve(connection: socket.socket) -> None:
    """Do orders until the runner closes the connection."""
    faulthandler.enable()  # a segmentation fault leaves its stack in the log
    measure.prefer_to_be_killed()
    setproctitle.setproctitle("tapestream task")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = load_settings()
    link = Link(connection)
    threading.Thread(target=link.listen, name="orders", daemon=True).start()
    bench = Bench(settings)
    signal.signal(signal.SIGTERM, _raise_cancelled)
    link.tell(Ready())
    try:
        while (asked := link.orders.get()) is not None:
            if isinstance(asked, Tend):
                link.tell(bench.tend(asked))
            else:
                done, body = bench.do(asked, link)
                link.tell(done, body)
    except (TaskCancelled, ConnectionError):
        measure.end_now(ENDED_BY_TERM)
    measure.end_now(0)


def _raise_cancelled(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise TaskCancelled
