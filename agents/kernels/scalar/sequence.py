"""Duplicates and gaps by sequence number: an anti-replay window of 64 numbers (RFC 4303, 3.4.3).

Sequence numbers are uint64 seen as int64 bit patterns; xor with the sign bit orders them. A number
of 0 means that the venue sends none.
"""

from __future__ import annotations

from .layout import ALWAYS, CLASS_MASK, DUPLICATE, FLAG_GAP, FLAG_RESET
from .target import jit

assert CLASS_MASK & DUPLICATE == DUPLICATE


@jit
def admit(si, row, at, sequence, ts, dense, ea, eb, tick):  # type: ignore[no-untyped-def]
    """Decide on a tick by its sequence number and remember the number.

    Parameters
    ----------
    si : int64[symbols, RECORD]
        Records; words ``at`` .. ``at + 2`` of row ``row`` hold the highest number, the mask of the
        numbers seen below it (bit k: highest − 1 − k) and the event time of the highest.
    sequence, ts : int64
        The tick's number and event time in ns.
    dense : bool
        Whether numbers rise by one, so that a step is a gap.
    ea, eb : int64[ticks]
        Where the event of tick ``tick`` is written: gap (expected, got), reset (highest, got),
        duplicate (number, event time).

    Returns
    -------
    int
        0 accepted, ``FLAG_GAP`` or ``FLAG_RESET`` accepted with that event, ``DUPLICATE`` refused.
    """
    high = si[row, at]
    if high == 0:
        _restart(si, row, at, sequence, ts)
        return 0
    if (sequence ^ ALWAYS) > (high ^ ALWAYS):
        step = sequence - high  # as a bit pattern: negative means 2^63 or more
        si[row, at] = sequence
        si[row, at + 2] = ts
        if step == 1:
            si[row, at + 1] = (si[row, at + 1] << 1) | 1
            return 0
        if step < 0 or step > 64:
            si[row, at + 1] = 0
        elif step == 64:
            si[row, at + 1] = ALWAYS
        else:
            si[row, at + 1] = (si[row, at + 1] << step) | (1 << (step - 1))
        if dense:
            ea[tick] = high + 1
            eb[tick] = sequence
            return FLAG_GAP
        return 0
    below = high - sequence - 1
    if 0 <= below < 64 and (si[row, at + 1] >> below) & 1 == 0:
        si[row, at + 1] |= 1 << below
        return 0
    if ts > si[row, at + 2]:
        ea[tick] = high
        eb[tick] = sequence
        _restart(si, row, at, sequence, ts)
        return FLAG_RESET
    ea[tick] = sequence
    eb[tick] = ts
    return DUPLICATE


@jit
def _restart(si, row, at, sequence, ts):  # type: ignore[no-untyped-def]
    si[row, at] = sequence
    si[row, at + 1] = 0
    si[row, at + 2] = ts
