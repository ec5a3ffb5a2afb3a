"""A side for each row from the move that is expected and what it costs to take it. Arrays only."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

from agents.kernels.entry import compiled_for, given, own

Floats = npt.NDArray[np.float64]
Sides = npt.NDArray[np.int8]

LEAST_COST_BPS = 1e-3


def _take_sides(  # type: ignore[no-untyped-def]
    expected, spread, mid, t, sides, fee, enter, leave, least_t, side, strength, cost
):
    for i in range(len(expected)):
        cost[i] = spread[i] * 5e3 / mid[i] + fee
        # A locked book has no spread, and without a fee no cost: then any move would be "strong".
        s = abs(expected[i]) / max(cost[i], LEAST_COST_BPS)
        known = s < np.inf  # and so is neither of the two NaN
        strength[i] = s if known else 0.0
        direction = 0 if not known else 1 if expected[i] > 0.0 else -1 if expected[i] < 0.0 else 0
        enters = (strength[i] >= enter) & (abs(t[i]) >= least_t)
        stays = (direction == sides[i]) & (strength[i] >= leave)
        side[i] = direction if enters | stays else 0
    return 0


@cache
def _compiled() -> Any:
    f8, i1 = types.float64, types.int8
    columns = [given(f8)] * 4 + [given(i1)]
    return compiled_for(
        types.int64(*columns, f8, f8, f8, f8, own(i1), own(f8), own(f8)), _take_sides, nogil=False
    )


def take_sides(
    expected_move_bps: Floats,
    spread: Floats,
    mid: Floats,
    t_statistic: Floats,
    sides: Sides,
    *,
    fee_bps: float,
    enter: float,
    leave: float,
    least_t: float,
) -> tuple[Sides, Floats, Floats]:
    """Enter when the expected move pays ``enter`` times its cost, stay while it pays ``leave`` times.

    Parameters
    ----------
    expected_move_bps, spread, mid, t_statistic
        float64[n], contiguous: the move in basis points of the mid, spread and mid in one price unit, and
        how sure the move's sign is. A NaN in move, spread or mid means staying out.
    sides
        int8[n]: the side that each row is on: +1, -1, 0.
    fee_bps
        Fee of one side of a trade, basis points; the cost is half the spread and it.
    least_t
        A move less sure than this, in standard errors, does not take us in; it never takes us out.

    Returns
    -------
    side : int8[n]
    strength : float64[n]
        Size of the move over its cost, dimensionless; 0 where unknown.
    cost_bps : float64[n]
        NaN where spread or mid is NaN.
    """
    n = len(expected_move_bps)
    side, strength, cost = np.empty(n, np.int8), np.empty(n), np.empty(n)
    _compiled()(
        expected_move_bps, spread, mid, t_statistic, sides, fee_bps, enter, leave, least_t,
        side, strength, cost,
    )  # fmt: skip
    return side, strength, cost
