"""Indicators over whole histories."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from agents.indicators import bars as bar_columns
from agents.indicators.requests import Request, parse_all
from agents.kernels.indicators import blocks
from schemas.errors import BarsError


def compute(
    bars: Any, names: str | Iterable[str], *, threads: int | None = None, short: str = "error"
) -> Any:
    """Indicators of one or many symbols.

    >>> closes = np.array([1.0, 2.0, 4.0, 7.0])
    >>> compute(closes, ["sma(2)", "mom(1)"])
    {'sma(2)': array([nan, 1.5, 3. , 5.5]), 'mom(1)': array([nan,  1.,  2.,  3.])}

    Parameters
    ----------
    bars
        An array of closes; a mapping of ``open high low close volume`` to arrays, (bars,) or (symbols,
        bars); or a pandas, polars or Arrow frame, long ones with a ``symbol`` column. In order of time.
        Leading NaN are passed over.
    names
        Like ``"rsi"``, ``"macd(12,26,9)"``, ``"bbands(nbdevup=3)"``.
    threads
        How many share the symbols; default one a core. Does not change a bit.
    short
        ``"error"``, or ``"nan"`` for symbols that have too few bars for an indicator.

    Returns
    -------
    dict or frame
        float64, by the name as asked (``"rsi"``), and by ``name.output`` (``"macd(12,26,9).macdsignal"``)
        where there are several; shaped like the bars, NaN over the look-back. A frame for a frame.

    Raises
    ------
    ParameterError
        When there is no such indicator, or a parameter is out of bounds.
    BarsError
        When bars are too few, lack a column, or cannot be: NaN in the middle, high below low.
    """
    requests = parse_all(names)
    read = bar_columns.read(bars)
    results: dict[str, Any] = {}
    parts: list[blocks.Work] = []
    threads = threads or len(os.sched_getaffinity(0))
    for request in requests:
        _check_lengths(request, read, short)
        row, columns, begins = request.row, read.columns(request.row.inputs), read.starts(request.row.inputs)
        out = np.empty((len(row.outputs), int(read.ends[-1])))
        if (begins != read.begins).any():
            out.fill(np.nan)
        parts += blocks.histories(row, request.parameters, begins, read.ends, columns, out, threads)
        results.update(zip(request.columns, out, strict=True))
    blocks.side_by_side(parts, threads)
    return read.wrap({name: read.put_back(values) for name, values in results.items()})


def _check_lengths(request: Request, bars: bar_columns.Bars, short: str) -> None:
    """Every symbol must have at least one value."""
    if short == "nan":
        return
    lengths = bars.ends - bars.starts(request.row.inputs)
    worst = int(np.argmin(lengths))
    if lengths[worst] <= request.lookback:
        where = f"{bars.names[worst]}: " if bars.names else ""
        raise BarsError(
            f"{where}{request.text} needs {request.lookback + 1} bars, there are {lengths[worst]}",
            'give more bars, a shorter period, or short="nan"',
        )
