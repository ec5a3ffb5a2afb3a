"""CUDA kernels over the scalar functions: a thread a symbol. Import only where a GPU is used."""

from __future__ import annotations

from numba import cuda

from agents.kernels.cuda_target import kernel, scalar
from agents.kernels.scalar.layout import A_TRADES, ACC, ACC_SIZE, C_N_WINDOWS

step_quote, step_trade = scalar("step").step_quote, scalar("step").step_trade
settle, merge, clear = scalar("close").settle, scalar("close").merge, scalar("close").clear
emit_row, emit_bar = scalar("emit").emit_row, scalar("emit").emit_bar


@kernel
def advance(  # type: ignore[no-untyped-def]
    sf, si, wf, wi, vf, c, k, window_open, order, starts,
    ts, symbol, kind, bid_px, ask_px, trade_px, bid_sz, ask_sz, trade_sz, aggressor, sequence,
    dense_quotes, dense_trades, outcome, ea, eb,
):  # fmt: skip
    """Step every symbol through its ticks of one base window.

    ``order`` lists the ticks symbol by symbol, each symbol's in order of arrival; symbol g's are
    ``order[starts[g]:starts[g + 1]]``. Outcomes and event coordinates are written by tick.
    """
    g = cuda.grid(1)
    if g >= len(starts) - 1:
        return
    for j in range(starts[g], starts[g + 1]):
        i = order[j]
        row = symbol[i]
        if kind[i] == 0:
            outcome[i] = step_quote(
                sf, si, wf, wi, c, row, window_open, ts[i], bid_px[i], ask_px[i], bid_sz[i], ask_sz[i],
                sequence[i], dense_quotes, ea, eb, i,
            )  # fmt: skip
        else:
            outcome[i] = step_trade(
                sf, si, wf, wi, vf, c, k, row, ts[i], trade_px[i], trade_sz[i], aggressor[i],
                sequence[i], dense_trades, ea, eb, i,
            )  # fmt: skip


@kernel
def close_base(  # type: ignore[no-untyped-def]
    sf, si, wf, wi, vf, lf, li, hf, hi, micro, c, k, rows, close, fi, ff, bi, bf, traded
):
    """Close the base window of the symbols ``rows``; row g of the result is the g-th symbol's.

    Bars stand beside their rows; ``traded`` says which exist.
    """
    g = cuda.grid(1)
    if g >= len(rows):
        return
    row = rows[g]
    settle(sf, si, wf, wi, c, k, row, close)
    emit_row(sf, si, vf, hf, hi, micro, c, k, row, 0, sf, si, ACC, close, fi, ff, g)
    traded[g] = si[row, ACC + A_TRADES] > 0
    if traded[g]:
        emit_bar(c, row, 0, sf, si, ACC, close, bi, bf, g)
    for window in range(1, c[C_N_WINDOWS]):
        merge(sf, si, lf, li, row, (window - 1) * ACC_SIZE)
    clear(si, row, ACC)


@kernel
def close_longer(  # type: ignore[no-untyped-def]
    sf, si, vf, lf, li, hf, hi, micro, c, k, rows, window, close, fi, ff, bi, bf, traded
):
    """Close one longer window of the symbols ``rows``; results as :func:`close_base`."""
    g = cuda.grid(1)
    if g >= len(rows):
        return
    row = rows[g]
    block = (window - 1) * ACC_SIZE
    emit_row(sf, si, vf, hf, hi, micro, c, k, row, window, lf, li, block, close, fi, ff, g)
    traded[g] = li[row, block + A_TRADES] > 0
    if traded[g]:
        emit_bar(c, row, window, lf, li, block, close, bi, bf, g)
    clear(li, row, block)
