"""What is computed on top of the kernels' rows, as plain data: it may change while the state goes on.

Each partition keeps since which offset it has computed what, so that ``tapestream verify`` computes every
stretch as the workers did.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from agents.signals import SignalSpec
from schemas.errors import CheckpointError

KEPT = 50
"""Changes that are remembered; older stretches cannot be verified any more."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Signals, indicators and what decides about their outputs.

    Attributes
    ----------
    signals
        As :func:`title` names them.
    indicators
        As asked, in small letters.
    fee_bps
        Of the cost that signals hold the expected move against.
    model_window_ms
        Length of the bars that the promoted model scores; 0 for what its card names.
    """

    signals: tuple[str, ...]
    indicators: tuple[str, ...]
    fee_bps: float
    model_window_ms: int

    def __str__(self) -> str:
        """For people."""
        signals, indicators = (", ".join(names) or "none" for names in (self.signals, self.indicators))
        return (
            f"signals={signals}; indicators={indicators}; fee_bps={self.fee_bps:g}; "
            f"model_window_ms={self.model_window_ms}"
        )

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Selection:
        """From the plain data of a checkpoint."""
        signals, indicators = tuple(facts["signals"]), tuple(facts["indicators"])
        return cls(signals, indicators, float(facts["fee_bps"]), int(facts["model_window_ms"]))


def title(spec: SignalSpec) -> str:
    """What tells a signal from another: its kind, window and rule."""
    return f"{spec.kind}@{spec.window_ms}ms {spec.model}"


def pick(specs: tuple[SignalSpec, ...], titles: tuple[str, ...]) -> tuple[SignalSpec, ...]:
    """The signals of these titles, in their order.

    Raises
    ------
    CheckpointError
        When one of them is not there.
    """
    known = {title(spec): spec for spec in specs}
    absent = [name for name in titles if name not in known]
    if absent:
        raise CheckpointError(
            f"signals that were computed are not configured: {', '.join(absent)}; "
            f"configured are: {', '.join(known) or 'none'}",
            "name them in TAPESTREAM_SIGNALS too",
        )
    return tuple(known[name] for name in titles)


class Course:
    """Since which offset a partition has computed which selection."""

    def __init__(self, selection: Selection) -> None:
        self.stretches: list[tuple[int, Selection]] = [(0, selection)]

    def change(self, offset: int, selection: Selection) -> None:
        """From ``offset`` on it is this one."""
        if self.stretches[-1][1] == selection:
            return
        kept = [stretch for stretch in self.stretches if stretch[0] < offset]
        if not kept or kept[-1][1] != selection:
            kept.append((offset, selection))
        self.stretches = kept[-KEPT:]

    def at(self, offset: int) -> Selection:
        """What is computed for the message at ``offset``."""
        for first, selection in reversed(self.stretches):
            if first <= offset:
                return selection
        return self.stretches[0][1]

    def as_list(self) -> list[list[Any]]:
        """Plain data."""
        return [[offset, asdict(selection)] for offset, selection in self.stretches]

    @classmethod
    def from_list(cls, facts: list[list[Any]]) -> Course:
        """The inverse of :meth:`as_list`."""
        course = cls(Selection.from_dict(facts[0][1]))
        course.stretches = [(int(offset), Selection.from_dict(selection)) for offset, selection in facts]
        return course
