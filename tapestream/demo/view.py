"""What the demo shows while it runs: a live picture on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Group
from rich.table import Table
from rich.text import Text

from schemas.messages import Signal
from tapestream.demo.ledger import Totals
from tapestream.signals_view import Board

RATE_OVER_S = 5.0


@dataclass(slots=True)
class Rate:
    """How fast a counter rises, over the last few seconds."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, at_s: float, count: int) -> None:
        """Note the counter's value at a time."""
        self.seen.append((at_s, count))
        while len(self.seen) > 2 and at_s - self.seen[1][0] >= RATE_OVER_S:
            self.seen.popleft()

    @property
    def per_s(self) -> float:
        """Counts a second; 0 before there are two values."""
        if len(self.seen) < 2:
            return 0.0
        (begin_s, begin), (end_s, end) = self.seen[0], self.seen[-1]
        return max(0.0, (end - begin) / (end_s - begin_s)) if end_s > begin_s else 0.0


@dataclass(slots=True)
class Screen:
    """The state of the picture.

    Parameters
    ----------
    heading
        Lines above it: addresses, and how to end.
    """

    heading: list[str]
    clock: Callable[[], float] = time.monotonic
    totals: Totals = field(default_factory=Totals)
    rate: Rate = field(default_factory=Rate)
    board: Board = field(default_factory=lambda: Board(rows=12))
    started_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.started_s = self.clock()

    def update(self, totals: Totals) -> None:
        """Take in the workers' latest totals."""
        self.totals = totals
        self.rate.add(self.clock(), totals.ticks_in)

    def add_signal(self, signal: Signal) -> None:
        """Take in a signal."""
        self.board.add(signal)

    @property
    def seconds(self) -> float:
        """How long it has been shown."""
        return self.clock() - self.started_s

    def line(self) -> str:
        """The picture as one line of text."""
        totals = self.totals
        return (
            f"{self.seconds:5.0f} s  {self.rate.per_s:>9,.0f} ticks/s  in {totals.ticks_in:,}  "
            f"late {totals.late:,}  duplicate {totals.duplicate:,}  dead {totals.dead:,}  "
            f"bars {totals.bars:,}  signals {totals.signals:,}  unread {totals.unread:,}"
        )

    def __rich__(self) -> Group:
        """The picture for a terminal."""
        return Group(
            *(Text(line) for line in self.heading), Text(), self._figures(), Text(), self.board.__rich__()
        )

    def _figures(self) -> Table:
        totals = self.totals
        good = totals.ticks_in == totals.classified
        balance = Text("all ticks, exactly", "green") if good else Text("DOES NOT BALANCE", "bold red")
        shown = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=False)
        for _ in range(4):
            shown.add_column()
        rows = (
            ("running", f"{self.seconds:,.0f} s", "speed", Text(f"{self.rate.per_s:,.0f} ticks/s", "bold")),
            ("ticks in", f"{totals.ticks_in:,}", "unread", f"{totals.unread:,} messages"),
            ("processed", f"{totals.processed:,}", "missing", f"{totals.gap:,} sequence numbers"),
            ("late", f"{totals.late:,}", "crossed", f"{totals.crossed:,} quotes"),
            ("duplicate", f"{totals.duplicate:,}", "features", f"{totals.feature_rows:,} rows"),
            ("dead", f"{totals.dead:,}", "bars", f"{totals.bars:,}"),
            ("held", f"{totals.held:,}", "signals", Text(f"{totals.signals:,}", "bold")),
            ("accounted", balance, "", ""),
        )
        for row in rows:
            shown.add_row(*row)
        return shown
