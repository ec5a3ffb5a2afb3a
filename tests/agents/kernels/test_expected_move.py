"""The compiled choice of sides against the same rule written for whole columns."""

from __future__ import annotations

import numpy as np
import pytest

from agents.kernels.expected_move import LEAST_COST_BPS, take_sides

RULE = {"fee_bps": 0.3, "enter": 1.0, "leave": 0.5, "least_t": 2.0}


def in_columns(expected, spread, mid, t, sides, *, fee_bps, enter, leave, least_t):
    cost = spread * 5e3 / mid + fee_bps
    strength = np.abs(expected) / np.maximum(cost, LEAST_COST_BPS)
    known = strength < np.inf
    strength = np.where(known, strength, 0.0)
    direction = np.sign(np.where(known, expected, 0.0)).astype(np.int8)
    enters = (strength >= enter) & (np.abs(t) >= least_t)
    stays = (direction == sides) & (strength >= leave)
    return np.where(enters | stays, direction, np.int8(0)), strength, cost


@pytest.mark.parametrize("fee_bps", [0.0, 0.3])
def test_the_compiled_rule_gives_the_bits_of_the_rule_in_columns(fee_bps: float) -> None:
    rng = np.random.default_rng(5)
    n = 4_000
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0]
    columns = [
        rng.normal(0, 1, n),
        np.abs(rng.normal(0, 2e-2, n)),
        rng.uniform(90, 110, n),
        rng.normal(0, 3, n),
    ]
    for column in columns:
        at = rng.choice(n, n // 8, replace=False)
        column[at] = rng.choice(odd, len(at))
    sides = rng.integers(-1, 2, n).astype(np.int8)
    rule = RULE | {"fee_bps": fee_bps}
    with np.errstate(all="ignore"):
        expected = in_columns(*columns, sides, **rule)
    found = take_sides(*columns, sides, **rule)
    assert {side: int((found[0] == side).sum()) > 100 for side in (-1, 0, 1)} == {-1: True, 0: True, 1: True}
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
