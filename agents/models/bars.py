"""The bars that models see: one symbol's OHLCV history, checked once. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import ModelError

Floats = npt.NDArray[np.float64]
PRICES = ("open", "high", "low", "close")
COLUMNS = (*PRICES, "volume")


@dataclass(frozen=True, slots=True)
class Bars:
    """OHLCV of one symbol, oldest first.

    Attributes
    ----------
    ts_ns
        int64 (n,), when each bar closed, rising; the bar's number where the source has no time.
    open, high, low, close
        float64 (n,), > 0.
    volume
        float64 (n,), >= 0.
    """

    symbol: str
    ts_ns: npt.NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.close)

    def head(self, n: int) -> Bars:
        """The first ``n`` bars."""
        return Bars(self.symbol, self.ts_ns[:n], *(getattr(self, name)[:n] for name in COLUMNS))

    def tail(self, n: int) -> Bars:
        """The last ``n`` bars."""
        return Bars(self.symbol, self.ts_ns[-n:], *(getattr(self, name)[-n:] for name in COLUMNS))


def make_bars(symbol: str, columns: Mapping[str, Any], field: str | None = None) -> Bars:
    """Bars from columns by name; ``ts_ns`` may be absent.

    Parameters
    ----------
    field
        What errors call it; ``bars.SYMBOL`` when absent.

    Raises
    ------
    ModelError
        For a column that is absent, no numbers or of another length, NaN, a price <= 0, a negative volume, a
        high below or a low above its bar, times that do not rise.
    """
    field = field or f"bars.{symbol}"
    absent = [name for name in COLUMNS if name not in columns]
    if absent:
        raise ModelError(f"{field}.{absent[0]}", "is absent", f"give {', '.join(COLUMNS)}")
    arrays = {name: _numbers(columns[name], f"{field}.{name}") for name in COLUMNS}
    n = len(arrays["close"])
    ts = np.arange(n, dtype=np.int64) if columns.get("ts_ns") is None else _times(columns["ts_ns"], field)
    for name, array in (*arrays.items(), ("ts_ns", ts)):
        if len(array) != n:
            raise ModelError(f"{field}.{name}", f"has {len(array)} rows, close has {n}", "one a bar")
    _refuse_impossible(arrays, field)
    falling = np.flatnonzero(np.diff(ts) <= 0)
    if len(falling):
        raise ModelError(f"{field}.ts_ns[{falling[0] + 1}]", "is not after its predecessor", "sort the bars")
    return Bars(symbol, ts, *(arrays[name] for name in COLUMNS))


def _numbers(values: Any, field: str) -> Floats:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as exc:
        raise ModelError(field, "is not a list of numbers", "send plain numbers") from exc
    if array.ndim != 1:
        raise ModelError(field, f"has {array.ndim} dimensions", "send one number a bar")
    return array


def _times(values: Any, field: str) -> npt.NDArray[np.int64]:
    try:
        array = np.asarray(values)
        if array.dtype.kind == "M":
            array = array.astype("datetime64[ns]")
        if array.ndim == 1 and array.dtype.kind in "iuM":
            return array.astype(np.int64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ModelError(f"{field}.ts_ns", "is not a list of whole nanoseconds", "or leave it out")


def _refuse_impossible(bars: Mapping[str, Floats], field: str) -> None:
    for name in COLUMNS:
        good = np.isfinite(bars[name]) & ((bars[name] >= 0) if name == "volume" else (bars[name] > 0))
        if not good.all():
            row = int(np.argmin(good))
            wanted = "a volume of 0 or more" if name == "volume" else "a price above 0"
            raise ModelError(
                f"{field}.{name}[{row}]", f"must be {wanted}, was {bars[name][row]}", "drop or repair the bar"
            )
    top = np.maximum(bars["open"], bars["close"])
    bottom = np.minimum(bars["open"], bars["close"])
    for name, bad in (("high", bars["high"] < top), ("low", bars["low"] > bottom)):
        if bad.any():
            row = int(np.argmax(bad))
            raise ModelError(
                f"{field}.{name}[{row}]", f"{bars[name][row]} does not enclose its bar", "drop or repair it"
            )


def bar_length_ms(series: Iterable[Bars]) -> int | None:
    """The length that the times of bars have in common, 100 ms to one day; None where they do not tell.

    It is the greatest common divisor of the times between bars, since quiet bars may be absent.
    """
    steps = [np.diff(bars.ts_ns) for bars in series if len(bars) > 1]
    length_ms, rest = divmod(int(np.gcd.reduce(np.concatenate(steps))) if steps else 0, 1_000_000)
    return length_ms if not rest and 100 <= length_ms <= 86_400_000 else None


def fingerprint(series: Iterable[Bars]) -> str:
    """SHA-256 over every symbol, time and price, in the order of the symbols' names."""
    digest = hashlib.sha256()
    for bars in sorted(series, key=lambda b: b.symbol):
        digest.update(f"{bars.symbol} {len(bars)}\n".encode())
        digest.update(bars.ts_ns.tobytes())
        for name in COLUMNS:
            digest.update(np.ascontiguousarray(getattr(bars, name)).tobytes())
    return digest.hexdigest()
