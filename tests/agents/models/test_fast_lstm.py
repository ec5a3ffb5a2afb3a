"""The fast forward pass is torch's, is the textbook's, and does not depend on who else is in the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.models.fast_lstm import FastLstm
from tests.oracles.lstm import last_hidden


def pair(features: int = 8, hidden: int = 64, seed: int = 0) -> tuple[torch.nn.LSTM, FastLstm]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lstm = torch.nn.LSTM(features, hidden, batch_first=True)
    return lstm, FastLstm(lstm)


def blocks(n: int, steps: int, features: int = 8, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(n + steps).standard_normal((n, steps, features), np.float32) * np.float32(
        scale
    )


@pytest.mark.parametrize(
    ("n", "steps", "features", "hidden"), [(1000, 60, 8, 64), (1, 1, 1, 1), (7, 30, 3, 5)]
)
@pytest.mark.parametrize("scale", [0.0, 1.0, 8.0])
def test_it_equals_torch_to_a_millionth(n: int, steps: int, features: int, hidden: int, scale: float) -> None:
    lstm, fast = pair(features, hidden)
    x = blocks(n, steps, features, scale)
    with torch.no_grad():
        expected = lstm(torch.from_numpy(x))[0][:, -1]
    torch.testing.assert_close(fast(x), expected, atol=1e-6, rtol=0)


def test_gates_that_are_wide_open_or_shut_stay_numbers() -> None:
    _, fast = pair()
    found = fast(blocks(50, 20, scale=1e6))
    assert bool(found.isfinite().all())
    assert float(found.abs().max()) <= 1.0


def test_it_equals_the_scalar_oracle_to_a_millionth() -> None:
    lstm, fast = pair(4, 6)
    x = blocks(3, 12, 4)
    weights = [value.detach().double().tolist() for value in lstm.parameters()]
    expected = np.array([last_hidden(rows, *weights) for rows in x.astype(np.float64).tolist()])
    np.testing.assert_allclose(fast(x).numpy(), expected, atol=1e-6, rtol=0)


def test_the_same_input_gives_the_same_bits() -> None:
    _, fast = pair()
    x = blocks(200, 20)
    assert torch.equal(fast(x), fast(x.copy()))


def test_a_symbol_has_the_same_bits_alone_and_among_others() -> None:
    _, fast = pair()
    x = blocks(100, 20)
    together = fast(x)
    alone = torch.cat([fast(x[i : i + 1]) for i in range(100)])
    assert torch.equal(alone, together)


def test_an_answer_is_not_overwritten_by_the_next() -> None:
    _, fast = pair()
    first = fast(blocks(10, 5))
    kept = first.clone()
    fast(blocks(10, 6))
    assert torch.equal(first, kept)


def test_other_kinds_of_lstm_are_refused() -> None:
    with pytest.raises(ValueError, match="one layer"):
        FastLstm(torch.nn.LSTM(3, 4, num_layers=2))


THREADS = """
import numpy as np, torch
from agents.models.fast_lstm import FastLstm
torch.set_num_threads(1)
FastLstm(torch.nn.LSTM(8, 4, batch_first=True))(np.zeros((64, 3, 8), np.float32))
print(torch.get_num_threads())
"""


def test_scoring_leaves_torchs_number_of_threads_on_which_the_bits_depend_as_it_is() -> None:
    said = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    assert said.stdout == "1\n"


def test_a_small_batch_has_the_bits_of_its_symbols_alone_however_many_threads_torch_has() -> None:
    """Two threads share nine rows as eight and one, and a product of one row rounds differently."""
    _, fast = pair(hidden=16)
    x = blocks(9, 10)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = fast(x)
        alone = torch.cat([fast(x[i : i + 1]) for i in range(len(x))])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone, together)


@pytest.mark.parametrize("n", [577, 601, 1_001])
def test_a_large_batch_that_threads_share_has_the_bits_of_its_symbols_alone(n: int) -> None:
    _, fast = pair()
    x = blocks(n, 5)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = fast(x)
    finally:
        torch.set_num_threads(threads)
    few = [*range(0, n, 50), n - 2, n - 1]
    assert torch.equal(torch.cat([fast(x[i : i + 1]) for i in few]), together[few])


def test_a_torch_without_onednn_multiplies_by_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    _, with_it = pair()
    monkeypatch.setattr(torch.Tensor, "to_mkldnn", lambda _: without("to_mkldnn"))
    lstm, fast = pair()
    x = blocks(100, 20)
    with torch.no_grad():
        expected = lstm(torch.from_numpy(x))[0][:, -1]
    torch.testing.assert_close(fast(x), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(fast(x), with_it(x), rtol=0, atol=1e-6)


def without(name: str) -> torch.Tensor:
    raise RuntimeError(f"{name}: this torch was built without it")


@pytest.mark.parametrize(("n", "used"), [(8, 1), (50, 1), (600, 2)])
def test_a_second_thread_is_used_where_there_is_work_for_it(
    n: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, fast = pair()
    seen = set()
    product = fast._product

    def counted(state: torch.Tensor) -> torch.Tensor:
        seen.add(torch.get_num_threads())
        return product(state)

    monkeypatch.setattr(fast, "_product", counted)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fast(blocks(n, 3))
    finally:
        torch.set_num_threads(threads)
    assert seen == {used}


FIRST_SCORES = """
import numpy as np, torch
from numba.core import event
from agents.models.fast_lstm import FastLstm
fast = FastLstm(torch.nn.LSTM(8, 64, batch_first=True))
with event.install_recorder("numba:compile") as recorded:
    for n in (1, 1000):
        x = np.zeros((n, 3, 8), np.float32)
        fast(x)
        x.flags.writeable = False
        fast(x)
        fast(np.asfortranarray(x))
print(len(recorded.buffer))
"""


def test_the_first_scores_compile_nothing(tmp_path: Path) -> None:
    """A worker opens a model beside the ticks and scores between them."""
    said = subprocess.run(
        [sys.executable, "-c", FIRST_SCORES],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "0\n"
