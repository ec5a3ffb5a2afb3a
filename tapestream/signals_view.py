"""Trading signals for people: which ones to show, and how one looks."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from rich.table import Table
from rich.text import Text

from schemas.messages import Signal

SIDES = {1: ("BUY", "bold green"), -1: ("SELL", "bold red"), 0: ("leave", "dim")}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which signals to show; an empty choice is every one.

    Parameters
    ----------
    symbols, kinds
        Names, or patterns such as ``BTC*``.
    min_strength
        Weaker ones are left out; leaving a side usually has little strength.
    """

    symbols: Sequence[str] = ()
    kinds: Sequence[str] = ()
    min_strength: float = 0.0

    def __call__(self, signal: Signal) -> bool:
        """Whether the signal is one of these."""
        return (
            _among(signal.symbol, self.symbols)
            and _among(signal.kind, self.kinds)
            and signal.strength >= self.min_strength
        )


def _among(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(slots=True)
class Board:
    """The latest signals, newest first, and how many there were."""

    rows: int = 20
    total: int = 0
    latest: deque[Signal] = field(default_factory=deque)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, signal: Signal) -> None:
        """Show a signal; the oldest one makes room."""
        self.total += 1
        self.kinds[signal.kind] += 1
        self.latest.appendleft(signal)
        while len(self.latest) > self.rows:
            self.latest.pop()

    def __rich__(self) -> Table:
        """The board as a table."""
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.kinds.items()))
        title = f"{self.total:,} signals: {counts}" if self.total else "waiting for signals"
        shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=title, title_justify="left")
        shown.add_column("event time (UTC)")
        shown.add_column("symbol")
        shown.add_column("side")
        for name in ("strength", "expected", "cost"):
            shown.add_column(name, justify="right")
        for name in ("window", "kind", "probabilities"):
            shown.add_column(name)
        for signal in self.latest:
            side, style = SIDES[signal.side]
            shown.add_row(
                event_time(signal.ts_event_ns),
                Text(signal.symbol),
                Text(side, style),
                f"{signal.strength:.2f}",
                _bp(signal.expected_move_bps, "+.2f"),
                _bp(signal.cost_bps, ".2f"),
                signal.window,
                Text(signal.kind),
                Text(chances(signal)),
            )
        return shown


def event_time(ts_event_ns: int) -> str:
    """An exchange time as date and time of day in UTC, to the millisecond."""
    seconds, nanoseconds = divmod(ts_event_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{nanoseconds // 1_000_000:03d}"


def _bp(value: float | None, form: str) -> str:
    """Basis points for people; a dash when the rule could not say."""
    return "-" if value is None else f"{value:{form}} bp"


def chances(signal: Signal) -> str:
    """The probabilities of a signal, in percent; empty when it has none."""
    shares = signal.probabilities or {}
    return "  ".join(f"{name} {share:.0%}" for name, share in shares.items())


def line(signal: Signal) -> str:
    """A signal as one line of text."""
    return (
        f"{event_time(signal.ts_event_ns)}  {signal.symbol:<12} {SIDES[signal.side][0]:<5} "
        f"strength {signal.strength:6.2f}  expected {_bp(signal.expected_move_bps, '+8.2f')}  "
        f"cost {_bp(signal.cost_bps, '7.2f')}  {signal.window:<4} {signal.kind:<10}  {chances(signal)}"
    ).rstrip()
