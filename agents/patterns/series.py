"""One series of bars, as patterns need it: prices above 0, no gaps, enough of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.indicators import bars as bar_columns
from schemas.errors import BarsError, ParameterError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """Prices of one symbol; where bars have no high and low, the close stands for them."""

    high: Floats
    low: Floats
    close: Floats


def read(bars: Any, least: int, what: str) -> Series:
    """Prices from an array of closes, a mapping, or a frame, of one symbol.

    Raises
    ------
    BarsError
        When there are several symbols, fewer than ``least`` bars, NaN, a price that is not above 0, or a high
        below its low.
    """
    given = bar_columns.read(bars)
    if len(given.begins) != 1:
        raise BarsError(f"there are bars of {len(given.begins)} symbols", "give one symbol at a time")
    names = [name for name in ("high", "low") if given.has(name)]
    wanted = (*names, "close") if len(names) == 2 else ("close",)
    columns = dict(zip(wanted, given.columns(wanted), strict=True))
    late = int(given.starts(wanted)[0])
    if late > 0:
        raise BarsError(f"the first {late} bars have no price", "drop them")
    for name, values in columns.items():
        if (values <= 0.0).any():
            at = int(np.argmax(values <= 0.0))
            raise given.error(at, f"{name} is {values[at]:g}", "give prices above 0, tolerances are relative")
    close = columns["close"]
    if len(close) < least:
        raise BarsError(f"{what} needs {least} bars, there are {len(close)}", "give more bars")
    return Series(columns.get("high", close), columns.get("low", close), close)


def bounded(name: str, value: float, least: float, most: float = np.inf) -> float:
    """``value``, when it is within its bounds.

    Raises
    ------
    ParameterError
        When it is not.
    """
    if not least <= value <= most:
        bounds = f"at least {least:g}" if most == np.inf else f"from {least:g} to {most:g}"
        raise ParameterError(f"{name} must be {bounds}, was {value}", "change it")
    return value
