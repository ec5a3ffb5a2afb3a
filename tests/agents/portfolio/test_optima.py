"""Optima against cvxpy with Clarabel, and the proofs that come with them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.portfolio import (
    Constraints,
    Group,
    Turnover,
    cvar_frontier,
    ledoit_wolf,
    max_sharpe,
    min_cvar,
    min_variance,
    sample_moments,
    variance_frontier,
)
from agents.portfolio.constraints import feasible_set
from agents.portfolio.solver import quadratic
from agents.portfolio.solver.bounds import linear_bound
from agents.portfolio.solver.cvar import cvar, least_cvar
from tests.agents.portfolio.markets import copied, hedged, market, recorded
from tests.oracles import portfolio as oracle

LEVEL = 0.95


def sets(n: int) -> dict[str, Constraints]:
    """Sets of every kind, for n >= 6 assets named 0, 1, …"""
    return {
        "long only": Constraints(),
        "bounds": Constraints(lower=0.01, upper=0.3),
        "shorts": Constraints(lower=-0.2, upper=0.6),
        "fixed": Constraints(lower=np.r_[0.1, np.zeros(n - 1)], upper=np.r_[0.1, 0.0, np.full(n - 2, 0.7)]),
        "groups": Constraints(
            groups=[Group("a", ["0", "1", "2"], 0.2, 0.5), Group("b", ["3", "4"], upper=0.25)]
        ),
        "turnover": Constraints(turnover=Turnover(np.full(n, 1 / n), 0.4)),
        "half": Constraints(budget=0.5, upper=0.4),
    }


KINDS = list(sets(6))


@pytest.mark.parametrize("kind", KINDS)
def test_least_variance_is_clarabels(kind):
    constraints = sets(8)[kind]
    sigma = ledoit_wolf(market(300, 8)).covariance
    found = min_variance(sigma, constraints)
    assert found.objective == pytest.approx(oracle.least_variance(sigma, constraints), rel=1e-6)
    assert (found.gap <= 1e-6 * found.objective, found.violation <= 1e-9) == (True, True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_sharpe_ratio_is_clarabels(kind):
    constraints = sets(8)[kind]
    moments = sample_moments(market(400, 8, seed=3))
    found = max_sharpe(moments.mean, moments.covariance, constraints)
    assert found.objective == pytest.approx(
        oracle.largest_sharpe(moments.mean, moments.covariance, constraints), rel=1e-6
    )
    assert (found.gap <= 1e-6 * found.objective, found.violation <= 1e-9) == (True, True)


@pytest.mark.parametrize("kind", KINDS)
def test_least_cvar_is_clarabels(kind):
    constraints, returns = sets(8)[kind], market(1_500, 8)
    found = min_cvar(returns, LEVEL, constraints)
    expected, _ = oracle.least_cvar(returns, LEVEL, constraints)
    assert found.objective == pytest.approx(expected, rel=1e-6)
    assert (found.gap <= 1e-6 * found.objective, found.violation <= 1e-9) == (True, True)
    assert found.objective == pytest.approx(oracle.cvar(-returns @ found.weights, LEVEL), rel=1e-12)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.975, 0.99])
def test_bands_of_many_scenarios_lead_to_the_optimum_of_all(level):
    returns = market(9_000, 6, seed=5)
    found = min_cvar(returns, level)
    expected, _ = oracle.least_cvar(returns, level, Constraints())
    assert found.objective == pytest.approx(expected, rel=1e-6)
    assert found.figures["scenarios_in_band"] < len(returns)


def test_recorded_returns_have_the_optima_of_clarabel():
    names, returns = recorded()
    moments = sample_moments(returns, assets=names)
    caps = Constraints(upper=0.15)
    expected, _ = oracle.least_cvar(returns, LEVEL, caps)
    assert min_cvar(returns, LEVEL, caps, assets=names).objective == pytest.approx(expected, rel=1e-6)
    assert min_variance(moments.covariance, caps).objective == pytest.approx(
        oracle.least_variance(moments.covariance, caps), rel=1e-6
    )
    assert max_sharpe(moments.mean, moments.covariance, caps).objective == pytest.approx(
        oracle.largest_sharpe(moments.mean, moments.covariance, caps), rel=1e-6
    )


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(6, 12),
    periods=st.integers(60, 400),
    level=st.sampled_from([0.8, 0.9, 0.95]),
    kind=st.sampled_from(KINDS),
    between=st.floats(0.05, 0.9),
)
def test_random_programs_have_the_optima_of_clarabel(seed, n, periods, level, kind, between):
    constraints, returns = sets(n)[kind], market(periods, n, seed)
    safest = min_cvar(returns, level, constraints)
    mu = returns.mean(axis=0)
    most = cvar_frontier(returns, level, constraints, points=2).targets[-1]
    target = safest.expected_return + between * (most - safest.expected_return)
    found = min_cvar(returns, level, constraints, target_return=target)
    expected, _ = oracle.least_cvar(returns, level, constraints, mu, target)
    assert found.objective == pytest.approx(expected, rel=1e-6, abs=1e-8)
    sigma = ledoit_wolf(returns).covariance
    variance = min_variance(sigma, constraints, expected_returns=mu, target_return=target)
    assert variance.objective == pytest.approx(
        oracle.least_variance(sigma, constraints, mu, target), rel=1e-6
    )


def test_the_scenarios_multipliers_prove_the_bound_and_are_clarabels():
    returns = market(800, 6, seed=2)
    found = feasible_set(Constraints(), [str(i) for i in range(6)]).polyhedron
    least = least_cvar(returns, LEVEL, found)
    cap = 1 / ((1 - LEVEL) * len(returns))
    assert (least.q.min() >= 0, least.q.max() <= cap * (1 + 1e-12)) == (True, True)
    assert least.q.sum() == pytest.approx(1.0, abs=1e-12)
    assert linear_bound(-least.q @ returns, found, least.y, least.z) == pytest.approx(least.bound, rel=1e-9)
    _, theirs = oracle.least_cvar(returns, LEVEL, Constraints())
    # the degenerate scenarios' split is not unique, the worst-case mean that they make is
    assert -least.q @ returns == pytest.approx(-theirs @ returns, rel=1e-4, abs=1e-6)


def test_a_bound_holds_for_multipliers_that_are_wrong():
    rng = np.random.default_rng(0)
    found = feasible_set(Constraints(groups=[Group("a", ["0", "1"], 0.1, 0.6)]), list("0123")).polyhedron
    g = rng.normal(size=4)
    points = rng.dirichlet(np.ones(4), 4_000)
    points = points[(points[:, :2].sum(axis=1) >= 0.1) & (points[:, :2].sum(axis=1) <= 0.6)]
    bounds = [linear_bound(g, found, rng.normal(size=1), rng.normal(size=2)) for _ in range(200)]
    assert max(bounds) <= (points @ g).min()


@pytest.mark.parametrize("kind", KINDS)
def test_frontiers_rise_and_bend_one_way(kind):
    returns, constraints = market(2_500, 8, seed=4), sets(8)[kind]
    moments = sample_moments(returns)
    for frontier in (
        variance_frontier(moments.mean, moments.covariance, constraints, points=12),
        cvar_frontier(returns, LEVEL, constraints, points=12),
    ):
        risks, targets = frontier.risks, frontier.targets
        slack = 2e-6 * risks.max()
        assert (np.diff(risks) >= -slack).all()
        assert (risks[1:-1] <= 0.5 * (risks[:-2] + risks[2:]) + slack).all()
        assert (frontier.returns >= targets - 1e-9).all()
        assert frontier.returns[-1] == pytest.approx(targets[-1], abs=1e-8)


def test_points_of_a_frontier_are_the_optima_of_their_targets():
    returns = market(6_000, 7, seed=6)
    frontier = cvar_frontier(returns, LEVEL, points=6)
    alone = [
        oracle.least_cvar(returns, LEVEL, Constraints(), returns.mean(axis=0), t)[0]
        for t in frontier.targets[:-1]
    ]
    assert frontier.risks[:-1] == pytest.approx(alone, rel=1e-6)
    assert frontier.weights[-1] == pytest.approx(np.eye(7)[np.argmax(returns.mean(axis=0))], abs=1e-4)


@pytest.mark.parametrize(
    ("assets", "periods", "level", "kind"),
    [
        (40, 1_000, 0.99, "half"),  # the scenario at the value at risk is itself outside the band
        (15, 1_000, 0.90, "turnover"),
        (6, 5_000, 0.99, "fixed"),
        (40, 6_000, 0.99, "groups"),
        (15, 6_000, 0.50, "long only"),
        (30, 100, 0.95, "shorts"),
    ],
)
def test_hedged_markets_are_solved_along_the_whole_frontier(assets, periods, level, kind):
    for seed in (1, 2):
        returns, constraints = hedged(periods, assets, seed), sets(assets)[kind]
        frontier = cvar_frontier(returns, level, constraints, points=8)
        assert (np.diff(frontier.risks) >= -2e-6 * frontier.risks.max()).all()
        middle = frontier.targets[4]
        expected, _ = oracle.least_cvar(returns, level, constraints, returns.mean(axis=0), middle)
        assert frontier.risks[4] == pytest.approx(expected, rel=1e-6, abs=1e-8)
        moments = ledoit_wolf(returns)
        variance_frontier(moments.mean, moments.covariance, constraints, points=8)


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_assets_that_copy_and_hedge_one_another_are_solved_in_a_tail_of_one_scenario(seed):
    """An interior point stalls there with a gap of some thousandths; vertices close it."""
    returns, constraints = copied(60, 12, seed), Constraints(lower=-1.0, upper=1.0)
    found = min_cvar(returns, 1 - 1 / 60, constraints)
    worst = float(-(returns @ found.weights).min())
    assert found.objective == pytest.approx(worst, rel=1e-9)
    expected, _ = oracle.least_cvar(returns, 1 - 1 / 60, constraints)
    assert found.objective == pytest.approx(expected, abs=1e-8)
    assert found.objective <= expected + 1e-9
    typical = np.sqrt(np.mean(returns**2))
    assert found.gap <= 1e-6 * max(abs(found.objective), 0.01 * typical)


@pytest.mark.parametrize("seed", [0, 1, 3, 5])
def test_cash_beside_volatile_assets_is_solved_along_the_frontier_of_variances(seed):
    """The least variance is a billionth of the largest, and its gap a millionth of that."""
    rng = np.random.default_rng(seed)
    sd = np.array([5e-2, 2e-2, 1e-2, 3e-3, 1e-6])
    returns = rng.standard_normal((250, 5)) @ (np.eye(5) + 0.3 * rng.standard_normal((5, 5))) * sd
    mean, sigma = returns.mean(axis=0) + sd, np.cov(returns.T)
    frontier = variance_frontier(mean, sigma, points=8)
    least = np.array([np.sqrt(weights @ sigma @ weights) for weights in frontier.weights])
    assert np.sqrt(frontier.risks) == pytest.approx(least, rel=1e-9)
    assert (np.diff(frontier.risks) > 0).all()
    assert all(one.gap <= 1e-6 * one.objective for one in frontier.portfolios)
    assert frontier.portfolios[0].weights[-1] > 0.99


def test_a_sharpe_ratio_through_a_tiny_share_is_found_again_at_its_return():
    """In units of y a row was kept to 1e-11, and in those of the weights broken by more than 1e-9."""
    returns = copied(200, 8, 2)
    sigma = np.cov(returns.T) + 1e-9 * np.trace(np.cov(returns.T)) * np.eye(8)
    found = max_sharpe(returns.mean(axis=0) + 0.001, sigma, sets(8)["groups"])
    assert found.gap <= 1e-6 * found.objective
    assert found.violation <= 1e-9


def test_where_the_interior_point_breaks_a_row_a_vertex_keeps_all(monkeypatch):
    loses_its_way = quadratic.solve
    monkeypatch.setattr(quadratic, "solve", lambda *args: loses_its_way(*args, iterations=1))
    p = feasible_set(sets(8)["groups"], [str(i) for i in range(8)]).polyhedron
    found = quadratic.least_linear(np.linspace(-1.0, 1.0, 8), p)
    assert (found.violation <= 1e-9, found.gap) == (True, pytest.approx(0.0, abs=1e-9))


def test_cvar_of_losses_is_the_mean_of_the_worst():
    losses = np.random.default_rng(0).normal(size=997)
    for level in (0.5, 0.9, 0.95, 0.999, 1 - 1 / 997):
        assert cvar(losses, level)[0] == pytest.approx(oracle.cvar(losses, level), rel=1e-12)


def test_the_same_call_gives_the_same_bits():
    returns = market(7_000, 10)
    assert min_cvar(returns).weights.tobytes() == min_cvar(returns).weights.tobytes()


def test_the_order_of_scenarios_does_not_matter():
    returns = market(7_000, 6)
    mixed = np.random.default_rng(0).permutation(returns)
    assert min_cvar(mixed).objective == pytest.approx(min_cvar(returns).objective, rel=1e-6)
