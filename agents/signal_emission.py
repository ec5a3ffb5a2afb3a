"""From what signals decide to the messages that say so: one whenever a symbol's side changes."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

import numpy as np

from agents.outputs import OutputList
from agents.rows import FeatureTable
from agents.signals import Decision, FeatureRows, Sides, SignalSpec
from schemas.codec import dumps
from schemas.errors import TickError
from streams.topics import SIGNALS

MS = 1_000_000
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

    def __init__(self, specs: tuple[SignalSpec, ...]) -> None:
        self.sides: dict[str, Sides] = {spec.kind: np.zeros(0, np.int8) for spec in specs}

    def grow(self, n_symbols: int) -> None:
        """Make room; new symbols are on no side."""
        for kind, sides in self.sides.items():
            if len(sides) < n_symbols:
                grown = np.zeros(max(64, 2 * n_symbols), np.int8)
                grown[: len(sides)] = sides
                self.sides[kind] = grown


def emit_signals(
    specs: tuple[SignalSpec, ...],
    table: FeatureTable,
    positions: Positions,
    symbols: list[str],
    first_offsets: dict[tuple[int, int], int],
    fee_bps: float,
    latency_us: dict[str, float],
    outputs: OutputList,
) -> int:
    """Ask every signal about the windows that closed; write a message for each change of side.

    Parameters
    ----------
    first_offsets
        (window_ns, close_ns) to the first input offset of that window; absent means this input.

    Returns
    -------
    int
        How many signals were written. A signal that raises is dead-lettered with the rows it saw, and
        the sides stay as they are.
    """
    written = 0
    for spec in specs:
        for rows in table.groups(spec.window_ms * MS):
            current = positions.sides[spec.kind][rows.symbol_ids]
            try:
                decision = spec.decide(rows, current, fee_bps)
                changed = _changes(decision, current, len(rows))
            except Exception as exc:
                _dead_letter(spec, rows, exc, symbols, outputs)
                continue
            positions.sides[spec.kind][rows.symbol_ids] = decision.side
            first = first_offsets.get((rows.window_ns, rows.close_ns), outputs.offset)
            if len(changed):
                for symbol, value in _messages(
                    spec, rows, decision, changed, symbols, first, latency_us, outputs
                ):
                    outputs.add(SIGNALS, symbol.encode(), value)
                    written += 1
    return written


def _changes(decision: Decision, current: Sides, n: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    for name in ("side", "strength", "expected_move_bps", "cost_bps"):
        if np.shape(getattr(decision, name)) != (n,):
            raise ValueError(f"{name} has shape {np.shape(getattr(decision, name))}, must be ({n},)")
    if len(decision.side) and (decision.side.min() < -1 or decision.side.max() > 1):
        raise ValueError("side must be -1, 0 or +1")
    return np.flatnonzero(decision.side != current)


def _messages(
    spec: SignalSpec,
    rows: FeatureRows,
    decision: Decision,
    changed: np.ndarray[tuple[int], np.dtype[np.intp]],
    symbols: list[str],
    first_offset: int,
    latency_us: dict[str, float],
    outputs: OutputList,
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
    source = {
        "partition": outputs.partition,
        "first_offset": first_offset,
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
                    "expected_move_bps": _finite(moves[k]),
                    "cost_bps": _finite(costs[k]),
                    "features": {name: _finite(values[k]) for name, values in shown.items()},
                    "model": spec.model,
                    "source": source,
                    "latency_us": latency_us,
                }
            ),
        )


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def _dead_letter(
    spec: SignalSpec, rows: FeatureRows, exc: Exception, symbols: list[str], outputs: OutputList
) -> None:
    problem = TickError(
        f"{outputs.topic}[{outputs.partition}]@{outputs.offset}: signal {spec.kind!r} raised "
        f"{type(exc).__name__}: {exc}",
        "mend the signal; the sides it holds stay as they were",
    )
    saw = {
        "signal": spec.kind,
        "close_ns": rows.close_ns,
        "symbols": [symbols[int(i)] for i in rows.symbol_ids],
        "features": {name: rows[name] for name in spec.features if name in rows.columns},
    }
    outputs.add_dead_letter(dumps(saw), problem)
