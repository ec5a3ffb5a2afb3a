"""Realized spread and price impact a horizon Δ after the trade, in bounded memory.

A trade at t is evaluated at e = (⌊(t + Δ) / g⌋ + 1)·g with g = max(1, Δ // 32), against the mid that
stood strictly before e: between Δ and Δ + g after the trade, so at Δ to within one part in 32.
Trades of one e wait together as sums, in a queue of 34 slots. A symbol's clock does not run back, so
e does not fall; with Δ ≥ 1,024 ns at most 34 different e lie in (t, t + Δ + g], and the queue holds.
"""

from __future__ import annotations

from .layout import (
    A_IMPACT,
    A_REALIZED,
    A_RESOLVED,
    ACC,
    ASK,
    BID,
    C_GRID,
    C_HORIZON,
    LAST_DUE,
    NEVER,
    NEXT_DUE,
    S_DUE,
    S_N,
    S_Q,
    S_QM,
    S_QP,
    S_REF,
    SLOT,
    SLOTS,
    WAIT_COUNT,
    WAIT_HEAD,
)
from .target import jit


@jit
def wait(sf, si, wf, wi, c, row, now, px, doubled_mid, sign):  # type: ignore[no-untyped-def]
    """Let a trade wait for its mid Δ later.

    Parameters
    ----------
    sf, si : float64, int64 [symbols, RECORD]
        Records, one memory.
    wf, wi : float64, int64 [symbols, SLOTS * SLOT]
        Waiting trades, one memory.
    c : int64[C_WINDOWS + windows]
        Constants.
    now : int64
        The symbol's clock at the trade, ns.
    px, doubled_mid, sign : int64
        Trade price, bid + ask before the trade (both 1e-9), and ±1.
    """
    due = now + c[C_HORIZON]
    count = si[row, WAIT_COUNT]
    if count > 0 and due < si[row, LAST_DUE]:
        slot = _slot(si[row, WAIT_HEAD] + count - 1)
        ref = wi[row, slot + S_REF]
        wi[row, slot + S_N] += 1
        wf[row, slot + S_Q] += float(sign)
        wf[row, slot + S_QP] += float(sign * (2 * px - ref))
        wf[row, slot + S_QM] += float(sign * (doubled_mid - ref))
        return
    due = (due // c[C_GRID] + 1) * c[C_GRID]
    slot = _slot(si[row, WAIT_HEAD] + count)
    wi[row, slot + S_DUE] = due
    wi[row, slot + S_N] = 1
    wf[row, slot + S_Q] = float(sign)
    wf[row, slot + S_QP] = float(sign * (2 * px - doubled_mid))
    wf[row, slot + S_QM] = 0.0
    wi[row, slot + S_REF] = doubled_mid
    si[row, LAST_DUE] = due
    si[row, WAIT_COUNT] = count + 1
    if count == 0:
        si[row, NEXT_DUE] = due


@jit
def _slot(position):  # type: ignore[no-untyped-def]
    """First word of the slot at a queue position, which may lie past the end of the memory once."""
    return (position if position < SLOTS else position - SLOTS) * SLOT


@jit
def resolve(sf, si, wf, wi, row, now):  # type: ignore[no-untyped-def]
    """Evaluate, against the standing mid, the trades due at ``now`` (ns) or before.

    To be called when some are, and before a tick at ``now`` changes the book. Sums go to the open
    window's accumulators in fixed-point half units: realized Σ 2q(p − m_e), impact Σ 2q(m_e − m_t).
    """
    doubled_mid = si[row, BID] + si[row, ASK]
    head = si[row, WAIT_HEAD]
    count = si[row, WAIT_COUNT]
    due = NEVER
    while count > 0:
        slot = head * SLOT
        due = wi[row, slot + S_DUE]
        if due > now:
            break
        due = NEVER
        moved = float(doubled_mid - wi[row, slot + S_REF]) * wf[row, slot + S_Q]
        sf[row, ACC + A_REALIZED] += wf[row, slot + S_QP] - moved
        sf[row, ACC + A_IMPACT] += moved - wf[row, slot + S_QM]
        si[row, ACC + A_RESOLVED] += wi[row, slot + S_N]
        head = head + 1 if head + 1 < SLOTS else 0
        count -= 1
    si[row, WAIT_HEAD] = head
    si[row, WAIT_COUNT] = count
    si[row, NEXT_DUE] = due
