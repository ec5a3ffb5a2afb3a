"""Every feature, window, class and event against the slow version."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.kernels import CLNV, EMO, FEATURE_NAMES, LEE_READY, QUOTE, TICK
from tests.agents.kernels.compare import LAST, assert_agrees, run_all
from tests.agents.kernels.tapes import CONFIG, STEP, seeded_tape, tapes
from tests.oracles import partition

MICRO = {0: (STEP, [[0.001 * (i - 4.5) * (s + 1) for i in range(10)] for s in range(3)])}
RULES = [LEE_READY, EMO, CLNV, TICK, QUOTE]


@settings(max_examples=150, deadline=None)
@given(tapes(), st.sampled_from(RULES), st.booleans(), st.booleans())
def test_any_tape_gives_the_oracles_rows(ticks, rule, dense_quotes, dense_trades):
    config = replace(CONFIG, sign_rule=rule)
    out, _ = run_all(config, ticks, micro=MICRO, dense=(dense_quotes, dense_trades))
    oracle = partition.run(
        config, ticks, MICRO, dense_quotes=dense_quotes, dense_trades=dense_trades, final_wm=LAST
    )
    assert_agrees(out, oracle)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_long_tape_gives_the_oracles_rows(rule, seed):
    config = replace(CONFIG, sign_rule=rule)
    ticks = seeded_tape(1_500, seed=seed)
    out, _ = run_all(config, ticks, micro=MICRO, dense=(True, True))
    oracle = partition.run(config, ticks, MICRO, dense_quotes=True, dense_trades=True, final_wm=LAST)
    assert_agrees(out, oracle)
    defined = {name: sum(row[name] == row[name] for row in out.rows()) for name in FEATURE_NAMES}
    assert min(defined.values()) > 30, defined  # a feature that is never defined was never compared
    assert {code for code, *_ in out.events} >= {2, 3, 5}
