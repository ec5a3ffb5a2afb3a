"""Adding up what the workers say of themselves, and holding it against what was sent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tapestream.demo.tasks import TaskOutcome

Report = Mapping[str, Any]
"""What the ``/accounting`` page of a worker answers."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters summed over the partitions, as the accounting of a partition has them.

    Attributes
    ----------
    ticks_in
        All ticks of the messages that were read; each is in exactly one of the next five classes.
    unread
        Messages on the log that no worker has read yet.
    """

    ticks_in: int = 0
    processed: int = 0
    late: int = 0
    duplicate: int = 0
    dead: int = 0
    held: int = 0
    gap: int = 0
    crossed: int = 0
    messages: int = 0
    feature_rows: int = 0
    bars: int = 0
    signals: int = 0
    unread: int = 0

    @property
    def classified(self) -> int:
        """Ticks that are in a class."""
        return self.processed + self.late + self.duplicate + self.dead + self.held


_FIELDS = tuple(field.name for field in fields(Totals) if field.name != "unread")


def add_up(reports: Iterable[Report]) -> Totals:
    """Sum the partitions of all workers.

    A partition that moves from one worker to another may be in two reports for a moment: the one that is
    further counts.
    """
    furthest: dict[int, Report] = {}
    for report in reports:
        for row in report["partitions"]:
            known = furthest.get(row["partition"])
            if known is None or row["next_offset"] >= known["next_offset"]:
                furthest[row["partition"]] = row
    sums = dict.fromkeys(_FIELDS, 0)
    unread = 0
    for row in furthest.values():
        for name in _FIELDS:
            sums[name] += row["in" if name == "ticks_in" else name]
        unread += max(0, (row.get("end_offset") or 0) - row["next_offset"])
    return Totals(**sums, unread=unread)


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended.

    Attributes
    ----------
    seconds
        From the first tick sent to the last one read.
    sent
        Ticks that the producer says the broker has acknowledged; None when it said nothing.
    signals_on_topic
        Signals that were read from the topic.
    lag_s
        How long after the producer's end the last tick was in; None when it never was.
    tasks
        The tasks that were sent, and how each ended.
    by_hand
        Whether it was cut short, so that tasks may still have been under way.
    """

    seconds: float
    sent: int | None
    totals: Totals
    signals_on_topic: int
    lag_s: float | None = None
    tasks: Sequence[TaskOutcome] = ()
    by_hand: bool = False

    @property
    def ticks_per_s(self) -> float:
        """Ticks read a second."""
        return self.totals.ticks_in / self.seconds if self.seconds > 0 else 0.0

    def problems(self, *, signals_expected: bool = True) -> list[str]:
        """What does not add up; empty when all is well.

        Parameters
        ----------
        signals_expected
            Whether it is a problem that there is no signal; not so when the run was cut short by hand.
        """
        totals, found = self.totals, []
        if totals.ticks_in != totals.classified:
            found.append(f"{totals.ticks_in:,} ticks came in and {totals.classified:,} are accounted for")
        if self.sent is None and (signals_expected or totals.ticks_in):
            found.append("the producer did not say how many ticks it sent")
        elif self.sent is not None and self.sent != totals.ticks_in:
            found.append(f"{self.sent:,} ticks were sent and {totals.ticks_in:,} came in")
        if totals.signals != self.signals_on_topic:
            found.append(
                f"{totals.signals:,} signals were made and {self.signals_on_topic:,} are on the topic"
            )
        if signals_expected and not totals.signals:
            found.append("no signal was made")
        if not self.by_hand:
            found += [task.problem for task in self.tasks if task.problem is not None]
        return found

    def as_dict(self) -> dict[str, Any]:
        """The summary for programs."""
        counts = {("in" if name == "ticks_in" else name): getattr(self.totals, name) for name in _FIELDS}
        return {
            "seconds": round(self.seconds, 3),
            "sent": self.sent,
            **counts,
            "ticks_per_s": round(self.ticks_per_s),
            "lag_s": self.lag_s,
            "balanced": not self.problems(),
            "problems": self.problems(),
            "tasks": [task.as_dict() for task in self.tasks],
        }

    def lines(self) -> list[str]:
        """The summary for people."""
        totals = self.totals
        sent = "?" if self.sent is None else f"{self.sent:,}"
        lag = "?" if self.lag_s is None else f"{self.lag_s:.1f} s"
        balance = "balanced" if not self.problems(signals_expected=False) else "DOES NOT BALANCE"
        return [
            f"sent      {sent} ticks in {self.seconds:.1f} s, {self.ticks_per_s:,.0f} ticks/s",
            f"in        {totals.ticks_in:,} = {totals.processed:,} processed + {totals.late:,} late + "
            f"{totals.duplicate:,} duplicate + {totals.dead:,} dead + {totals.held:,} held: {balance}",
            f"out       {totals.feature_rows:,} feature rows, {totals.bars:,} bars, "
            f"{totals.signals:,} signals",
            f"quality   {totals.gap:,} ticks missing, {totals.crossed:,} crossed quotes",
            f"lag       {lag} from the last tick sent until all were in",
            *(f"task      {task.line()}" for task in self.tasks),
        ]
