"""From what signals decide to the messages that say so: one whenever a symbol's side changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.outputs import OutputList
from agents.rows import FeatureTable
from agents.signals import Decision, FeatureRows, Sides, SignalSpec
from schemas.codec import dumps
from streams.topics import SIGNALS

MS = 1_000_000

Rows = npt.NDArray[np.intp]
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"))


def window_text(window_ns: int) -> str:
    """A window's length for people: ``100ms``, ``1s``, ``5m``, ``1d``."""
    ms = window_ns // MS
    for size, unit in _UNITS:
        if ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"


class Positions:
    """The side that each symbol is on, by signal; grows with the symbols."""

    def __init__(self, kinds: Iterable[str]) -> None:
        self.sides: dict[str, Sides] = {kind: np.zeros(0, np.int8) for kind in kinds}

    def grow(self, n_symbols: int) -> None:
        """Make room; new symbols are on no side."""
        for kind, sides in self.sides.items():
            if len(sides) < n_symbols:
                grown = np.zeros(max(64, 2 * n_symbols), np.int8)
                grown[: len(sides)] = sides
                self.sides[kind] = grown


@dataclass(frozen=True, slots=True)
class Emission:
    """What all signals of one input have in common.

    Attributes
    ----------
    first_offsets
        (window_ns, close_ns) to the first input offset of that window; absent means this input.
    fee_bps
        Fee of one side of a trade, basis points.
    latency_us
        By stage, wall clock.
    """

    positions: Positions
    symbols: list[str]
    first_offsets: dict[tuple[int, int], int]
    fee_bps: float
    latency_us: dict[str, float]
    outputs: OutputList


def emit_signals(specs: tuple[SignalSpec, ...], table: FeatureTable, emission: Emission) -> int:
    """Ask every signal about the windows that closed; write a message for each change of side.

    Returns
    -------
    int
        How many signals were written.
    """
    return sum(
        emit_signal(spec, rows, emission) for spec in specs for rows in table.groups(spec.window_ms * MS)
    )


def emit_signal(
    spec: SignalSpec, rows: FeatureRows, emission: Emission, more: Mapping[str, Sequence[Any]] | None = None
) -> int:
    """Ask one signal about rows that closed together, as :func:`emit_signals`.

    Parameters
    ----------
    more
        Further fields of the messages, a value a row.

    Returns
    -------
    int
        How many signals were written. A signal that raises is dead-lettered with the rows it saw, and
        the sides stay as they are.
    """
    sides = emission.positions.sides[spec.kind]
    current = sides[rows.symbol_ids]
    try:
        decision = spec.decide(rows, current, emission.fee_bps)
        changed = _changes(decision, current, len(rows))
    except Exception as exc:
        emission.outputs.add_failure(
            f"signal {spec.kind!r}",
            exc,
            "mend the signal; the sides it holds stay as they were",
            _seen(spec, rows, emission.symbols),
        )
        return 0
    sides[rows.symbol_ids] = decision.side
    if len(changed):
        for symbol, value in _messages(spec, rows, decision, changed, emission, more or {}):
            emission.outputs.add(SIGNALS, symbol.encode(), value)
    return len(changed)


def _changes(decision: Decision, current: Sides, n: int) -> Rows:
    for name in ("side", "strength", "expected_move_bps", "cost_bps"):
        if getattr(decision, name).shape != (n,):
            raise ValueError(f"{name} has shape {getattr(decision, name).shape}, must be ({n},)")
    changed: Rows = (decision.side != current).nonzero()[0]
    for side in decision.side[changed].tolist():  # the others are as valid as they were
        if side not in (-1, 0, 1):
            raise ValueError(f"side must be -1, 0 or +1, is {side}")
    return changed


def _messages(
    spec: SignalSpec,
    rows: FeatureRows,
    decision: Decision,
    changed: Rows,
    emission: Emission,
    more: Mapping[str, Sequence[Any]],
) -> Iterator[tuple[str, bytes]]:
    """Symbol and JSON of each :class:`schemas.messages.Signal`.

    Built as plain data: a busy market changes thousands of sides a second, and building the model
    would cost more than everything else about a signal. A test holds the two equal.
    """
    at = changed.tolist()
    ids = rows.symbol_ids[changed].tolist()
    sides = decision.side[changed].tolist()
    strengths = decision.strength[changed].tolist()
    moves = decision.expected_move_bps[changed].tolist()
    costs = decision.cost_bps[changed].tolist()
    shown = {name: rows[name][changed].tolist() for name in spec.features}
    window = window_text(rows.window_ns)
    outputs, symbols = emission.outputs, emission.symbols
    source = {
        "partition": outputs.partition,
        "first_offset": emission.first_offsets.get((rows.window_ns, rows.close_ns), outputs.offset),
        "last_offset": outputs.offset,
    }
    for k in range(len(at)):
        symbol = symbols[ids[k]]
        yield (
            symbol,
            dumps(
                {
                    "signal_id": outputs.next_name(),
                    "symbol": symbol,
                    "kind": spec.kind,
                    "ts_event_ns": rows.close_ns,
                    "window": window,
                    "side": sides[k],
                    "strength": strengths[k] if isfinite(strengths[k]) else 0.0,
                    **{name: values[at[k]] for name, values in more.items()},
                    "expected_move_bps": _finite(moves[k]),
                    "cost_bps": _finite(costs[k]),
                    "features": {name: _finite(values[k]) for name, values in shown.items()},
                    "model": spec.model,
                    "source": source,
                    "latency_us": emission.latency_us,
                }
            ),
        )


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def _seen(spec: SignalSpec, rows: FeatureRows, symbols: list[str]) -> dict[str, object]:
    return {
        "signal": spec.kind,
        "close_ns": rows.close_ns,
        "symbols": [symbols[int(i)] for i in rows.symbol_ids],
        "features": {name: rows[name] for name in spec.features if name in rows.columns},
    }
