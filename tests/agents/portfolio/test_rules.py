"""Moments, Black-Litterman, risk parity, hierarchical risk parity, against formulas and libraries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skfolio.measures import RiskMeasure
from skfolio.optimization import HierarchicalRiskParity, MeanRisk, RiskBudgeting
from skfolio.optimization import ObjectiveFunction as Aim
from sklearn.covariance import LedoitWolf

from agents.portfolio import (
    Constraints,
    View,
    black_litterman,
    hierarchical_risk_parity,
    ledoit_wolf,
    max_sharpe,
    min_cvar,
    min_variance,
    risk_parity,
    sample_moments,
)
from schemas.errors import PortfolioError
from tests.agents.portfolio.markets import market, recorded
from tests.oracles import portfolio as oracle


def test_shrinkage_to_the_identity_is_scikit_learns():
    returns = market(90, 30)
    found, theirs = ledoit_wolf(returns), LedoitWolf().fit(returns)
    assert found.shrinkage == pytest.approx(theirs.shrinkage_, rel=1e-12)
    assert found.covariance == pytest.approx(theirs.covariance_, rel=1e-12, abs=1e-18)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1_000), periods=st.integers(5, 60), n=st.integers(3, 6))
def test_shrinkage_to_constant_correlation_is_the_papers(seed, periods, n):
    returns = market(periods, n, seed)
    intensity, covariance = oracle.constant_correlation_shrinkage(returns)
    found = ledoit_wolf(returns, "constant_correlation")
    assert found.shrinkage == pytest.approx(intensity, rel=1e-9, abs=1e-12)
    assert found.covariance == pytest.approx(covariance, rel=1e-9, abs=1e-15)


def test_two_assets_have_a_constant_correlation_already():
    returns = market(50, 2)
    found = ledoit_wolf(returns, "constant_correlation")
    assert (found.shrinkage, found.covariance) == (0.0, pytest.approx(np.cov(returns.T, bias=True)))


def test_shrinkage_makes_a_singular_covariance_usable():
    returns = market(20, 40)
    with pytest.raises(PortfolioError, match=r"covariance: is singular: rank 19 of 40 \(shrink it"):
        min_variance(sample_moments(returns).covariance)
    assert min_variance(ledoit_wolf(returns).covariance).weights.sum() == pytest.approx(1.0)


def test_black_litterman_is_the_closed_form():
    sigma = ledoit_wolf(market(300, 5)).covariance
    market_weights = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
    P = np.array([[1.0, 0, 0, 0, 0], [0, 1.0, -1.0, 0, 0]])
    Q, omega, tau = np.array([0.002, 0.001]), np.diag([1e-6, 2e-6]), 0.05
    prior = np.linalg.inv(tau * sigma)
    precision = prior + P.T @ np.linalg.inv(omega) @ P
    equilibrium = 2.5 * sigma @ market_weights
    mean = np.linalg.solve(precision, prior @ equilibrium + P.T @ np.linalg.inv(omega) @ Q)
    views = [View({"0": 1}, 0.002, 1e-6), View({"1": 1, "2": -1}, 0.001, 2e-6)]
    found = black_litterman(sigma, market_weights, views, tau=tau)
    assert found.equilibrium == pytest.approx(equilibrium, rel=1e-12)
    assert found.mean == pytest.approx(mean, rel=1e-9)
    assert found.covariance == pytest.approx(sigma + np.linalg.inv(precision), rel=1e-9)


def test_without_views_the_market_is_what_it_is_and_its_own_weights_are_optimal():
    sigma = ledoit_wolf(market(300, 5)).covariance
    w = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
    found = black_litterman(sigma, w, [])
    assert found.mean.tobytes() == found.equilibrium.tobytes()
    assert max_sharpe(found.mean, found.covariance).weights == pytest.approx(w, abs=1e-6)


def test_a_certain_view_comes_true():
    sigma = ledoit_wolf(market(300, 5)).covariance
    found = black_litterman(sigma, 0.2, [View({"0": 1, "3": -1}, 0.004, 0.0)])
    assert found.mean[0] - found.mean[3] == pytest.approx(0.004, abs=1e-12)


def test_views_that_repeat_one_another_with_certainty_are_refused():
    sigma = ledoit_wolf(market(300, 5)).covariance
    with pytest.raises(PortfolioError, match="views: some follow from others with certainty"):
        black_litterman(sigma, 0.2, [View({"0": 1}, 0.004, 0.0), View({"0": 2}, 0.1, 0.0)])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1_000), n=st.integers(1, 12), uneven=st.floats(0, 3))
def test_risk_parity_gives_each_its_share(seed, n, uneven):
    rng = np.random.default_rng(seed)
    sigma = ledoit_wolf(market(100, n, seed)).covariance
    shares = np.exp(uneven * rng.uniform(-1, 1, n))
    w = risk_parity(sigma, shares).weights
    contribution = w * (sigma @ w) / (w @ sigma @ w)
    assert contribution == pytest.approx(shares / shares.sum(), abs=1e-9)
    assert (w.min() > 0, w.sum() == pytest.approx(1.0)) == (True, True)


def test_risk_parity_gap_is_above_the_true_distance_at_every_step():
    from agents.portfolio.risk_parity import _minimum

    sigma = ledoit_wolf(market(100, 6)).covariance
    sd = np.sqrt(np.diagonal(sigma))
    C, b = sigma / np.outer(sd, sd), np.full(6, 1 / 6)
    value = lambda y: 0.5 * y @ C @ y - b @ np.log(y)  # noqa: E731
    best = value(_minimum(C, b)[0])
    for steps in range(1, 8):
        before = _minimum(C, b, steps - 1)[0]
        assert value(before) - best <= _minimum(C, b, steps)[1] + 1e-15


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1_000), n=st.integers(1, 12))
def test_hierarchical_risk_parity_is_the_papers(seed, n):
    sigma = ledoit_wolf(market(120, n, seed)).covariance
    by_hand = oracle.bisected(sigma, oracle.cluster_order(sigma))
    expected = [by_hand[i] for i in range(n)]
    assert hierarchical_risk_parity(sigma).weights == pytest.approx(expected, rel=1e-9)


def test_skfolio_finds_the_same_portfolios():
    names, returns = recorded()
    returns = returns[-1_000:]
    moments = sample_moments(returns, assets=names)
    ours = {
        "variance": min_variance(moments.covariance).objective,
        "sharpe": max_sharpe(moments.mean, moments.covariance).objective,
        "cvar": min_cvar(returns, 0.95).objective,
    }
    a = MeanRisk(risk_measure=RiskMeasure.VARIANCE).fit(returns).weights_
    b = (
        MeanRisk(risk_measure=RiskMeasure.VARIANCE, objective_function=Aim.MAXIMIZE_RATIO)
        .fit(returns)
        .weights_
    )
    c = MeanRisk(risk_measure=RiskMeasure.CVAR, cvar_beta=0.95).fit(returns).weights_
    theirs = {
        "variance": a @ moments.covariance @ a,
        "sharpe": moments.mean @ b / np.sqrt(b @ moments.covariance @ b),
        "cvar": oracle.cvar(-returns @ c, 0.95),
    }
    assert ours == pytest.approx(theirs, rel=1e-5)
    parity = RiskBudgeting(risk_measure=RiskMeasure.VARIANCE).fit(returns).weights_
    assert risk_parity(moments.covariance).weights == pytest.approx(parity, abs=1e-4)


def test_hierarchical_risk_parity_is_near_skfolios():
    _, returns = recorded()
    returns = returns[-1_000:]
    theirs = HierarchicalRiskParity(risk_measure=RiskMeasure.VARIANCE).fit(returns).weights_
    ours = hierarchical_risk_parity(sample_moments(returns).covariance).weights
    # skfolio links by Ward's rule and the distances themselves, the paper the nearest and those of columns
    assert (theirs.sum(), np.corrcoef(ours, theirs)[0, 1] > 0.7) == (pytest.approx(1.0), True)


def test_min_variance_of_independent_assets_is_inverse_variance():
    variances = np.array([1.0, 2.0, 4.0]) * 1e-4
    found = min_variance(np.diag(variances), Constraints())
    assert found.weights == pytest.approx((1 / variances) / (1 / variances).sum(), rel=1e-9)
