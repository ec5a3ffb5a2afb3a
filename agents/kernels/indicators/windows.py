"""What is known of the last n values, in constant time and without a running sum that drifts.

A window of n is cut where the pushed values fill a block of n. What it holds of the newest block is
summed as values come (the *head*); what it still holds of the block before lies ready in suffix sums,
made once when that block was full (van Herk 1992, Gil and Werman 1993, there for maxima). A window is
then head + suffix: every value is added and none is ever taken away again, so that no rounding error
outlives its window and a large value leaves nothing behind. All it costs is one more addition a value.

State words, in the record of a symbol from word ``at`` on, all zero at the start: the place in the block,
whether a block has been full, the head's words, then the values. ``f`` and ``k`` are the same memory seen
as float64 and int64. Each function pushes one value and answers NaN until there have been n.
"""

from __future__ import annotations

import math

from agents.kernels.scalar.target import jit

RING = 4
"""Words of :func:`window_sum` and :func:`window_high` beside their n values."""
PAIR = 6
"""Words of :func:`window_sums` and :func:`window_range` beside their 2n values."""
WEIGHTED = 6
"""Words of :func:`window_moments` and :func:`window_weighted` beside their 2n values."""
SPREAD = 5
"""Words of :func:`window_spread` beside its 2n values."""
DELAY = 2
"""Words of :func:`delayed` beside its n values."""
RAW = 2
"""Words of :func:`window_values` beside its 2n values."""
NEWEST = 6
"""Words of :func:`window_high_age` beside its 2n values."""


