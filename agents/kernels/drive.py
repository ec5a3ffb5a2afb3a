"""The CPU's loop over ticks in arrival order: watermark, late ticks, steps and closes. Compiled."""

from __future__ import annotations

from functools import cache
from typing import Any

from numba import int64, types

from agents.kernels.addresses import flat_bytes, flat_floats, flat_ints, floats, ints
from agents.kernels.closing import N_CLASSES, N_EVENTS, close_windows, has_room
from agents.kernels.entry import compiled_for, given, own
from agents.kernels.prefetch import prefetch
from agents.kernels.scalar.layout import (
    CLASS_MASK,
    DEAD,
    DUPLICATE,
    EVENT_CROSSED,
    EVENT_DUPLICATE,
    EVENT_GAP,
    EVENT_LATE,
    EVENT_RESET,
    FLAG_CROSSED,
    FLAG_GAP,
    FLAG_RESET,
    LATE,
    NEXT_DUE,
    P_ACTIVE,
    P_CLOSE,
    P_OPEN,
    P_SYMBOLS,
    P_WATERMARK,
    RECORD,
    SLOT,
    SLOTS,
    WAIT_COUNT,
    WAIT_HEAD,
)
from agents.kernels.scalar.step import step_quote, step_trade
from agents.kernels.scalar.target import jit

NEAR = 256
"""Symbols whose records a core's own cache holds."""
AHEAD = 16
"""With more: how many ticks before its turn a record is fetched, and at half of it what it points to."""


def _drive(  # type: ignore[no-untyped-def]
    state, result,
    ts, symbol, kind, codes, bid_px, ask_px, trade_px, bid_sz, ask_sz, trade_sz, aggressor, sequence,
    dense_quotes, dense_trades, watermarks, has_watermarks, final_watermark, start,
):  # fmt: skip
    """Process ticks from ``start`` until all are done or the result is full.

    ``state`` and ``result`` are the tables of addresses of ``PartitionState.arrays`` and
    ``Scratch.arrays``; for the others see :func:`agents.kernels.run.run`. ``final_watermark`` counts
    after the last tick.

    Returns
    -------
    int
        Number of ticks + 1 when done; otherwise the tick (or number of ticks, for the final
        watermark) at which windows close whose rows would not fit: call again from there with more
        room. −1 when columns differ in length, −2 when a tick to be taken has a symbol without a
        record; nothing has changed then.
    """
    p, active = flat_ints(state, 0), ints(state, 1)
    sf, si, wf, wi = floats(state, 2), ints(state, 2), floats(state, 3), ints(state, 3)
    vf, lf, li = floats(state, 4), floats(state, 5), ints(state, 5)
    hf, hi, micro = floats(state, 6), ints(state, 6), flat_floats(state, 7)
    c, k = flat_ints(state, 8), flat_floats(state, 9)
    counts, classes, e_code = flat_ints(result, 0), flat_bytes(result, 1), flat_bytes(result, 2)
    e_row, ea, eb = flat_ints(result, 3), flat_ints(result, 4), flat_ints(result, 5)
    fi, ff, bi, bf = ints(result, 6), floats(result, 7), ints(result, 8), floats(result, 9)
    n = len(ts)
    if not same_length(
        n, symbol, kind, codes, bid_px, ask_px, trade_px, bid_sz, ask_sz, trade_sz, aggressor, sequence
    ) or (has_watermarks and len(watermarks) != n):
        return -1
    if start == 0:
        if not known_symbols(codes, symbol, p[P_SYMBOLS]):
            return -2
        counts[:] = 0
    watermark = p[P_WATERMARK]
    window_open = p[P_OPEN]
    window_close = p[P_CLOSE]
    events = counts[N_EVENTS]
    scattered = p[P_SYMBOLS] > NEAR
    for i in range(start, n):
        if scattered and i + AHEAD < n:
            fetch_ahead(si, wi, ts, symbol, kind, codes, i)
        if codes[i] != 0:
            classes[i] = DEAD
            counts[N_CLASSES + DEAD] += 1
            continue
        t = ts[i]
        reached = t
        if has_watermarks:
            reached = max(t, watermarks[i])
        if reached > watermark:
            if reached >= window_close:
                if not has_room(p, c, fi, bi, counts):
                    counts[N_EVENTS] = events
                    p[P_WATERMARK] = watermark
                    return i
                close_windows(
                    p, active, sf, si, wf, wi, vf, lf, li, hf, hi, micro, c, k, reached,
                    fi, ff, bi, bf, counts,
                )  # fmt: skip
                window_open = p[P_OPEN]
                window_close = p[P_CLOSE]
            watermark = reached
        if t < window_open:
            classes[i] = LATE
            counts[N_CLASSES + LATE] += 1
            e_code[events] = EVENT_LATE
            e_row[events] = i
            ea[events] = t
            eb[events] = watermark
            events += 1
            continue
        row = int64(symbol[i])
        number = int64(sequence[i])
        if kind[i] == 0:
            outcome = step_quote(
                sf, si, wf, wi, c, row, window_open, t, bid_px[i], ask_px[i], bid_sz[i], ask_sz[i],
                number, dense_quotes, ea, eb, events,
            )  # fmt: skip
        else:
            outcome = step_trade(
                sf, si, wf, wi, vf, c, k, row, t, trade_px[i], trade_sz[i], int64(aggressor[i]),
                number, dense_trades, ea, eb, events,
            )  # fmt: skip
        if outcome != 0:
            events = record(outcome, i, bid_px[i], ask_px[i], e_code, e_row, ea, eb, events)
        classes[i] = outcome & CLASS_MASK
        if outcome & CLASS_MASK == DUPLICATE:
            counts[N_CLASSES + DUPLICATE] += 1
            continue
        word = row >> 6
        bit = 1 << (row & 63)
        if active[0, word] & bit == 0:
            active[0, word] |= bit
            p[P_ACTIVE] += 1
    counts[N_EVENTS] = events
    p[P_WATERMARK] = watermark
    if final_watermark > watermark:
        if final_watermark >= window_close:
            if not has_room(p, c, fi, bi, counts):
                return n
            close_windows(
                p, active, sf, si, wf, wi, vf, lf, li, hf, hi, micro, c, k, final_watermark,
                fi, ff, bi, bf, counts,
            )  # fmt: skip
        p[P_WATERMARK] = final_watermark
    others = counts[N_CLASSES + LATE] + counts[N_CLASSES + DUPLICATE] + counts[N_CLASSES + DEAD]
    counts[N_CLASSES] = n - others
    return n + 1


