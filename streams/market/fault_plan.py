"""What faults there are, how often each is wanted, and the record of one that was planted.

========== ==============================================================================================
gap        the tick never comes
duplicate  the tick comes twice, the second time at once after the first
reorder    the tick comes up to ``reorder_ms`` of event time after its place
late       the tick comes at once after the first tick of its symbol that is ``late_ms`` or more younger
crossed    a quote's bid and ask change places
stall      the symbol falls silent for ``stall_ms``: its ticks of that time never come
outage     the same for all symbols
bad        a price of zero, a negative price or a size that is no number
========== ==============================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from schemas.errors import SettingsError

FaultKind = Literal["gap", "duplicate", "reorder", "late", "crossed", "stall", "outage", "bad"]
FAULT_KINDS: tuple[FaultKind, ...] = (
    "gap",
    "duplicate",
    "reorder",
    "late",
    "crossed",
    "stall",
    "outage",
    "bad",
)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """The rate of each fault, as a share of ticks, and how long its effect lasts.

    Attributes
    ----------
    gap, duplicate, reorder, late, crossed, stall, outage, bad
        Probability that a tick gets this fault (for ``stall`` and ``outage``: that it begins one). Their sum
        is at most 1. A trade chosen to be ``crossed`` is left alone.
    reorder_ms, late_ms, stall_ms
        Lengths in event time. A late tick is late for certain only if ``late_ms`` is at least the shortest
        window plus the allowed lateness.
    seed
        Of the hash that chooses the ticks.
    """

    gap: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    late: float = 0.0
    crossed: float = 0.0
    stall: float = 0.0
    outage: float = 0.0
    bad: float = 0.0
    reorder_ms: int = 20
    late_ms: int = 5_000
    stall_ms: int = 3_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse rates that are no probabilities and lengths that are no times."""
        for kind in FAULT_KINDS:
            if not 0.0 <= getattr(self, kind) <= 1.0:
                raise SettingsError(f"faults: {kind} is {getattr(self, kind)}", "a rate lies from 0 to 1")
        if sum(self.rates()) > 1.0:
            raise SettingsError(f"faults: the rates sum to {sum(self.rates()):g}", "at most 1 in all")
        for length in ("reorder_ms", "late_ms", "stall_ms"):
            if not 1 <= getattr(self, length) <= 86_400_000:
                raise SettingsError(f"faults: {length} is {getattr(self, length)}", "1 ms to one day")

    def rates(self) -> tuple[float, ...]:
        """The rates in the order of :data:`FAULT_KINDS`."""
        return tuple(getattr(self, kind) for kind in FAULT_KINDS)

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is to be planted."""
        return not any(self.rates())

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> FaultPlan:
        """Read ``gap:0.001,duplicate:0.01,reorder_ms:50``; an empty text is an empty plan.

        Raises
        ------
        SettingsError
            For a name that is no fault, a value that is no number, or one out of range.
        """
        known = {field.name: field.type for field in fields(cls)}
        values: dict[str, float | int] = {"seed": seed}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            name, colon, value = (piece.strip() for piece in part.partition(":"))
            if name not in known or not colon:
                raise SettingsError(
                    f"faults: {part!r} is no NAME:VALUE", f"NAME is one of {', '.join(known)}"
                )
            try:
                values[name] = int(value) if known[name] == "int" else float(value)
            except ValueError:
                raise SettingsError(f"faults: {part!r}: {value!r} is no number", "like gap:0.001") from None
        return cls(**values)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """One fault as it was planted.

    Attributes
    ----------
    fault, symbol, tick
        What, in whose ticks, and whether a ``quote`` or a ``trade``.
    row
        Row number of the tick in the stream before faults; of the first one for a stall or outage, which
        has a record for each symbol and kind that it silenced.
    ts_event_ns, sequence
        The tick's own; of the first one for a stall or outage.
    count
        gap, stall, outage: ticks that never come. reorder, late: ticks of the same symbol that came before
        it though they belong after it. Else 1.
    certain
        Whether a reader of the stream can see it. Missing ticks show only between two of their symbol and
        kind that come; a late tick that the end of the stream brings may be in time; a reordered tick shows
        if a tick of its symbol overtook it.
    """

    fault: FaultKind
    symbol: str
    tick: Literal["quote", "trade"]
    row: int
    ts_event_ns: int
    sequence: int
    count: int = 1
    certain: bool = True
