"""Which windows close when, and in which order; the CPU's driver of the close functions. Compiled."""

from __future__ import annotations

from numba import int64

from agents.kernels.scalar.close import clear, merge, settle
from agents.kernels.scalar.emit import emit_bar, emit_row
from agents.kernels.scalar.layout import (
    A_TRADES,
    ACC,
    ACC_SIZE,
    C_BASE,
    C_N_WINDOWS,
    C_WINDOWS,
    P_ACTIVE,
    P_CLOSE,
    P_INDEX,
    P_OPEN,
    P_WATERMARK,
)
from agents.kernels.scalar.target import jit_call

N_ROWS, N_BARS, N_EVENTS, N_CLASSES, N_COUNTS = 0, 1, 2, 3, 7
"""Words of ``counts``: rows, bars and events written; ticks by class, from ``N_CLASSES`` on."""


@jit_call
def has_room(p, c, fi, bi, counts):  # type: ignore[no-untyped-def]
    """Whether the rows of every window that could close now still fit."""
    windows = c[C_N_WINDOWS]
    needed = p[P_ACTIVE] * windows
    for window in range(1, windows):
        needed += p[P_ACTIVE + window]
    return counts[N_ROWS] + needed <= fi.shape[1] and counts[N_BARS] + needed <= bi.shape[1]


@jit_call
def close_windows(  # type: ignore[no-untyped-def]
    p, active, sf, si, wf, wi, vf, lf, li, hf, hi, micro, c, k, watermark, fi, ff, bi, bf, counts
):
    """Close every window that ``watermark`` has passed, and open the base window that holds it.

    The base window first, its sums merged into the longer ones; then these by their close, the
    shorter first where equal. In that order rows do not depend on how far the watermark jumped.
    """
    windows = c[C_N_WINDOWS]
    if p[P_ACTIVE] > 0:
        for window in range(1, windows):
            p[P_INDEX + window] = p[P_OPEN] // c[C_WINDOWS + window]
        close_base(p, active, sf, si, wf, wi, vf, lf, li, hf, hi, micro, c, k, fi, ff, bi, bf, counts)
    while True:
        due = int64(-1)
        due_close = int64(0)
        for window in range(1, windows):
            close = (p[P_INDEX + window] + 1) * c[C_WINDOWS + window]
            if p[P_ACTIVE + window] > 0 and close <= watermark and (due < 0 or close < due_close):
                due = window
                due_close = close
        if due < 0:
            break
        close_longer(
            p, active, sf, si, vf, lf, li, hf, hi, micro, c, k, due, due_close, fi, ff, bi, bf, counts
        )
    p[P_WATERMARK] = watermark
    p[P_OPEN] = watermark // c[C_BASE] * c[C_BASE]
    p[P_CLOSE] = p[P_OPEN] + c[C_BASE]


@jit_call
def close_base(  # type: ignore[no-untyped-def]
    p, active, sf, si, wf, wi, vf, lf, li, hf, hi, micro, c, k, fi, ff, bi, bf, counts
):
    """Close the base window of its active symbols, by ascending id."""
    windows = c[C_N_WINDOWS]
    close = p[P_CLOSE]
    base, acc = int64(0), int64(ACC)  # numba would compile for the literals 0 and 16 what it has for int64
    for word in range(active.shape[1]):
        bits = active[0, word]
        if bits == 0:
            continue
        active[0, word] = 0
        for b in range(64):
            if (bits >> b) & 1 == 0:
                continue
            row = word * 64 + b
            settle(sf, si, wf, wi, c, k, row, close)
            emit_row(sf, si, vf, hf, hi, micro, c, k, row, base, sf, si, acc, close, fi, ff, counts[N_ROWS])
            counts[N_ROWS] += 1
            if si[row, ACC + A_TRADES] > 0:
                emit_bar(c, row, base, sf, si, acc, close, bi, bf, counts[N_BARS])
                counts[N_BARS] += 1
            for window in range(1, windows):
                merge(sf, si, lf, li, row, (window - 1) * ACC_SIZE)
                if (active[window, word] >> b) & 1 == 0:
                    active[window, word] |= 1 << b
                    p[P_ACTIVE + window] += 1
            clear(si, row, acc)
    p[P_ACTIVE] = 0


@jit_call
def close_longer(  # type: ignore[no-untyped-def]
    p, active, sf, si, vf, lf, li, hf, hi, micro, c, k, window, close, fi, ff, bi, bf, counts
):
    """Close one longer window of its active symbols, by ascending id."""
    block = (window - 1) * ACC_SIZE
    for word in range(active.shape[1]):
        bits = active[window, word]
        if bits == 0:
            continue
        active[window, word] = 0
        for b in range(64):
            if (bits >> b) & 1 == 0:
                continue
            row = word * 64 + b
            emit_row(
                sf, si, vf, hf, hi, micro, c, k, row, window, lf, li, block, close, fi, ff, counts[N_ROWS]
            )
            counts[N_ROWS] += 1
            if li[row, block + A_TRADES] > 0:
                emit_bar(c, row, window, lf, li, block, close, bi, bf, counts[N_BARS])
                counts[N_BARS] += 1
            clear(li, row, block)
    p[P_ACTIVE + window] = 0
