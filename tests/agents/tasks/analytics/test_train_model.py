"""``train_model`` does what ``tapestream train`` does; the successor of a killed attempt goes on."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from agents.models.registry import Registry
from agents.tasks.agent import MIB, TaskCancelled
from schemas.errors import CheckpointError, TaskError
from schemas.tasks import TaskProgress
from tapestream.cli import main
from tests.agents.models.planted import momentum
from tests.agents.tasks.analytics.asking import done, request, write_parquet
from tests.agents.tasks.running import assignment, new_runner

SHORT = {"window": 8, "horizon": 2, "folds": 1, "seeds": 2, "hidden": 4, "epochs": 2}
SERIES = [momentum(200, "A", 1), momentum(200, "B", 2)]
EPOCHS = 6
"""Two seeds of one fold, and the model that goes out, two epochs each."""


def sha256(folder: Path, version: str = "v0001") -> str:
    return str(Registry(folder).card(version)["sha256"])


class Reports:
    """Collects what a task tells, and ends it at a certain epoch."""

    def __init__(self, end_at: int | None = None) -> None:
        self.epochs: list[str] = []
        self.fractions: list[float] = []
        self._end_at = end_at

    def __call__(self, fraction: float, stage: str) -> None:
        if "epoch" in stage:
            self.epochs.append(stage.partition(", log-loss")[0])
            self.fractions.append(fraction)
        if len(self.epochs) == self._end_at:
            raise TaskCancelled


async def test_a_training_registers_the_commands_model_and_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_parquet(tmp_path / "bars.parquet", *SERIES)
    told = Reports()
    ask = SHORT | {"path": "bars.parquet", "promote": True}
    found = await done("train_model", ask, tmp_path, report=told)
    assert (found["model"], found["promoted"], found["n_symbols"]) == ("v0001", True, 2)
    assert Registry(tmp_path).promoted() == "v0001"
    report = json.loads((tmp_path / found["report"]["json"]).read_text())
    assert (report["verdict"], report["models"]) == (found["verdict"], found["models"])
    assert report["verdict"]["words"] in (tmp_path / found["report"]["html"]).read_text()
    assert (len(told.epochs), told.fractions) == (EPOCHS, sorted(told.fractions))
    assert told.fractions[-1] == 1.0

    monkeypatch.setenv("TAPESTREAM_DATA_DIR", str(tmp_path))
    options = [text for name, value in SHORT.items() for text in (f"--{name}", str(value))]
    assert main(["train", str(tmp_path / "bars.parquet"), *options]) == 0
    capsys.readouterr()
    assert sha256(tmp_path, "v0002") == sha256(tmp_path, "v0001")


async def test_a_cancelled_training_goes_on_when_it_is_asked_for_again(tmp_path: Path) -> None:
    ask = SHORT | request(*SERIES)
    first, second = Reports(end_at=3), Reports()
    with pytest.raises(TaskCancelled):
        await done("train_model", ask, tmp_path / "a", report=first)
    assert Registry(tmp_path / "a").versions() == []
    await done("train_model", ask, tmp_path / "a", report=second)
    undisturbed = Reports()
    await done("train_model", ask, tmp_path / "b", report=undisturbed)
    assert first.epochs + second.epochs == undisturbed.epochs
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")
    assert list((tmp_path / "a" / "models" / ".work").iterdir()) == []


@pytest.mark.faults
async def test_a_killed_childs_next_attempt_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    """The path of a killed child: the topic's bars are kept by task, so also those stay the same."""
    write_parquet(tmp_path / "a" / "bars.parquet", *SERIES)
    fields: dict[str, Any] = SHORT | {"path": "bars.parquet", "memory_bytes": 1024 * MIB}
    told: list[str] = []

    def kill(progress: TaskProgress) -> None:
        if "epoch" in progress.stage and not told:
            os.kill(next(iter(runner.children)).pid, signal.SIGKILL)
        told.append(progress.stage)

    async with new_runner(tmp_path / "a") as runner:
        killed = await runner.run(assignment("train_model", **fields), progress=kill)
        after = len(told)
        second = await runner.run(assignment("train_model", attempt=2, **fields), progress=kill)
    assert killed.failure is not None
    assert (killed.failure.code, second.failure) == ("CRASHED", None)
    assert "fold-1-seed-1, epoch 1" not in " ".join(told[after:])
    undisturbed = await done("train_model", SHORT | request(*SERIES), tmp_path / "b")
    assert (second.result["model"], undisturbed["model"]) == ("v0001", "v0001")
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"window": 150, "horizon": 100}, "data.bars"),
        ({"folds": 50, "horizon": 20}, "data.bars"),
        ({"window": 1}, "data.window"),
        ({"epochs": 0}, "data.epochs"),
        ({"widnow": 8}, "data.widnow"),
    ],
)
async def test_a_plan_that_cannot_be_followed_is_refused(
    tmp_path: Path, change: dict[str, int], field: str
) -> None:
    with pytest.raises(TaskError) as refused:
        await done("train_model", SHORT | request(*SERIES) | change, tmp_path)
    assert (refused.value.code, refused.value.field) == ("BAD_REQUEST", field)
    assert refused.value.remedy


async def test_what_a_killed_attempt_left_may_be_damaged_and_is_then_named(tmp_path: Path) -> None:
    ask = SHORT | request(*SERIES)
    with pytest.raises(TaskCancelled):
        await done("train_model", ask, tmp_path, report=Reports(end_at=1))
    (checkpoint,) = (tmp_path / "models" / ".work").glob("*/*.safetensors")
    checkpoint.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="damaged") as refused:
        await done("train_model", ask, tmp_path)
    assert "remove" in refused.value.remedy
