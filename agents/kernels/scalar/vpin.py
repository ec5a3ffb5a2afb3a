"""VPIN: equal-volume buckets (Easley, López de Prado and O'Hara 2012).

A bucket's volume V is the volume of the symbol's first ``vpin_bucket_trades`` trades, which fill the
first bucket. A trade that straddles a boundary is split; one that would fill more buckets than the
ring holds writes each ring entry once, so a tick's work is bounded. Volume whose sign neither venue
nor rule knows is classified in bulk: the share Φ(ΔP/σ) of it is bought, with ΔP the price change over
the bucket and σ the standard deviation of ΔP over the past buckets of the ring (½ when there is none).
"""

from __future__ import annotations

import math

from .layout import (
    C_BUCKET_TRADES,
    C_BUCKETS,
    V_BUY,
    V_COUNT,
    V_FILL,
    V_HEAD,
    V_OPEN_PX,
    V_SEEN,
    V_SELL,
    V_SIZE,
    V_UNSIGNED,
)
from .maths import normal_cdf
from .target import jit, jit_call


@jit
def add_volume(sf, si, vf, c, row, px, size, sign):  # type: ignore[no-untyped-def]
    """Pour a trade into the buckets.

    Parameters
    ----------
    sf, si : float64, int64 [symbols, RECORD]
        Records, one memory.
    vf : float64[symbols, 2 * buckets]
        Rings: |V_b − V_s| of past buckets, then their price changes in 1e-9.
    c : int64[C_WINDOWS + windows]
        Constants.
    px, sign : int64
        Price, 1e-9, and −1, 0, +1.
    size : float64
        Volume, ≥ 0.
    """
    bucket = sf[row, V_SIZE]
    if bucket == 0.0:
        if si[row, V_SEEN] == 0:
            si[row, V_OPEN_PX] = px
        si[row, V_SEEN] += 1
        _pour(sf, row, size, sign)
        if si[row, V_SEEN] >= c[C_BUCKET_TRADES] and sf[row, V_FILL] > 0.0:
            sf[row, V_SIZE] = sf[row, V_FILL]
            _close_bucket(sf, si, vf, c, row, px)
        return
    room = bucket - sf[row, V_FILL]
    if size < room:
        _pour(sf, row, size, sign)
        return
    _pour(sf, row, room, sign)
    _close_bucket(sf, si, vf, c, row, px)
    rest = size - room
    if rest >= bucket:
        whole = math.floor(rest / bucket)
        rest -= whole * bucket
        if not 0.0 <= rest < bucket:
            rest = 0.0
        for _ in range(int(min(whole, float(c[C_BUCKETS])))):
            _pour(sf, row, bucket, sign)
            _close_bucket(sf, si, vf, c, row, px)
    _pour(sf, row, rest, sign)


@jit
def _pour(sf, row, size, sign):  # type: ignore[no-untyped-def]
    sf[row, V_FILL] += size
    sf[row, V_BUY] += size if sign > 0 else 0.0
    sf[row, V_SELL] += size if sign < 0 else 0.0
    sf[row, V_UNSIGNED] += size if sign == 0 else 0.0


@jit_call
def _close_bucket(sf, si, vf, c, row, px):  # type: ignore[no-untyped-def]
    buckets = c[C_BUCKETS]
    move = float(px - si[row, V_OPEN_PX])
    imbalance = sf[row, V_BUY] - sf[row, V_SELL]
    unsigned = sf[row, V_UNSIGNED]
    if unsigned > 0.0:
        bought = _bulk_share(vf, row, buckets, si[row, V_COUNT], move)
        imbalance += unsigned * (2.0 * bought - 1.0)
    head = si[row, V_HEAD]
    vf[row, head] = abs(imbalance)
    vf[row, buckets + head] = move
    head += 1
    si[row, V_HEAD] = 0 if head == buckets else head
    si[row, V_COUNT] = min(si[row, V_COUNT] + 1, buckets)
    si[row, V_OPEN_PX] = px
    sf[row, V_FILL] = 0.0
    sf[row, V_BUY] = 0.0
    sf[row, V_SELL] = 0.0
    sf[row, V_UNSIGNED] = 0.0


@jit
def _bulk_share(vf, row, buckets, count, move):  # type: ignore[no-untyped-def]
    """Φ(ΔP/σ), σ with n − 1 over the price changes in the ring."""
    if count < 2:
        return 0.5
    mean = 0.0
    for j in range(count):
        mean += vf[row, buckets + j]
    mean /= count
    squares = 0.0
    for j in range(count):
        off = vf[row, buckets + j] - mean
        squares += off * off
    if squares == 0.0:
        return 0.5
    return normal_cdf(move / math.sqrt(squares / (count - 1)))


@jit
def vpin(sf, si, vf, c, row):  # type: ignore[no-untyped-def]
    """Mean |V_b − V_s| / V over the ring; NaN until it is full."""
    buckets = c[C_BUCKETS]
    if si[row, V_COUNT] < buckets:
        return math.nan
    imbalances = vf[row, :buckets]
    total = 0.0
    for j in range(buckets):
        total += imbalances[j]
    return total / (buckets * sf[row, V_SIZE])
