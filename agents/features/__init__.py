"""Features of one's own: pure functions from the ticks of a closed window to a value a symbol.

A feature is a function marked with :func:`feature`. It sees the ticks of one window of all symbols of a
partition, as columns, and returns a value for each symbol: a column more on ``market.features``, which
signals see like any other. It must be pure: no clock, no randomness, no memory of its own. It runs on NumPy
where the worker computes on the CPU and on cuDF where it computes on a GPU, without knowing which.

``TAPESTREAM_FEATURES='["my_module:my_feature"]'`` chooses them; ``examples/own_feature.py`` shows one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from agents.addresses import import_marked
from agents.frames import Column, TickFrame
from schemas.errors import SettingsError
from schemas.features import FEATURE_SCHEMA
from schemas.ticks import COLUMNS

__all__ = ["Column", "FeatureSpec", "TickFrame", "Window", "feature", "load_features"]

ON_DEVICE = tuple(name for name in COLUMNS if name not in ("ts_recv_ns", "sequence"))
"""Columns that a feature can ask for: those that the kernels have, too."""
MOST = 16
"""With more columns a frame of 2,000 rows would not fit into a message."""


@dataclass(frozen=True, slots=True)
class Window:
    """The window whose ticks a feature sees: [open, close), event time."""

    open_ns: int
    close_ns: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.close_ns - self.open_ns) / 1e9


Compute = Callable[[TickFrame, Window], Column]


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """A feature and what it needs.

    Attributes
    ----------
    name
        Of its column on ``market.features``.
    compute
        ``compute(ticks, window) -> column``: a number a symbol, NaN where undefined.
    columns
        Tick columns that it reads; they are kept until the window closes, and in checkpoints.
    window_ms
        The window length it looks at; 0 for the shortest configured. In rows of others it is NaN.
    """

    name: str
    compute: Compute
    columns: tuple[str, ...]
    window_ms: int = 0


def feature(name: str, *, columns: tuple[str, ...], window_ms: int = 0) -> Callable[[Compute], FeatureSpec]:
    """Mark a pure function as a feature; see :class:`FeatureSpec` for the parameters."""

    def mark(compute: Compute) -> FeatureSpec:
        return FeatureSpec(name, compute, columns, window_ms)

    return mark


def load_features(addresses: tuple[str, ...], windows_ms: tuple[int, ...]) -> tuple[FeatureSpec, ...]:
    """Import features by ``module:name``; every name once, every column and window there.

    Raises
    ------
    SettingsError
        Naming the address at fault and why.
    """
    if len(addresses) > MOST:
        raise SettingsError(f"{len(addresses)} features of one's own, at most {MOST} fit into a message")
    specs: list[FeatureSpec] = []
    for address in addresses:
        spec = import_marked(
            address, FeatureSpec, "feature", "TAPESTREAM_FEATURES", "@agents.features.feature"
        )
        window = spec.window_ms or windows_ms[0]
        if window not in windows_ms:
            raise SettingsError(
                f"feature {address} looks at windows of {window} ms, configured are {list(windows_ms)}",
                f"add {window} to TAPESTREAM_WINDOWS_MS",
            )
        unknown = [name for name in spec.columns if name not in ON_DEVICE]
        if unknown:
            raise SettingsError(
                f"feature {address} reads {', '.join(unknown)}", f"there are {', '.join(ON_DEVICE)}"
            )
        if spec.name in (*FEATURE_SCHEMA.names, *(other.name for other in specs)):
            raise SettingsError(f"there is a feature {spec.name!r} already", "rename the one of your own")
        specs.append(replace(spec, window_ms=window))
    return tuple(specs)
