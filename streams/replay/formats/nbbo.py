"""The national best bid and offer, from the quotes of single exchanges. Knows arrays only."""

from __future__ import annotations

import numba
import numpy as np

from schemas.ticks import Array

MAX_EXCHANGES = 64

QUOTED, PENDING, UNCHANGED, ONE_SIDED, CROSSED = range(5)
"""What a row left behind: a new best quote, the first half of a two-sided quote, the same best quote, a book
without one side, a best bid above the best ask."""


def new_books() -> tuple[Array, Array]:
    """An empty book: prices int64[2, MAX_EXCHANGES] and sizes float64[2, MAX_EXCHANGES], bids before asks."""
    return np.zeros((2, MAX_EXCHANGES), np.int64), np.zeros((2, MAX_EXCHANGES), np.float64)


@numba.njit(cache=True)
def national_best(time, exchange, bid, bid_sz, ask, ask_sz, prices, sizes, last):  # type: ignore[no-untyped-def]
    """Fold rows into the book and write the best quote after each.

    A row of one side changes that side of its exchange; a row of both sides changes both. A bid followed by
    an ask of the same exchange and time is one quote in two rows, and counts when both are in. The size is
    that of all exchanges at the best price.

    Parameters
    ----------
    time : int64[n]
        Only compared for equality.
    exchange : int64[n]
        Below :data:`MAX_EXCHANGES`.
    bid, ask : int64[n]
        Prices in any unit; 0 for the side that a row does not speak of.
    bid_sz, ask_sz : float64[n]
        0 with a price takes that side away.
    prices, sizes
        The book, changed in place; see :func:`new_books`.
    last : float64[4]
        The best quote of the last row that had one (bid, ask, sizes), changed in place.

    Returns
    -------
    state : uint8[n]
        :data:`QUOTED` and so on.
    best_px : int64[n, 2]
        Bid and ask; zeros where the state is not QUOTED.
    best_sz : float64[n, 2]
        Likewise.
    """
    n = len(time)
    state = np.empty(n, np.uint8)
    best_px = np.zeros((n, 2), np.int64)
    best_sz = np.zeros((n, 2), np.float64)
    for i in range(n):
        e = exchange[i]
        if bid[i] > 0:
            prices[0, e] = bid[i] if bid_sz[i] > 0 else 0
            sizes[0, e] = bid_sz[i]
        if ask[i] > 0:
            prices[1, e] = ask[i] if ask_sz[i] > 0 else 0
            sizes[1, e] = ask_sz[i]
        if ask[i] == 0 and i + 1 < n and time[i + 1] == time[i] and exchange[i + 1] == e and bid[i + 1] == 0:
            state[i] = PENDING
            continue
        top_bid, top_ask = 0, 0
        bid_size, ask_size = 0.0, 0.0
        for x in range(prices.shape[1]):
            p = prices[0, x]
            if p > top_bid:
                top_bid, bid_size = p, sizes[0, x]
            elif p == top_bid and p > 0:
                bid_size += sizes[0, x]
            p = prices[1, x]
            if p > 0:
                if top_ask == 0 or p < top_ask:
                    top_ask, ask_size = p, sizes[1, x]
                elif p == top_ask:
                    ask_size += sizes[1, x]
        if top_bid == 0 or top_ask == 0:
            state[i] = ONE_SIDED
        elif top_bid > top_ask:
            state[i] = CROSSED
        elif top_bid == last[0] and top_ask == last[1] and bid_size == last[2] and ask_size == last[3]:
            state[i] = UNCHANGED
        else:
            state[i] = QUOTED
            best_px[i, 0], best_px[i, 1] = top_bid, top_ask
            best_sz[i, 0], best_sz[i, 1] = bid_size, ask_size
            last[0], last[1], last[2], last[3] = top_bid, top_ask, bid_size, ask_size
    return state, best_px, best_sz
