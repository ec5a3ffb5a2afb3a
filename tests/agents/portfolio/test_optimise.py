"""The one entry: a request as JSON, an answer as JSON."""

import json

import numpy as np
import pytest

from agents.portfolio import Constraints, ledoit_wolf, min_cvar, min_variance, optimise, simulate
from schemas import codec
from schemas.errors import PortfolioError
from schemas.portfolio import PortfolioAnswer, PortfolioRequest
from tests.agents.portfolio.markets import market

NAMES = ["A", "B", "C", "D"]
RETURNS = market(300, 4)
REQUEST = {"objective": "min_variance", "assets": NAMES, "returns": RETURNS.tolist()}
HOLES = [[0.1, float("nan")], [0.1, 0.2], [0.3, 0.1]]
OBJECTIVES = [
    "min_variance",
    "max_sharpe",
    "min_cvar",
    "risk_parity",
    "hierarchical_risk_parity",
    "variance_frontier",
    "cvar_frontier",
]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_answers_with_weights_gap_and_method_and_survives_json(objective):
    asked = REQUEST | {"objective": objective, "points": 4}
    answer = optimise(asked)
    again = PortfolioAnswer.model_validate_json(answer.model_dump_json())
    assert again == answer == optimise(codec.decode(PortfolioRequest, json.dumps(asked)))
    assert len(answer.portfolios) == (4 if objective.endswith("frontier") else 1)
    for one in answer.portfolios:
        assert (list(one.weights), bool(one.method)) == (NAMES, True)
        assert sum(one.weights.values()) == pytest.approx(1.0, abs=1e-8)
        assert (one.gap is None) == (objective == "hierarchical_risk_parity")


def test_the_entry_answers_what_the_functions_do():
    moments = ledoit_wolf(RETURNS)
    answer = optimise(REQUEST | {"constraints": {"upper": 0.4}})
    alone = min_variance(moments.covariance, Constraints(upper=0.4), assets=NAMES)
    assert answer.portfolios[0].weights == alone.by_name()
    assert (answer.shrinkage, answer.covariance) == (moments.shrinkage, "ledoit_wolf_identity")


def test_scenarios_are_drawn_recorded_and_optimised_on():
    wanted = {"generator": "student_t", "count": 2_000, "horizon": 5, "seed": 7}
    answer = optimise(REQUEST | {"objective": "min_cvar", "scenarios": wanted})
    drawn = simulate(RETURNS, "student_t", 2_000, seed=7, horizon=5)
    assert answer.portfolios[0].objective == min_cvar(drawn.returns).objective
    origin = answer.scenarios
    assert origin is not None
    assert (origin.generator, origin.seed, origin.count, origin.horizon) == ("student_t", 7, 2_000, 5)
    assert (origin.parameters, origin.bit_generator) == (drawn.parameters, "PCG64")
    risk = answer.portfolios[0].risk
    assert risk is not None
    assert 0 < risk.var < risk.cvar


def test_views_move_the_weights_to_where_they_point():
    neutral = REQUEST | {"objective": "max_sharpe", "market_weights": 0.25}
    hopeful = neutral | {"views": [{"weights": {"B": 1.0}, "expected_return": 0.01}]}
    before, after = (optimise(asked).portfolios[0].weights["B"] for asked in (neutral, hopeful))
    assert before == pytest.approx(0.25, abs=1e-5)
    assert after > before + 0.1


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"objective": "guess"}, "objective"),
        ({"returns": [[0.1, None]]}, "returns.0.1"),
        ({"assets": ["A"]}, "assets"),
        ({"assets": None, "returns": HOLES}, "returns[0, '1']"),
        ({"points": 1}, "points"),
        ({"constraints": {"upper": {"Z": 0.5}}}, "constraints.upper"),
        ({"constraints": {"upper": 0.2}}, "constraints"),
        ({"objective": "risk_parity", "constraints": {"upper": 0.9}}, "constraints"),
        ({"views": [{"weights": {"A": 1}, "expected_return": 0.1}]}, "market_weights"),
        ({"scenarios": {"generator": "gaussian"}}, "scenarios.seed"),
        ({"covariance": "sample", "returns": RETURNS[:4].tolist()}, "covariance"),
    ],
)
def test_a_failure_names_the_field_of_the_request(changed, field):
    with pytest.raises(PortfolioError) as caught:
        optimise(REQUEST | changed)
    assert (caught.value.field, bool(caught.value.remedy)) == (field, True), str(caught.value)


def test_the_schema_describes_a_request_in_words():
    described = json.dumps(PortfolioRequest.model_json_schema())
    assert "fractions, not percent" in described
    assert np.all([objective in described for objective in OBJECTIVES])
