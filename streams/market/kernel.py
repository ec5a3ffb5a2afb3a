"""The compiled loop of the simulated market: pops the symbol whose event is next, lets it happen, writes it.

A heap holds each symbol's next instant; ties go trades first, then by symbol. The state after n ticks does
not depend on how many calls made them. Knows arrays and nothing of ours; times are ns since the opening.

Each symbol has a latent price in ticks and a random stream of its own (splitmix64). A trade moves the latent
price by ``impact`` times its signed size, a quote by noise; the quotes follow when it has gone ``REACH``
ticks from the mid. Between, the queues lean its way, so that order-flow imbalance is what moved the price.
"""

from __future__ import annotations

from math import exp, floor, log
from typing import Any

import numba
import numpy as np

# The model's constants live here, and not with the parameters: numba's cache looks at this file's time only.

TILT = 0.35
"""How the queues lean to where the price goes: bid size = depth (1 + 2 TILT f), ask size the other way, for
f ticks from the mid to the latent price."""

REACH = 0.6
"""How far the latent price goes from the mid, in ticks, before the quotes follow it."""

FLOW_ACTIVE = 0.7
"""Share of the time in which a large trader is there."""

JUMP_SHARE = 0.02
"""Share of quotes with a jump."""

REVERSION_S = 86_400.0
"""Time constant with which prices go back to their base."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_27, _30, _31, _11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)
_12_BITS = np.uint64(0xFFF)
_AT_12, _AT_24 = np.uint64(12), np.uint64(24)
_52 = np.uint64(52)
_DAY_NS = 86_400_000_000_000
_FLOOR_TICKS = 100.0

_njit = numba.njit(cache=True, error_model="numpy")


def _next_bits(s: Any) -> Any:
    s.random += _GOLDEN
    z = s.random
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return z ^ (z >> _31)


next_bits = _njit(_next_bits)


def _uniform(s: Any) -> Any:
    """In (0, 1]."""
    return ((next_bits(s) >> _11) + 1.0) * 2.0**-53


uniform = _njit(_uniform)


def _activity(now_ns: int, start_ns: int, depth: float) -> float:
    """The day's U at an instant: its mean over the day is 1."""
    x = 2.0 * ((now_ns + start_ns) % _DAY_NS) / _DAY_NS - 1.0
    return 1.0 + depth * (1.5 * x * x - 0.5)


activity = _njit(_activity)


def _next_trade_ns(s: Any, p: Any, now_ns: int, base: float) -> int:
    """Dassios and Zhao (2013): the excitation's own next event or the base rate's, whichever is first."""
    wait = -log(uniform(s)) / base
    if s.intensity > 0.0:
        left = 1.0 + p.beta * log(uniform(s)) / s.intensity
        if left > 0.0:
            wait = min(wait, -log(left) / p.beta)
    return now_ns + 1 + int(min(wait, 1e9) * 1e9)


next_trade_ns = _njit(_next_trade_ns)


def _switch_flow(s: Any, p: Any, now_ns: int) -> None:
    """Let large traders come and go up to now."""
    while s.switch_ns <= now_ns:
        u = uniform(s)
        s.flow = 1 if u < 0.5 * FLOW_ACTIVE else (-1 if u < FLOW_ACTIVE else 0)
        s.switch_ns += 1 + int(-log(uniform(s)) * p.flow_tau_s * 1e9)


switch_flow = _njit(_switch_flow)


def _trade(s: Any, p: Any, now_ns: int, start_ns: int, u_shape: float, sizes: Any) -> Any:
    """Sign and size of the trade of this instant; moves the latent price and draws the next arrival."""
    switch_flow(s, p, now_ns)
    bits = next_bits(s)
    tilt = 0.5 * (1.0 + p.buy_tilt * s.flow)
    sign = 1 if (bits >> _11) * 2.0**-53 < tilt else -1
    size = max(np.rint(p.size * sizes[next_bits(s) & _12_BITS] / p.lot), 1.0) * p.lot
    s.price += p.impact * sign * size
    waited_s = now_ns * 1e-9 - s.last_s
    s.intensity = s.intensity * exp(-p.beta * waited_s) + p.alpha
    s.last_s = now_ns * 1e-9
    s.trade_ns = next_trade_ns(s, p, now_ns, p.mu * activity(now_ns, start_ns, u_shape))
    s.trades += np.uint64(1)
    return sign, size


trade = _njit(_trade)


def _requote(s: Any, p: Any, bits: Any, normal: Any, leap: bool) -> Any:
    """Set the quotes by the latent price, a tick a quote unless they leap; returns the queues' sizes."""
    half = 0.5 * p.spread
    s.pending = 0
    if abs(s.price - (s.low + half)) > REACH:
        step = floor(s.price - half + 0.5) - s.low
        if not leap and abs(step) > 1:
            step = 1 if step > 0 else -1
            s.pending = 1
        s.low += step
    wide = 1 if (bits & _12_BITS) < p.wide * 4096.0 else 0
    s.bid = s.low - wide
    s.ask = s.low + p.spread + wide
    lean = 2.0 * TILT * min(max(s.price - (s.low + half), -REACH), REACH)
    bid_noise = 1.0 + 0.25 * normal[(bits >> _AT_12) & _12_BITS]
    ask_noise = 1.0 + 0.25 * normal[(bits >> _AT_24) & _12_BITS]
    lots = p.depth / p.lot
    bid_size = max(np.rint(lots * (1.0 + lean) * bid_noise), 1.0) * p.lot
    ask_size = max(np.rint(lots * (1.0 - lean) * ask_noise), 1.0) * p.lot
    s.quotes += np.uint64(1)
    return bid_size, ask_size


