"""A signal that is there is found, one that is not is not; a killed training ends as an undisturbed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.models.evaluation import Plan, evaluate
from agents.models.network import Scorer
from agents.models.training import Trained, Trainer, Training
from schemas.errors import CheckpointError
from tests.agents.models.planted import momentum, walk

OPTIONS = Training(hidden=8, max_epochs=4, patience=4, batch=64)


def parts(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((400, 10, 3), np.float32)
    y = (1 + np.sign(np.round(x[:, -1, 0]))).astype(np.int64)
    return x[:300], y[:300], x[300:], y[300:]


def trainer(checkpoint: Path | None = None, options: Training = OPTIONS, seed: int = 1) -> Trainer:
    return Trainer(*parts(), options, seed, "cpu", checkpoint, "test")


def facts(trained: Trained) -> tuple[tuple[float, ...], list[bytes]]:
    return trained.losses, [v.numpy().tobytes() for v in trained.network.state_dict().values()]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_training_that_is_stopped_and_resumed_equals_an_undisturbed_one(tmp_path: Path, epoch: int) -> None:
    def stop(now: int, loss: float) -> None:
        if now == epoch:
            raise Stopped

    path = tmp_path / "c.safetensors"
    with pytest.raises(Stopped):
        trainer(path).run(stop)
    epochs: list[int] = []
    resumed = trainer(path).run(lambda now, loss: epochs.append(now))
    assert facts(resumed) == facts(trainer().run())
    assert epochs == list(range(epoch + 1, 5))


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.agents.models.test_training import trainer
def kill(epoch, loss):
    if epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
trainer(Path(sys.argv[1])).run(kill)
"""


def test_a_training_killed_by_the_system_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], timeout=120, env=os.environ | {"PYTHONPATH": "."}
    )
    assert done.returncode == -signal.SIGKILL
    assert path.exists()
    assert facts(trainer(path).run()) == facts(trainer().run())


def test_a_checkpoint_of_another_training_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    trainer(path, seed=2).run()
    assert facts(trainer(path).run()) == facts(trainer().run())


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-100], lambda c: b"", lambda c: b"\x00" * len(c), lambda c: c[:8] + b"x" + c[9:]]
)
def test_a_damaged_checkpoint_is_refused_with_a_remedy(tmp_path: Path, damage) -> None:
    path = tmp_path / "c.safetensors"
    trainer(path).run()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError) as caught:
        trainer(path)
    assert str(path) in caught.value.remedy


def test_training_stops_when_nothing_gets_better_and_keeps_the_best() -> None:
    x, _, xv, _ = parts()
    rng = np.random.default_rng(5)
    y, yv = rng.integers(0, 3, 300), rng.integers(0, 3, 100)
    options = Training(hidden=16, max_epochs=60, patience=2, batch=32, learning_rate=0.02)
    trained = Trainer(x, y, xv, yv, options, 1).run()
    assert len(trained.losses) < 60
    logits = torch.from_numpy(Scorer(trained.network).logits(xv)).double()
    loss = float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(yv)))
    assert loss == pytest.approx(min(trained.losses), abs=1e-12)


def test_training_leaves_the_processes_own_random_state_alone() -> None:
    before = torch.get_rng_state()
    trainer().run()
    assert torch.equal(torch.get_rng_state(), before)


PLAN = Plan(
    window=10, horizon=2, folds=2, training=Training(hidden=16, max_epochs=15, batch=128, learning_rate=5e-3)
)


def test_a_planted_signal_is_found_with_every_seed() -> None:
    series = [momentum(1_000, "A", 1), momentum(1_000, "B", 2)]
    _, report = evaluate(series, PLAN)
    models = report["models"]
    assert models["lstm"]["mcc"]["low"] > 0.4
    assert models["lstm"]["log_loss"]["high"] < models["majority"]["log_loss"]["mean"] - 0.15
    assert models["lstm"]["net_bps"]["low"] > 0
    assert models["logistic"]["mcc"]["mean"] > 0.4


def test_nothing_is_found_where_nothing_is() -> None:
    """A random walk is the planted one with its returns shuffled: same moves, no order."""
    _, report = evaluate([walk(1_000, "A", 3), walk(1_000, "B", 4)], PLAN)
    ours = report["models"]["lstm"]
    assert -0.1 < ours["mcc"]["mean"] < 0.1
    assert report["verdict"]["beats"] is False
    assert report["verdict"]["words"].startswith("The network does not beat the simple models.")
