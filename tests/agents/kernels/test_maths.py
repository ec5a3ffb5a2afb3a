"""exp, log and Φ against the C library's, to a stated number of units in the last place."""

from __future__ import annotations

import math

import numba
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.kernels.scalar import maths


@numba.njit
def exp_neg(x):
    return maths.exp_neg(x)


@numba.njit
def log_ratio(new, old):
    return maths.log_ratio(new, old)


@numba.njit
def normal_cdf(x):
    return maths.normal_cdf(x)


exact_enough = settings(deadline=None, max_examples=300)


@exact_enough
@given(st.floats(0.0, 700.0))
def test_exp_is_within_two_ulp(x):
    assert abs(exp_neg(x) - math.exp(-x)) <= 2 * math.ulp(math.exp(-x))


@pytest.mark.parametrize(("x", "value"), [(0.0, 1.0), (745.0, 0.0), (1e300, 0.0), (math.inf, 0.0)])
def test_exp_at_its_ends(x, value):
    assert exp_neg(x) == value


@exact_enough
@given(st.floats(1e-6, 1e6), st.floats(0.2, 5.0))
def test_log_ratio_is_within_four_ulp_of_the_exact_logarithm(old, factor):
    new = old * factor
    exact = math.log1p((new - old) / old) if old / 2 < new < 2 * old else math.log(new / old)
    assert abs(log_ratio(new, old) - exact) <= 4 * math.ulp(exact)


@exact_enough
@given(st.integers(10**12, 2 * 10**14), st.integers(1, 10**6))
def test_log_ratio_keeps_a_small_moves_digits(price, move):
    exact = math.log1p(move / price)
    assert abs(log_ratio(float(price + move), float(price)) - exact) <= 4 * math.ulp(exact)


@exact_enough
@given(st.floats(-37.0, 37.0))
def test_normal_cdf_is_within_1e_14_and_1e_7_relative(x):
    exact = 0.5 * math.erfc(-x / math.sqrt(2))
    assert abs(normal_cdf(x) - exact) <= min(1e-14, 1e-7 * exact) + 1e-300


def test_normal_cdf_far_out():
    assert [normal_cdf(x) for x in (-40.0, 40.0, math.inf, -math.inf)] == [0.0, 1.0, 1.0, 0.0]
