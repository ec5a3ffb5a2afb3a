"""All indicators over 1,000 symbols × 1,000 bars, beside TA-Lib called in a loop over the symbols.

Both get the same seeded bars and the default parameters. Ours is :func:`agents.indicators.compute` with all
that it does: parsing, checks of the bars, threads. TA-Lib is its Python package, a call a symbol, on one
thread, and on as many as there are cores. What TA-Lib lacks is timed apart and is in no ratio.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from agents import indicators
from agents.kernels.indicators import TABLE

Bars = dict[str, npt.NDArray[np.float64]]


def make_bars(symbols: int, bars: int, seed: int = 7) -> Bars:
    """A seeded walk of 1 % a bar, with opens, ranges and volumes."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(size=(symbols, bars)) * 0.01, axis=1))
    open_ = np.concatenate([np.full((symbols, 1), 100.0), close[:, :-1]], axis=1)
    high = np.maximum(open_, close) * (1.0 + 0.005 * rng.random((symbols, bars)))
    low = np.minimum(open_, close) * (1.0 - 0.005 * rng.random((symbols, bars)))
    volume = rng.integers(1, 10_000, (symbols, bars)).astype(np.float64)
    return {"open": open_, "high": high, "low": low, "close": close, "volume": volume}


def _theirs(name: str, bars: Bars) -> Callable[[int], Any]:
    import talib

    row = TABLE[name]
    function = getattr(talib, name.upper())
    columns = [bars[column] for column in row.inputs]
    numbers = [int(p.default) if p.whole else p.default for p in row.parameters]
    if name == "vwap":
        numbers = []  # TA-Lib's has no period
    return lambda symbol: function(*(column[symbol] for column in columns), *numbers)


def _each(call: Callable[[int], Any], symbols: int) -> list[Any]:
    return [call(symbol) for symbol in range(symbols)]


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run(symbols: int = 1_000, bars: int = 1_000, repeats: int = 5) -> dict[str, Any]:
    """Measure, in turns.

    Returns
    -------
    dict
        Medians of the sums over all indicators that both have, in seconds, on one thread and on all; their
        ratios, TA-Lib's over ours; and each indicator's milliseconds.
    """
    import talib

    data = make_bars(symbols, bars)
    cores = len(os.sched_getaffinity(0))
    both = [name for name in TABLE if hasattr(talib, name.upper())]
    own = [name for name in TABLE if name not in both]
    calls = {name: _theirs(name, data) for name in both}
    indicators.compute({name: column[:2] for name, column in data.items()}, list(TABLE))  # compiles
    ours: dict[str, list[float]] = {name: [] for name in TABLE}
    theirs: dict[str, list[float]] = {name: [] for name in both}
    sums: dict[str, list[float]] = {"ours": [], "ours_all": [], "talib": [], "talib_all": []}
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(repeats):
            for name in TABLE:
                ours[name].append(_seconds(partial(indicators.compute, data, name, threads=1)))
                if name in calls:
                    theirs[name].append(_seconds(partial(_each, calls[name], symbols)))
            sums["ours"].append(_seconds(lambda: indicators.compute(data, both, threads=1)))
            sums["talib"].append(_seconds(lambda: [_each(calls[n], symbols) for n in both]))
            sums["ours_all"].append(_seconds(lambda: indicators.compute(data, both, threads=cores)))
            sums["talib_all"].append(
                _seconds(lambda: [list(pool.map(calls[n], range(symbols), chunksize=50)) for n in both])
            )
    one, all_ = statistics.median(sums["ours"]), statistics.median(sums["ours_all"])
    talib_one, talib_all = statistics.median(sums["talib"]), statistics.median(sums["talib_all"])
    medians = {name: statistics.median(times) for name, times in ours.items()}
    talib_medians = {name: statistics.median(times) for name, times in theirs.items()}
    return {
        "name": "indicators",
        "symbols": symbols,
        "bars": bars,
        "indicators": len(both),
        "threads": cores,
        "ours_s": round(one, 3),
        "talib_s": round(talib_one, 3),
        "ratio": round(talib_one / one, 2),
        "ours_all_threads_s": round(all_, 3),
        "talib_all_threads_s": round(talib_all, 3),
        "ratio_to_talib_on_one": round(talib_one / all_, 2),
        "ratio_to_talib_on_all": round(talib_all / all_, 2),
        "target_ratio": 1.0,
        "target_ratio_to_talib_on_one": 2.0,
        "not_in_talib_ms": {name: round(medians[name] * 1e3, 2) for name in own},
        "each": {
            name: {
                "ours_ms": round(medians[name] * 1e3, 2),
                "talib_ms": round(talib_medians[name] * 1e3, 2),
                "ratio": round(talib_medians[name] / medians[name], 2),
            }
            for name in both
        },
        "machine": {
            "processor": platform.machine(),
            "python": platform.python_version(),
            "talib": talib.__version__,
        },
    }
