"""What gets an error: each names the field and the remedy."""

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from agents.portfolio import (
    Constraints,
    Group,
    Portfolio,
    Turnover,
    View,
    black_litterman,
    cvar_frontier,
    ledoit_wolf,
    max_sharpe,
    min_cvar,
    min_variance,
    portfolio_risk,
    risk_parity,
    sample_moments,
    simulate,
    variance_frontier,
)
from agents.portfolio.answer import require_gap
from schemas.errors import GapError, InfeasibleError, PortfolioError
from tests.agents.portfolio.markets import market

NAMES = ["A", "B", "C", "D"]
RETURNS = market(200, 4)
SIGMA = ledoit_wolf(RETURNS).covariance
MU = RETURNS.mean(axis=0)


def holed(row: int, column: int, value: float) -> np.ndarray:
    returns = RETURNS.copy()
    returns[row, column] = value
    return returns


def broken(change) -> np.ndarray:
    sigma = SIGMA.copy()
    change(sigma)
    return sigma


def _asymmetric(sigma):
    sigma[0, 1] += 1e-4


def _negative(sigma):
    sigma[:] = np.diag([1.0, 1.0, 1.0, -0.5])


@pytest.mark.parametrize(
    ("call", "field", "said"),
    [
        (lambda: min_cvar(holed(17, 1, np.nan), assets=NAMES), "scenarios[17, 'B']", "is nan"),
        (lambda: min_cvar(holed(3, 2, np.inf), assets=NAMES), "scenarios[3, 'C']", "is inf"),
        (lambda: ledoit_wolf(holed(3, 2, np.nan)), "returns[3, '2']", "not a return of 0"),
        (lambda: min_cvar(RETURNS[:19]), "scenarios", "19 have no tail at level 0.95 (give at least 20"),
        (lambda: min_cvar(RETURNS, 1.0), "level", "is 1.0"),
        (lambda: min_cvar(RETURNS[0]), "scenarios", "shape (4,)"),
        (lambda: min_cvar([["x", 1.0]]), "scenarios", "not a matrix of numbers"),
        (lambda: min_cvar(RETURNS, assets=["A"]), "assets", "1 names for 4 columns"),
        (lambda: min_cvar(RETURNS, assets=["A", "B", "A", "D"]), "assets", "A more than once"),
        (lambda: min_variance(SIGMA[:3]), "covariance", "it must be square"),
        (lambda: min_variance(broken(_asymmetric), assets=NAMES), "covariance['A', 'B']", "mirror image"),
        (lambda: min_variance(broken(_negative)), "covariance", "eigenvalue -0.5"),
        (lambda: min_variance(np.ones((2, 2))), "covariance", "rank 1 of 2"),
        (lambda: min_variance(SIGMA, expected_returns=[1.0, 2.0]), "expected_returns", "shape (2,) for 4"),
        (lambda: min_variance(SIGMA, target_return=0.1), "expected_returns", "is missing"),
        (
            lambda: min_variance(SIGMA, expected_returns={"A": 0.1}, assets=NAMES),
            "expected_returns",
            "nothing for B, C, D",
        ),
        (
            lambda: min_variance(SIGMA, Constraints(upper={"E": 0.1}), assets=NAMES),
            "constraints.upper",
            "unknown: E (the assets are A, B, C, D)",
        ),
        (
            lambda: min_variance(SIGMA, Constraints(groups=[Group("g", ["Z"], upper=0.1)]), assets=NAMES),
            "constraints.groups[0].assets",
            "unknown: Z",
        ),
        (
            lambda: min_variance(SIGMA, Constraints(groups=[Group("g", [])])),
            "constraints.groups[0].assets",
            "empty",
        ),
        (
            lambda: min_variance(SIGMA, Constraints(groups=[Group("g", ["0"], 0.5, 0.4)])),
            "constraints.groups[0]",
            "lower 0.5 is above upper 0.4",
        ),
        (lambda: min_variance(SIGMA, Constraints(lower=0.5, upper=0.4)), "constraints.lower['0']", "above"),
        (lambda: min_variance(SIGMA, Constraints(upper=np.inf)), "constraints.upper['0']", "is inf"),
        (lambda: min_variance(SIGMA, Constraints(budget=0.0)), "constraints.budget", "is 0.0"),
        (
            lambda: min_variance(SIGMA, Constraints(turnover=Turnover(0.25, -1.0))),
            "constraints.turnover.limit",
            "is -1.0",
        ),
        (lambda: max_sharpe(MU, SIGMA, risk_free=1.0), "expected_returns", "earns more than risk_free = 1"),
        (lambda: variance_frontier(MU, SIGMA, points=1), "points", "is 1"),
        (lambda: risk_parity(SIGMA, [1, 1, 0, 1]), "shares['2']", "is 0"),
        (lambda: black_litterman(SIGMA, 0.25, [View({"9": 1}, 0.1)]), "views[0].weights", "unknown: 9"),
        (lambda: black_litterman(SIGMA, 0.25, [View({}, 0.1)]), "views[0].weights", "are empty"),
        (lambda: black_litterman(SIGMA, 0.25, [], tau=0), "tau", "is 0"),
        (lambda: sample_moments(RETURNS[:1]), "returns", "1 rows"),
        (lambda: ledoit_wolf(RETURNS, "zero"), "target", "'zero' is unknown"),
        (lambda: ledoit_wolf(RETURNS * [1, 1, 0, 1], "constant_correlation"), "returns", "never moves"),
        (
            lambda: portfolio_risk(0.25, simulate(RETURNS, "gaussian", 10, seed=1), 0.95),
            "scenarios",
            "10 have no tail",
        ),
        (lambda: portfolio_risk(0.25, RETURNS), "scenarios", "is ndarray"),
    ],
)
def test_what_cannot_be_used_is_named_with_a_remedy(call, field, said):
    with pytest.raises(PortfolioError) as caught:
        call()
    error = caught.value
    assert (error.field, said in str(error), bool(error.remedy)) == (field, True, True), str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("constraints", "conflict"),
    [
        (Constraints(upper=0.2), ("budget = 1", "upper bounds (A 0.2, B 0.2, C 0.2, D 0.2)")),
        (
            Constraints(
                groups=[
                    Group("tech", ["A", "B"], lower=0.7),
                    Group("safe", ["C", "D"], lower=0.5),
                    Group("one", ["A"], upper=0.9),
                ]
            ),
            ("budget = 1", "group tech >= 0.7", "group safe >= 0.5"),
        ),
        (
            Constraints(upper={"A": 0.5}, turnover=Turnover({"A": 1.0}, 0.1)),
            ("turnover <= 0.1", "upper bounds (A 0.5)"),
        ),
        (
            Constraints(lower={"B": 0.3}, groups=[Group("g", ["B", "C"], upper=0.2)]),
            ("group g <= 0.2", "lower bounds (B 0.3, C 0)"),
        ),
    ],
)
def test_an_irreducible_conflict_is_named(constraints, conflict):
    for call in (
        lambda: min_variance(SIGMA, constraints, assets=NAMES),
        lambda: min_cvar(RETURNS, 0.9, constraints, assets=NAMES),
        lambda: max_sharpe(MU, SIGMA, constraints, assets=NAMES),
        lambda: cvar_frontier(RETURNS, 0.9, constraints, assets=NAMES),
    ):
        with pytest.raises(InfeasibleError) as caught:
            call()
        found = caught.value.conflict
        assert set(conflict) <= set(found), found
        assert len([c for c in found if "bounds" not in c]) == len([c for c in conflict if "bounds" not in c])


