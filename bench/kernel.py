"""How many ticks a second one core takes through the order-flow kernel, all features on.

The tape is seeded. 70 % of ticks are quotes, 30 % trades without an aggressor flag (so that the sign
rule works); a tenth of the quotes move the price by a tick (on recorded BTC, 3 to 10 % do), half of
those change the spread; sequence numbers are dense; symbols are equally likely, which is the hardest
order for a cache. Event time runs at 100 ticks a second and symbol, windows are 1, 10 and 60 s, so
about one feature row is written every 90 ticks. Time is the thread's processor time; the state is
warm, and calls include everything ``run`` does, Python and all.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.kernels import KernelConfig, PartitionState, validate
from agents.kernels import run as run_frame
from agents.kernels.run import FrameResult

TICKS_PER_SYMBOL_S = 100.0
_START_NS = 1_700_000_040_000_000_000 - 1_000_000_000  # a second before a minute: all windows close once

Columns = dict[str, Any]


def make_tape(n: int, symbols: int, seed: int = 7) -> Columns:
    """Seeded columns as :func:`agents.kernels.run` takes them; prices walk in steps of 0.01 around 100."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(1e9 / (TICKS_PER_SYMBOL_S * symbols), n)
    symbol = rng.integers(0, symbols, n).astype(np.int32)
    kind = (rng.random(n) < 0.3).astype(np.uint8)
    is_quote = kind == 0
    moves = np.where(is_quote & (rng.random(n) < 0.1), rng.choice([-1, 1], n), 0)
    level = 10_000 + _running_sum(moves, symbol)
    width = 1 + (_running_sum(moves * (rng.random(n) < 0.5), symbol) % 2)
    step = 10_000_000
    bid, ask = level * step, (level + width) * step
    touch = np.where(rng.random(n) < 0.5, bid, ask)
    round_lots = rng.integers(1, 50, n).astype(np.float64)
    key = symbol.astype(np.int64) * 2 + kind
    zero, nothing = np.zeros(n, np.int64), np.zeros(n)
    return {
        "ts_event": _START_NS + np.cumsum(gaps).astype(np.int64),
        "symbol_id": symbol,
        "kind": kind,
        "codes": np.zeros(n, np.uint8),
        "bid_px": np.where(is_quote, bid, zero),
        "ask_px": np.where(is_quote, ask, zero),
        "trade_px": np.where(is_quote, zero, touch),
        "bid_sz": np.where(is_quote, rng.integers(1, 100, n), nothing),
        "ask_sz": np.where(is_quote, rng.integers(1, 100, n), nothing),
        "trade_sz": np.where(is_quote, nothing, round_lots),
        "aggressor": np.zeros(n, np.int8),
        "sequence": _running_sum(np.ones(n, np.int64), key).astype(np.uint64),
    }


def _running_sum(values: npt.NDArray[Any], group: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Cumulative sum within each group, in the original order."""
    order = np.argsort(group, kind="stable")
    total = np.cumsum(values[order])
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    before = np.repeat(total[starts] - values[order][starts], np.diff(np.append(starts, len(values))))
    out = np.empty(len(values), np.int64)
    out[order] = total - before
    return out


def _frames(tape: Columns, batch: int) -> list[Columns]:
    n = len(tape["kind"])
    return [{name: column[i : i + batch] for name, column in tape.items()} for i in range(0, n, batch)]


def _open(device: str) -> Callable[[PartitionState], Callable[[Columns], FrameResult]]:
    """From a state to what computes a frame on it: the compiled loop, or the kernels of a GPU."""
    if device == "cpu":
        return lambda state: lambda frame: run_frame(state, **frame)
    from numba import cuda

    from agents.kernels.cuda import CudaPartition

    cuda.select_device(int(device.removeprefix("cuda:")))

    def on_gpu(state: PartitionState) -> Callable[[Columns], FrameResult]:
        partition = CudaPartition(state)
        return lambda frame: partition.run(*frame.values())

    return on_gpu


def measure(symbols: int, batch: int, ticks: int, repeats: int, device: str = "cpu") -> dict[str, Any]:
    """Median ticks a second over ``repeats`` passes; the first half of each warms the state, unmeasured.

    On a GPU time is that of the clock, since the thread waits for the device.
    """
    now = time.thread_time if device == "cpu" else time.perf_counter
    opened = _open(device)
    tape = make_tape(ticks, symbols)
    frames = _frames(tape, batch)
    speeds, rows = [], 0
    for _ in range(repeats):
        state = PartitionState(KernelConfig(), symbols)
        state.add_symbols(symbols)
        compute = opened(state)
        half = len(frames) // 2
        for frame in frames[:half]:
            compute(frame)
        rows = 0
        measured = sum(len(frame["kind"]) for frame in frames[half:])
        start = now()
        for frame in frames[half:]:
            rows += compute(frame).n_rows
        speeds.append(measured / (now() - start))
    return {
        "symbols": symbols,
        "batch": batch,
        "ticks": measured,
        "rows": rows,
        "ticks_per_s": round(statistics.median(speeds)),
        "fastest": round(max(speeds)),
        "slowest": round(min(speeds)),
    }


def measure_validate(batch: int = 4096, repeats: int = 7) -> float:
    """Ticks a second of :func:`agents.kernels.validate`, which a worker calls before ``run``."""
    tape = make_tape(200_000, 100)
    names = ("kind", "bid_px", "ask_px", "trade_px", "bid_sz", "ask_sz", "trade_sz", "aggressor")
    frames: list[tuple[Any, ...]] = [
        (f["ts_event"], f["ts_event"], *(f[name] for name in names), 10**9) for f in _frames(tape, batch)
    ]
    validate(*frames[0])
    speeds = []
    for _ in range(repeats):
        start = time.thread_time()
        for frame in frames:
            validate(*frame)
        speeds.append(200_000 / (time.thread_time() - start))
    return statistics.median(speeds)


def run(repeats: int = 5, ticks: int = 1_000_000, device: str = "cpu") -> dict[str, Any]:
    """Measure 100, 1,000 and 10,000 symbols in frames of 4,096 and 1,000 ticks.

    On a GPU frames of 65,536 ticks too, as many as a worker that is behind takes together.

    Returns
    -------
    dict
        ``ticks_per_s`` of the first case (100 symbols, frames of 4,096) and all ``cases``.
    """
    batches = (4_096, 1_000) if device == "cpu" else (4_096, 1_000, 65_536)
    cases = [
        measure(symbols, batch, max(ticks, 400 * symbols), repeats, device)
        for symbols in (100, 1_000, 10_000)
        for batch in batches
    ]
    return {
        "name": "kernel",
        "device": device,
        "ticks_per_s": cases[0]["ticks_per_s"],
        "target_ticks_per_s": 15_000_000,
        "validate_ticks_per_s": round(measure_validate()),
        "cases": cases,
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
    }
