"""Technical indicators for people: names in, values out.

>>> from agents import indicators
>>> indicators.compute({"high": highs, "low": lows, "close": closes}, ["rsi", "atr(10)"])  # doctest: +SKIP

Whole histories are :func:`compute`'s, bars as they close :class:`LiveIndicators`'; both give the same bits.
``docs/indicators.md`` lists what there is.
"""

from __future__ import annotations

from agents.indicators.batch import compute
from agents.indicators.live import LiveIndicators
from agents.indicators.requests import ALIASES, Request, parse
from agents.kernels.indicators import TABLE

__all__ = ["ALIASES", "LiveIndicators", "Request", "compute", "describe", "names", "parse"]


def names() -> list[str]:
    """All indicators."""
    return list(TABLE)


def describe(name: str) -> str:
    """What an indicator is, takes and gives, in one line.

    Raises
    ------
    ParameterError
        When there is no such indicator.
    """
    request = parse(name)
    row = request.row
    takes = ", ".join(f"{p.name}={p.default:g}" for p in row.parameters)
    return (
        f"{row.name}({takes}): {row.title}; of {', '.join(row.inputs)}; "
        f"gives {', '.join(row.outputs)} after {request.lookback} bars"
    )