requote = _njit(_requote)


def _drift(s: Any, p: Any, now_ns: int, bits: Any, normal: Any) -> Any:
    """Move the latent price without a trade: noise, the slow way back to the base, and a rare jump."""
    waited_s = (now_ns - s.moved_ns) * 1e-9
    s.moved_ns = now_ns
    s.price -= (s.price - s.center) * min(waited_s / REVERSION_S, 1.0)
    s.price += p.noise * normal[bits & _12_BITS]
    jumps = ((bits >> _AT_12) & _12_BITS) < JUMP_SHARE * 4096.0
    if jumps:
        s.price += p.jump * normal[next_bits(s) & _12_BITS]
    s.price = max(s.price, _FLOOR_TICKS)
    return jumps


drift = _njit(_drift)


def _sift_down(keys: Any, who: Any, i: int) -> None:
    """Restore the heap below i; ties go to the smaller symbol."""
    n = len(keys)
    key, one = keys[i], who[i]
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        other = child + 1
        if other < n and (
            keys[other] < keys[child] or (keys[other] == keys[child] and who[other] < who[child])
        ):
            child = other
        if key < keys[child] or (key == keys[child] and one < who[child]):
            break
        keys[i], who[i] = keys[child], who[child]
        i = child
    keys[i], who[i] = key, one


sift_down = _njit(_sift_down)


def _heapify(keys: Any, who: Any) -> None:
    for i in range(len(keys) // 2 - 1, -1, -1):
        sift_down(keys, who, i)


heapify = _njit(_heapify)


def _advance(
    limit: int,
    until_ns: int,
    start_ns: int,
    u_shape: float,
    hide_aggressor: bool,
    state: Any,
    parameters: Any,
    keys: Any,
    who: Any,
    normal: Any,
    sizes: Any,
    exponential: Any,
    ts_event_ns: Any,
    ts_recv_ns: Any,
    symbol: Any,
    kind: Any,
    bid_px: Any,
    ask_px: Any,
    trade_px: Any,
    bid_sz: Any,
    ask_sz: Any,
    trade_sz: Any,
    aggressor: Any,
    sequence: Any,
) -> int:
    """Let events happen until ``limit`` ticks are written or the next one is at ``until_ns`` or later.

    Parameters
    ----------
    limit
        Ticks that the columns have room for.
    until_ns, start_ns
        End, in ns since the opening; the opening, in ns since 1970-01-01 UTC.
    state, parameters
        (symbols,) records of :data:`~streams.market.parameters.STATE` and ``PARAMETERS``.
    keys, who
        (symbols,) i64 and i32: the heap; a key is 2 · ns + (0 trade | 1 quote).
    normal, sizes, exponential
        (TABLE,) f64 quantiles.
    ts_event_ns, ...
        (limit,) columns of the tick frame, zeros.

    Returns
    -------
    int
        Ticks written.
    """
    n = 0
    while n < limit and keys[0] >> 1 < until_ns:
        now_ns = keys[0] >> 1
        i = who[0]
        s, p = state[i], parameters[i]
        bits = next_bits(s)
        ts_event_ns[n] = start_ns + now_ns
        ts_recv_ns[n] = start_ns + now_ns + p.latency + int(50_000.0 * exponential[bits >> _52])
        symbol[n] = i
        if keys[0] & 1 == 0:
            price_to_buy, price_to_sell = s.ask, s.bid
            sign, size = trade(s, p, now_ns, start_ns, u_shape, sizes)
            kind[n] = 1
            trade_px[n] = (price_to_buy if sign > 0 else price_to_sell) * p.tick
            trade_sz[n] = size
            aggressor[n] = 0 if hide_aggressor else sign
            sequence[n] = s.trades
            s.pending = 1
            keys[0] += 1
        else:
            leap = s.quotes == 0
            if not s.pending:
                leap |= drift(s, p, now_ns, bits, normal)
                rate = p.quote_only_rate * activity(now_ns, start_ns, u_shape)
                s.quote_ns = now_ns + 1 + int(min(-log(uniform(s)) / rate, 1e9) * 1e9)
                if s.quotes == 0:
                    base = p.mu * activity(now_ns, start_ns, u_shape)
                    s.trade_ns = next_trade_ns(s, p, now_ns, base)
            bid_size, ask_size = requote(s, p, next_bits(s), normal, leap)
            bid_px[n] = s.bid * p.tick
            ask_px[n] = s.ask * p.tick
            bid_sz[n] = bid_size
            ask_sz[n] = ask_size
            sequence[n] = s.quotes
            if not s.pending:
                keys[0] = 2 * s.trade_ns if s.trade_ns <= s.quote_ns else 2 * s.quote_ns + 1
        sift_down(keys, who, 0)
        n += 1
    return n


advance = _njit(_advance)
