"""Signals: pure functions from closed windows to sides taken.

A signal is a function marked with :func:`signal`. It sees the rows of one window length that closed
at one instant, and the side each symbol is on, and returns what it would do. It must be pure: no
clock, no randomness, no memory of its own, or replaying the log would not give the same signals. The
worker remembers the sides, writes a message whenever one changes, and dead-letters the rows of a
signal that raises.

``TAPESTREAM_SIGNALS='["agents.signals.order_flow:order_flow", "my_module:my_signal"]'`` chooses them;
``examples/own_signal.py`` shows one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.addresses import import_marked
from schemas.errors import SettingsError

Floats = npt.NDArray[np.float64]
Sides = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """Feature rows of one window length that closed at one instant, as columns.

    ``rows["ofi"]`` is the column of that name of ``market.features``; NaN where undefined.
    """

    symbol_ids: npt.NDArray[np.int64]
    window_ns: int
    close_ns: int
    columns: Mapping[str, npt.NDArray[Any]]

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.symbol_ids)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a signal would do, a value a row.

    Attributes
    ----------
    side
        int8: +1 buy, -1 sell, 0 stay out. The side that the symbol is on already means "no change".
    strength
        Dimensionless, 0 and up: |expected move| over cost.
    expected_move_bps, cost_bps
        In basis points of the mid.
    """

    side: Sides
    strength: Floats
    expected_move_bps: Floats
    cost_bps: Floats


Decide = Callable[[FeatureRows, Sides, float], Decision]


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """A signal and how it wants to be called.

    Attributes
    ----------
    kind
        Goes into the message, and identifies the signal.
    decide
        ``decide(rows, sides, fee_bps) -> Decision``.
    features
        Columns to show in the message beside the decision.
    model
        Name and version of the rule, for the message.
    window_ms
        The window length it looks at; 0 for the shortest configured.
    """

    kind: str
    decide: Decide
    features: tuple[str, ...]
    model: str
    window_ms: int = 0


def signal(
    kind: str, *, features: tuple[str, ...], model: str, window_ms: int = 0
) -> Callable[[Decide], SignalSpec]:
    """Mark a pure function as a signal; see :class:`SignalSpec` for the parameters."""

    def mark(decide: Decide) -> SignalSpec:
        return SignalSpec(kind, decide, features, model, window_ms)

    return mark


def load_signals(addresses: tuple[str, ...], windows_ms: tuple[int, ...]) -> tuple[SignalSpec, ...]:
    """Import signals by ``module:name``; every kind once, every window configured.

    Raises
    ------
    SettingsError
        Naming the address at fault and why.
    """
    specs: list[SignalSpec] = []
    for address in addresses:
        spec = import_marked(address, SignalSpec, "signal", "TAPESTREAM_SIGNALS", "@agents.signals.signal")
        window = spec.window_ms or windows_ms[0]
        if window not in windows_ms:
            raise SettingsError(
                f"signal {address} looks at windows of {window} ms, configured are {list(windows_ms)}",
                f"add {window} to TAPESTREAM_WINDOWS_MS",
            )
        if any(spec.kind == other.kind for other in specs):
            raise SettingsError(f"two signals of kind {spec.kind!r}", "rename one of them")
        specs.append(replace(spec, window_ms=window))
    return tuple(specs)