@jit
def same_length(n, a, b, c, d, e, f, g, h, i, j, k):  # type: ignore[no-untyped-def]
    """Whether all columns have ``n`` entries; compiled code would read past a shorter one."""
    front = len(a) == n and len(b) == n and len(c) == n and len(d) == n and len(e) == n and len(f) == n
    return front and len(g) == n and len(h) == n and len(i) == n and len(j) == n and len(k) == n


@jit
def known_symbols(codes, symbol, symbols):  # type: ignore[no-untyped-def]
    """Whether every tick that is not dead has a record."""
    strangers = False
    for i in range(len(symbol)):
        strangers |= (codes[i] == 0) & ((symbol[i] < 0) | (symbol[i] >= symbols))
    return not strangers


@jit
def fetch_ahead(si, wi, ts, symbol, kind, codes, i):  # type: ignore[no-untyped-def]
    """Start loading what the ticks after tick ``i`` will touch, while those before them run."""
    coming = symbol[i + AHEAD]
    prefetch(si, coming, 0)
    prefetch(si, coming, 8)
    prefetch(si, coming, 16)
    if kind[i + AHEAD] == 1:
        for line in range(24, RECORD, 8):
            prefetch(si, coming, line)
    if codes[i + AHEAD // 2] != 0:
        return  # a dead tick's symbol may have no record, and what follows reads it
    coming = symbol[i + AHEAD // 2]
    head = si[coming, WAIT_HEAD]
    if si[coming, NEXT_DUE] <= ts[i + AHEAD // 2]:
        prefetch(wi, coming, head * SLOT)
    if kind[i + AHEAD // 2] == 1:
        tail = head + si[coming, WAIT_COUNT]
        prefetch(wi, coming, (tail if tail < SLOTS else tail - SLOTS) * SLOT)


@jit
def record(outcome, tick, bid, ask, e_code, e_row, ea, eb, events):  # type: ignore[no-untyped-def]
    """Complete the event whose coordinates ``admit`` wrote, and add the crossed book's; returns the count."""
    if outcome & CLASS_MASK == DUPLICATE:
        e_code[events] = EVENT_DUPLICATE
        e_row[events] = tick
        return events + 1
    if outcome & (FLAG_GAP | FLAG_RESET):
        e_code[events] = EVENT_GAP if outcome & FLAG_GAP else EVENT_RESET
        e_row[events] = tick
        events += 1
    if outcome & FLAG_CROSSED:
        e_code[events] = EVENT_CROSSED
        e_row[events] = tick
        ea[events] = bid
        eb[events] = ask
        events += 1
    return events


@cache
def compiled() -> Any:
    """The loop, compiled on first use."""
    i8, f8, u1 = types.int64, types.float64, types.uint8
    columns = [i8, types.int32, u1, u1, i8, i8, i8, f8, f8, f8, types.int8, types.uint64]
    how = [types.boolean, types.boolean, given(i8), types.boolean, i8, i8]
    return compiled_for(types.int64(own(i8), own(i8), *map(given, columns), *how), _drive)