def test_an_infeasible_error_survives_the_way_out_of_a_child_process():
    error = InfeasibleError(("budget = 1", "group g >= 2"))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.conflict, again.field) == (str(error), error.conflict, "constraints")


def test_a_target_above_the_largest_return_is_part_of_the_conflict():
    with pytest.raises(InfeasibleError, match=r"target_return >= 0\.0\d+ and"):
        min_cvar(RETURNS, 0.9, target_return=float(MU.max()) + 0.01)


def test_what_is_feasible_by_a_hair_is_not_called_infeasible():
    assert min_variance(SIGMA, Constraints(upper=0.25)).weights == pytest.approx([0.25] * 4, abs=1e-8)
    assert min_cvar(RETURNS, 0.9, Constraints(upper=0.25)).weights == pytest.approx([0.25] * 4, abs=1e-8)
    only = Constraints(turnover=Turnover([0.4, 0.3, 0.2, 0.1], 0.0))
    assert min_cvar(RETURNS, 0.9, only).weights == pytest.approx([0.4, 0.3, 0.2, 0.1], abs=1e-8)


@pytest.mark.parametrize("gap", [2e-6, np.inf, np.nan])
def test_a_gap_above_the_tolerance_is_a_failure(gap):
    with pytest.raises(GapError, match="min_cvar: gap"):
        require_gap("min_cvar", gap, 1e-6, 0.0)


def test_a_broken_constraint_is_a_failure_however_small_the_gap():
    with pytest.raises(GapError, match=r"a constraint is broken by 1e-06"):
        require_gap("min_cvar", 0.0, 1e-6, 1e-6)


def test_a_tolerance_that_no_float_can_keep_is_a_failure_and_no_result():
    with pytest.raises(GapError):
        min_cvar(market(3_000, 12), 0.95, tolerance=1e-18)


@pytest.mark.parametrize("frame", [pd.DataFrame, pa.table])
def test_frames_bring_their_names(frame):
    found = min_cvar(frame(dict(zip(NAMES, RETURNS.T, strict=True))), 0.9)
    plain = min_cvar(RETURNS, 0.9, assets=NAMES)
    assert isinstance(found, Portfolio)
    assert (found.assets, found.by_name()) == (tuple(NAMES), plain.by_name())


def test_what_is_masked_is_a_gap_and_complex_numbers_are_none():
    returns = np.ma.masked_array(0.01 * np.eye(40, 3), np.arange(120).reshape(40, 3) == 52)
    for ask in (min_cvar, ledoit_wolf):
        with pytest.raises(PortfolioError, match=r"\[17, '1'\]: is nan"):
            ask(returns)
    with pytest.raises(PortfolioError, match="scenarios: holds complex numbers"):
        min_cvar(np.ones((40, 3), complex))
