"""A replay from beginning to end: source, writer, position and report put together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import SourceError
from schemas.settings import Settings
from streams.clock import Clock, MonotonicClock
from streams.replay.resume import Position, PositionFile
from streams.replay.send import NullWriter, Plan, Sending, closing_ns, send
from streams.replay.source import Source
from streams.writer import TickWriter


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How a source is sent.

    Parameters
    ----------
    speed
        Seconds of event time in a second; None for as fast as it goes.
    max_gap_s
        A longer silence is cut to this many seconds; None keeps it.
    close
        Tell all partitions at the end that event time has moved on, so that the last windows close.
    resume
        Go on where the last replay of the same files and options stopped.
    frame_ticks
        Ticks that make a frame.
    dry_run
        Read and time everything, send nothing.
    """

    speed: float | None = 1.0
    max_gap_s: float | None = None
    close: bool = True
    resume: bool = False
    frame_ticks: int = 4096
    dry_run: bool = False


@dataclass(slots=True)
class Replay:
    """One replay, under way or over."""

    settings: Settings
    source: Source
    options: ReplayOptions
    clock: Clock = field(default_factory=MonotonicClock)
    sending: Sending = field(default_factory=Sending)
    frames: int = 0
    frame_bytes: int = 0

    async def run(self, on_progress: Callable[[Sending], None] = lambda sending: None) -> None:
        """Send everything.

        Raises
        ------
        SourceError
            When a file turns out unreadable, or there was nothing at all to send.
        BrokerError
            When the log cannot be reached or does not take the ticks.
        """
        positions = None if self.options.dry_run else self._positions()
        start = positions.load() if positions and self.options.resume else Position()
        self.sending = Sending(start)
        if start.finished:
            self.sending.finished = True
            return
        close = closing_ns(self.settings) if self.options.close else None
        plan = Plan(self.options.speed, self.options.max_gap_s, close)
        blocks = self.source.blocks(skip=start.ticks)
        if self.options.dry_run:
            await send(blocks, NullWriter(), plan, self.clock, self.sending, None, on_progress)
        else:
            writer = self._writer()
            try:
                async with writer:
                    await send(blocks, writer, plan, self.clock, self.sending, positions, on_progress)
            finally:  # the report of a replay that was interrupted counts too
                self.frames, self.frame_bytes = writer.frames, writer.bytes
        if not self.sending.position.ticks:
            names = ", ".join(file.path.name for file in self.source.files)
            raise SourceError(
                f"{names}: no tick to send, {self._why_none()}",
                "see docs/formats.md, and --from, --to and --symbols",
            )

    def _writer(self) -> TickWriter:
        if self.options.speed is None:
            # Full frames and no clock: the same files give the same frames.
            return TickWriter(
                self.settings, max_ticks=self.options.frame_ticks, max_age_ms=None, heartbeat_ms=None
            )
        return TickWriter(self.settings, max_ticks=self.options.frame_ticks)

    def _positions(self) -> PositionFile:
        target = f"{self.source.identity}|{self.settings.broker}|{self.settings.topic_prefix}"
        identity = hashlib.blake2b(target.encode(), digest_size=16).hexdigest()
        return PositionFile.of(self.settings.data_dir, identity)

    def _why_none(self) -> str:
        bad = sum(file.bad.total for file in self.source.files)
        rows = sum(file.rows for file in self.source.files)
        return f"{rows} ticks read, {bad} bad rows"

    def report(self) -> dict[str, Any]:
        """What became of it, as plain data."""
        sending = self.sending
        seconds = sending.seconds
        paced = self.options.speed is not None
        return {
            "ticks": sending.ticks,
            "frames": self.frames,
            "bytes": self.frame_bytes,
            "seconds": round(seconds, 3),
            "ticks_per_s": round(sending.ticks / seconds) if seconds else None,
            "resumed_at": sending.start.ticks,
            "position": sending.position.ticks,
            "last_ts_event_ns": sending.high_ns,
            "finished": sending.finished,
            "order": self.source.order,
            "pacing_error_ms": {
                "p50": round(sending.error.quantile_ms(0.50), 3),
                "p99": round(sending.error.quantile_ms(0.99), 3),
                "max": round(sending.error.worst_ms, 3),
            }
            if paced and sending.ticks
            else None,
            "faults": self.source.planted,
            "files": [
                {
                    "file": file.path.name,
                    "format": file.format.name,
                    "bad_rows": file.bad.total,
                    "bad": dict(file.bad.bad),
                    "skipped": dict(file.bad.skipped),
                    "examples": [str(example) for example in file.bad.examples],
                }
                for file in self.source.files
            ],
            "notes": self.source.notes,
        }
