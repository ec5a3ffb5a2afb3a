"""Pictures: what is drawn is what was found. How they look was judged by eye."""

import numpy as np
import pytest

from agents.portfolio import (
    Constraints,
    cvar_frontier,
    ledoit_wolf,
    min_cvar,
    min_variance,
    risk_parity,
    variance_frontier,
)
from agents.portfolio.plots import plot_frontier, plot_weights
from tests.agents.portfolio.markets import market

RETURNS = market(400, 14)


def test_a_frontier_is_drawn_at_its_risks_and_returns_with_the_others_marked(tmp_path):
    frontier = cvar_frontier(RETURNS, points=6)
    figure = plot_frontier(frontier, others={"capped": min_cvar(RETURNS, constraints=Constraints(upper=0.1))})
    top, bottom = figure.axes
    line = top.lines[0]
    assert np.array_equal(line.get_xdata(), 100 * frontier.risks)
    assert np.array_equal(line.get_ydata(), 100 * frontier.returns)
    assert "capped" in [text.get_text() for text in top.texts]
    assert top.get_xlabel() == "CVaR of a period, %"
    assert bottom.get_ylim()[1] == pytest.approx(100.0, abs=1e-6)
    figure.savefig(tmp_path / "frontier.png")
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG")


def test_variances_are_drawn_as_volatilities_and_shorts_below_zero():
    moments = ledoit_wolf(RETURNS)
    frontier = variance_frontier(
        moments.mean, moments.covariance, Constraints(lower=-0.3, upper=0.8), points=5
    )
    top, bottom = plot_frontier(frontier).axes
    assert np.array_equal(top.lines[0].get_xdata(), 100 * np.sqrt(frontier.risks))
    assert bottom.get_ylim()[0] == pytest.approx(
        102 * np.minimum(frontier.weights, 0).sum(axis=1).min(), rel=0.02
    )


def test_weights_are_drawn_largest_first_and_the_rest_as_one():
    sigma = ledoit_wolf(RETURNS).covariance
    found = {"least variance": min_variance(sigma), "risk parity": risk_parity(sigma)}
    axes = plot_weights(found, most=5).axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert (len(labels), labels[-1]) == (6, "9 others")
    for bars, one in zip(axes.containers, found.values(), strict=True):
        assert sum(bar.get_width() for bar in bars) == pytest.approx(100.0)
        assert bars[0].get_width() == pytest.approx(100 * one.weights[int(labels[0])])


def test_no_portfolio_makes_no_picture():
    with pytest.raises(ValueError, match="portfolios is empty"):
        plot_weights({})
