"""Generators: moments, dependence, seeds; and the risk read off them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.portfolio import Scenarios, portfolio_risk, simulate
from agents.portfolio.garch import fit_garch, variances
from agents.portfolio.risk import max_drawdown
from schemas.errors import PortfolioError
from tests.agents.portfolio.markets import market
from tests.oracles import portfolio as oracle

GENERATORS = ("gaussian", "student_t", "block_bootstrap", "filtered_historical")
HISTORY = market(800, 4, seed=9)


def garch_series(periods: int, alpha: float, beta: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    h, out = 1e-4, np.empty(periods)
    for t in range(periods):
        out[t] = np.sqrt(h) * rng.standard_normal()
        h = 1e-4 * (1 - alpha - beta) + alpha * out[t] ** 2 + beta * h
    return out[:, None]


@pytest.mark.parametrize("generator", GENERATORS)
def test_a_seed_is_the_scenarios_and_another_is_others(generator):
    def drawn(seed):
        return simulate(HISTORY, generator, 50, seed=seed, horizon=3)

    one = drawn(5)
    assert one.paths.tobytes() == drawn(5).paths.tobytes()
    assert one.paths.tobytes() != drawn(6).paths.tobytes()
    assert (one.generator, one.seed, one.paths.shape) == (generator, 5, (50, 3, 4))


@pytest.mark.parametrize("generator", ["gaussian", "student_t", "block_bootstrap"])
def test_scenarios_have_the_moments_of_the_history(generator):
    drawn = simulate(HISTORY, generator, 200_000, seed=1).returns
    sd = HISTORY.std(axis=0)
    assert drawn.mean(axis=0) == pytest.approx(HISTORY.mean(axis=0), abs=5 * sd.max() / np.sqrt(200_000))
    assert np.cov(drawn.T) == pytest.approx(np.cov(HISTORY.T), abs=0.03 * sd.max() ** 2)


def test_degrees_of_freedom_are_found_and_make_the_tails():
    rng = np.random.default_rng(2)
    t = rng.standard_normal((20_000, 3)) * 0.01 / np.sqrt(rng.chisquare(5, (20_000, 1)) / 5)
    drawn = simulate(t, "student_t", 200_000, seed=3)
    assert drawn.parameters["degrees_of_freedom"] == pytest.approx(5.0, rel=0.08)
    normal = simulate(t, "student_t", 200_000, seed=3, degrees_of_freedom=150.0).returns[:, 0]
    kurtosis = lambda x: float(np.mean((x / x.std()) ** 4))  # noqa: E731
    assert (kurtosis(drawn.returns[:, 0]) > 5, kurtosis(normal) < 3.2) == (True, True)


def test_blocks_are_runs_of_history_of_the_mean_length():
    numbered = np.arange(1_000.0)[:, None]
    rows = simulate(numbered, "block_bootstrap", 400, seed=1, horizon=200, block=10).paths[:, :, 0]
    goes_on = (np.diff(rows, axis=1) % 1_000) == 1
    assert 1 / (1 - goes_on.mean()) == pytest.approx(10, rel=0.05)
    assert set(np.unique(rows)) <= set(range(1_000))


def test_rows_of_history_stay_together_across_assets():
    paired = np.column_stack([np.arange(500.0), -np.arange(500.0)])
    rows = simulate(paired, "block_bootstrap", 100, seed=1, horizon=20).paths
    assert (rows[:, :, 0] == -rows[:, :, 1]).all()


def test_garch_finds_planted_parameters():
    model = fit_garch(garch_series(20_000, 0.08, 0.90, 1))
    assert (model.alpha[0], model.beta[0]) == (pytest.approx(0.08, abs=0.015), pytest.approx(0.90, abs=0.02))


def test_garch_variances_are_the_recursion():
    X = garch_series(300, 0.1, 0.8, 2)
    model = fit_garch(X)
    h = [float(np.mean(X**2))]
    for x in X[:, 0]:
        h.append(model.omega[0] + model.alpha[0] * x**2 + model.beta[0] * h[-1])
    assert variances(X, model)[:, 0] == pytest.approx(np.array(h), rel=1e-10)


def test_filtered_scenarios_start_at_todays_variance_and_return_to_the_mean():
    calm = garch_series(4_000, 0.1, 0.87, 3)
    stormy = np.vstack([calm, calm[-5:] * 0 + 5 * calm.std()])
    early, late = (
        simulate(stormy, "filtered_historical", 20_000, seed=1, horizon=120).paths[:, t, 0].std()
        for t in (0, -1)
    )
    assert (early > 1.8 * stormy.std(), late < 1.3 * stormy.std()) == (True, True)


def test_risk_of_gaussian_scenarios_is_the_closed_form():
    rng = np.random.default_rng(0)
    history = rng.standard_normal((5_000, 1)) * 0.01
    found = portfolio_risk(1.0, simulate(history, "gaussian", 400_000, seed=1), 0.95)
    mean, sd = history.mean(), history.std(ddof=1)
    assert found.var == pytest.approx(1.6449 * sd - mean, rel=0.01)
    assert found.cvar == pytest.approx(2.0627 * sd - mean, rel=0.01)
    assert (found.generator, found.seed, found.scenarios, found.horizon) == ("gaussian", 1, 400_000, 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=12))
def test_drawdown_is_the_largest_fall_from_a_peak(returns):
    wealth = np.cumprod(1 + np.array(returns))
    assert max_drawdown(wealth[None])[0] == pytest.approx(oracle.drawdown(wealth), abs=1e-12)


def test_a_path_is_compounded_and_weights_are_restored_each_period():
    paths = np.array([[[0.10, 0.0], [-0.10, 0.20]]])
    drawn = Scenarios(("a", "b"), np.repeat(paths, 20, axis=0), "gaussian", 0, {})
    found = portfolio_risk([0.5, 0.5], drawn, 0.95)
    assert (found.mean, found.mean_drawdown) == (pytest.approx(1.05 * 1.05 - 1), 0.0)
    assert drawn.returns[0] == pytest.approx([-0.01, 0.20])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"returns": HISTORY[:10]}, "returns: 10 rows (give at least 30"),
        ({"generator": "dice"}, "generator: 'dice' is unknown (one of gaussian, student_t,"),
        ({"scenarios": 0}, "scenarios: is 0"),
        ({"horizon": 0}, "horizon: is 0"),
        ({"seed": -1}, "seed: is -1"),
        ({"generator": "student_t", "degrees_of_freedom": 2.0}, "degrees_of_freedom: is 2.0"),
        ({"generator": "block_bootstrap", "block": 0.5}, "block: is 0.5"),
        ({"generator": "filtered_historical", "returns": np.zeros((40, 2))}, "returns: '0' never moves"),
    ],
)
def test_what_cannot_be_drawn_is_named(changed, said):
    asked = {"returns": HISTORY, "generator": "gaussian", "scenarios": 100, "seed": 1} | changed
    with pytest.raises(PortfolioError) as caught:
        simulate(asked.pop("returns"), asked.pop("generator"), asked.pop("scenarios"), **asked)
    assert said in str(caught.value)
