"""Steps that follow a position and turn with it: SAR, SuperTrend; rules as in :mod:`.overlap`."""

from __future__ import annotations

import math

from agents.kernels.indicators.averages import EMA
from agents.kernels.indicators.ranges import average_range
from agents.kernels.scalar.target import jit


@jit
def _stop(stop, extreme, pace, step, most, high, low, last_high, last_low):  # type: ignore[no-untyped-def]
    """One bar of a long position: the stop now, extreme, acceleration, the stop next, whether it turned."""
    if low <= stop:
        now = max(extreme, max(last_high, high))
        after = now + step * (low - now)
        return now, low, step, max(after, max(last_high, high)), True
    if high > extreme:
        extreme = high
        pace = min(pace + step, most)
    after = stop + pace * (extreme - stop)
    return stop, extreme, pace, min(after, min(last_low, low)), False


@jit
def sar(f, k, p, high, low):  # type: ignore[no-untyped-def]
    """Wilder's parabolic stop and reverse (1978), begun in the direction of the first two bars.

    Words: bars seen, 1 = long, the two values of the last bar, stop, extreme, acceleration.
    """
    step, most = min(p[0], p[1]), p[1]
    last_high, last_low = f[2], f[3]
    f[2], f[3] = high, low
    if k[0] == 0:
        k[0] = 1
        return (math.nan,)
    if k[0] == 1:
        k[0] = 2
        fall = last_low - low
        is_long = not (fall > 0.0 and fall > high - last_high)
        k[1] = 1 if is_long else 0
        f[4] = last_low if is_long else last_high
        f[5] = high if is_long else low
        f[6] = step
        last_high, last_low = high, low
    if k[1] == 1:
        stop, f[5], f[6], f[4], turned = _stop(f[4], f[5], f[6], step, most, high, low, last_high, last_low)
        k[1] = 0 if turned else 1
        return (stop,)
    stop, extreme, f[6], after, turned = _stop(
        -f[4], -f[5], f[6], step, most, -low, -high, -last_low, -last_high
    )
    f[5], f[4] = -extreme, -after
    k[1] = 1 if turned else 0
    return (-stop,)


@jit
def supertrend(f, k, p, high, low, close):  # type: ignore[no-untyped-def]
    """Seban's SuperTrend: bands of so many ATR about the bar's middle that never loosen; +1 up, −1 down.

    Begins upwards. Words: those of the
    ATR, then upper and lower band, the last close, direction (0 = none yet).
    """
    reach = average_range(f, k, 0, int(p[0]), high, low, close)
    if reach != reach:
        return math.nan, math.nan
    at = EMA + 2
    middle = (high + low) / 2.0
    upper, lower = middle + p[1] * reach, middle - p[1] * reach
    direction = k[at + 3]
    if direction == 0:
        direction = 1
    else:
        last = f[at + 2]
        if last <= f[at]:
            upper = min(upper, f[at])
        if last >= f[at + 1]:
            lower = max(lower, f[at + 1])
        if direction == 1 and close < lower:
            direction = -1
        elif direction == -1 and close > upper:
            direction = 1
    f[at], f[at + 1], f[at + 2], k[at + 3] = upper, lower, close, direction
    return (lower if direction == 1 else upper), float(direction)