@jit
def window_sum(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """Sum of the last ``n`` values."""
    place = k[at]
    values = at + 3
    head = x
    if place > 0:
        head = f[at + 2] + x
    f[values + place] = x
    total = head + f[values + place + 1]  # the word behind the last value stays 0
    if place + 1 < n:
        k[at] = place + 1
        f[at + 2] = head
        return total if k[at + 1] != 0 else math.nan
    tail = 0.0
    for i in range(values + n - 1, values, -1):
        tail += f[i]
        f[i] = tail
    k[at] = 0
    k[at + 1] = 1
    return head


@jit
def window_sums(f, k, at, n, x, y):  # type: ignore[no-untyped-def]
    """Sums of the last ``n`` values of two series that are pushed together."""
    place = k[at]
    xs = at + 4
    ys = xs + n + 1
    head, other = x, y
    if place > 0:
        head = f[at + 2] + x
        other = f[at + 3] + y
    f[xs + place] = x
    f[ys + place] = y
    if place + 1 < n:
        k[at] = place + 1
        f[at + 2] = head
        f[at + 3] = other
        if k[at + 1] == 0:
            return math.nan, math.nan
        return head + f[xs + place + 1], other + f[ys + place + 1]
    tail = 0.0
    tail_other = 0.0
    for i in range(n - 1, 0, -1):
        tail += f[xs + i]
        f[xs + i] = tail
        tail_other += f[ys + i]
        f[ys + i] = tail_other
    k[at] = 0
    k[at + 1] = 1
    return head, other


@jit
def window_range(f, k, at, n, high, low):  # type: ignore[no-untyped-def]
    """Highest of the last ``n`` highs and lowest of the last ``n`` lows."""
    place = k[at]
    highs = at + 4
    lows = highs + n + 1
    top, bottom = high, low
    if place > 0:
        top = max(f[at + 2], high)
        bottom = min(f[at + 3], low)
    f[highs + place] = high
    f[lows + place] = low
    if place + 1 < n:
        k[at] = place + 1
        f[at + 2] = top
        f[at + 3] = bottom
        if k[at + 1] == 0:
            return math.nan, math.nan
        return max(top, f[highs + place + 1]), min(bottom, f[lows + place + 1])
    tail_top, tail_bottom = high, low
    for i in range(n - 1, 0, -1):
        tail_top = max(tail_top, f[highs + i])
        f[highs + i] = tail_top
        tail_bottom = min(tail_bottom, f[lows + i])
        f[lows + i] = tail_bottom
    k[at] = 0
    k[at + 1] = 1
    return top, bottom


@jit
def window_high(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """Highest of the last ``n`` values; of −x, it is minus the lowest."""
    place = k[at]
    values = at + 3
    head = x
    if place > 0:
        head = max(f[at + 2], x)
    f[values + place] = x
    if place + 1 < n:
        k[at] = place + 1
        f[at + 2] = head
        return max(head, f[values + place + 1]) if k[at + 1] != 0 else math.nan
    tail = x
    for i in range(values + n - 1, values, -1):
        tail = max(tail, f[i])
        f[i] = tail
    k[at] = 0
    k[at + 1] = 1
    return head


@jit
def window_moments(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """Sum of the last ``n`` values, and their sum with weights 1 (oldest) to n."""
    place = k[at]
    tails = at + 4
    ramps = tails + n + 1
    plain, weighted = x, x
    if place > 0:
        plain = f[at + 2] + x
        weighted = f[at + 3] + (place + 1) * x
    f[tails + place] = x
    if place + 1 < n:
        k[at] = place + 1
        f[at + 2] = plain
        f[at + 3] = weighted
        if k[at + 1] == 0:
            return math.nan, math.nan
        return plain + f[tails + place + 1], (n - place - 1) * plain + weighted + f[ramps + place + 1]
    tail = 0.0
    ramp = 0.0
    for i in range(n - 1, 0, -1):
        tail += f[tails + i]
        ramp += tail
        f[tails + i] = tail
        f[ramps + i] = ramp
    k[at] = 0
    k[at + 1] = 1
    return plain, weighted


@jit
def window_weighted(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """Sum of the last ``n`` values with weights 1 (oldest) to n."""
    return window_moments(f, k, at, n, x)[1]


@jit
def window_spread(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """Σ(x − mean)² of the last ``n`` values, never below 0 and exactly 0 for equal ones.

    Welford's mean and squares within head and suffix, joined by Chan's rule, so that nothing is
    subtracted that is large against the result.
    """
    place = k[at]
    values = at + 4
    squares = values + n
    have = place + 1.0
    mean, square = x, 0.0
    if place > 0:
        step = x - f[at + 2]
        mean = f[at + 2] + step / have
        square = f[at + 3] + step * (x - mean)
    f[values + place] = x
    if place + 1 < n:
        k[at] = place + 1
        f[at + 2] = mean
        f[at + 3] = square
        apart = mean - f[values + place + 1]
        total = square + f[squares + place + 1] + apart * apart * (have * (n - have) / n)
        return total if k[at + 1] != 0 else math.nan
    tail, tail_square, count = x, 0.0, 1.0
    f[squares + n - 1] = 0.0
    for i in range(n - 2, 0, -1):
        count += 1.0
        step = f[values + i] - tail
        tail += step / count
        tail_square += step * (f[values + i] - tail)
        f[values + i] = tail
        f[squares + i] = tail_square
    k[at] = 0
    k[at + 1] = 1
    return square


@jit
def delayed(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """The value that was pushed ``n`` pushes ago."""
    place = k[at]
    word = at + 2 + place
    old = f[word] if k[at + 1] != 0 else math.nan
    f[word] = x
    if place + 1 < n:
        k[at] = place + 1
    else:
        k[at] = 0
        k[at + 1] = 1
    return old


@jit
def window_values(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """First word of the last ``n`` values, oldest first and side by side; −1 until there are n."""
    place = k[at]
    values = at + 2
    f[values + place] = x
    f[values + n + place] = x
    full = k[at + 1] != 0 or place + 1 == n
    if place + 1 < n:
        k[at] = place + 1
    else:
        k[at] = 0
        k[at + 1] = 1
    return values + place + 1 if full else -1


@jit
def window_high_age(f, k, at, n, x):  # type: ignore[no-untyped-def]
    """How many values ago the highest of the last ``n`` came, the newest of equals; −1 until there are n."""
    place = k[at]
    values = at + 5
    stamps = values + n
    now = k[at + 4]
    k[at + 4] = now + 1
    head, stamp = x, now
    if place > 0 and f[at + 2] > x:
        head, stamp = f[at + 2], k[at + 3]
    f[values + place] = x
    k[stamps + place] = now
    full = k[at + 1] != 0 or place + 1 == n
    best = stamp
    if place + 1 < n:
        k[at] = place + 1
        f[at + 2] = head
        k[at + 3] = stamp
        if f[values + place + 1] > head:
            best = k[stamps + place + 1]
    else:
        for i in range(n - 2, 0, -1):
            if f[values + i] <= f[values + i + 1]:
                f[values + i] = f[values + i + 1]
                k[stamps + i] = k[stamps + i + 1]
        k[at] = 0
        k[at + 1] = 1
    return now - best if full else -1
