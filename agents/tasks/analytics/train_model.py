"""``train_model``: what ``tapestream train`` does, as a task; a killed one goes on from what was saved."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
from pydantic import Field

from agents.tasks import needs
from agents.tasks.agent import MIB, GPUAgent, Task
from agents.tasks.analytics.bars import BarsData, flat, read_bars
from agents.tasks.results import write_rows
from schemas.errors import ModelError, TaskError

if TYPE_CHECKING:
    from agents.models.evaluation import Plan

USUAL_BARS = 100_000


class TrainModelData(BarsData):
    """Bars, and the plan of the training; see ``tapestream train --help`` for what the numbers mean."""

    window: Annotated[int, Field(ge=2, le=500)] = 30
    horizon: Annotated[int, Field(ge=1, le=250)] = 5
    band: Annotated[float, Field(ge=0, le=5)] = 0.5
    folds: Annotated[int, Field(ge=1, le=50)] = 3
    seeds: Annotated[int, Field(ge=1, le=50)] = 5
    hidden: Annotated[int, Field(ge=1, le=1024)] = 64
    epochs: Annotated[int, Field(ge=1, le=1000)] = 20
    half_spread_bps: Annotated[float, Field(ge=0)] = 2.0
    fee_bps: Annotated[float, Field(ge=0)] = 1.0
    largest_gap: Annotated[float, Field(ge=0.01, description="cut where a bar opens further, as log")] = 0.35
    promote: Annotated[bool, Field(description="use the model from now on")] = False

    def plan(self) -> Plan:
        """As the training takes it."""
        from agents.models.evaluation import Plan
        from agents.models.metrics import Costs
        from agents.models.training import Training

        costs = Costs(self.half_spread_bps, self.fee_bps)
        training = Training(hidden=self.hidden, max_epochs=self.epochs)
        seeds = tuple(range(1, self.seeds + 1))
        return Plan(self.window, self.horizon, self.band, self.folds, seeds, costs, training)


class TrainModel(GPUAgent):
    """Trains an LSTM, tests it by walking forward beside simple models, and registers it with its report."""

    task_type = "train_model"
    Data = TrainModelData
    memory_bytes = needs.TRAINING.memory_bytes
    min_memory_bytes = 1024 * MIB

    def __init__(self) -> None:
        import sklearn.ensemble
        import sklearn.linear_model  # noqa: F401 - not the task's memory

    async def process_task(self, task: Task) -> dict[str, Any]:
        """The version's name, its figures beside the simple models', the verdict, and where the report is.

        Raises
        ------
        TaskError
            For bars that cannot be or are too few for the plan.
        CheckpointError
            When what a killed attempt left is damaged.
        """
        from agents.models.bar_files import read_bars as read_file
        from agents.models.registry import Registry
        from agents.models.train import stretches, train
        from agents.models.unfinished import owned_file, remove

        data: TrainModelData = task.data
        plan = data.plan()

        def step(name: str, done: int, epoch: int, loss: float) -> None:
            share = (done + epoch / data.epochs) / plan.trainings
            task.progress(0.2 + 0.8 * share, f"{name}, epoch {epoch}, log-loss {loss:.4f}")

        registry, device = Registry(task.data_dir), task.torch_devices[0]
        await _keep_bars(task)
        with owned_file(registry.folder, _kept(task)) as kept:
            bars = await read_bars(task, 1, USUAL_BARS) if kept is None else read_file(kept, "symbols")
            try:
                series, gaps = stretches(bars, data.largest_gap)
                found = train(registry, series, plan, time.time_ns(), device, data.promote, step)
            except ModelError as exc:
                raise TaskError(exc.problem, exc.remedy, field=f"data.{data.source}") from exc
        remove(registry.folder, _kept(task))
        folder = found.folder.relative_to(task.data_dir)
        return {
            "model": found.version,
            "promoted": data.promote,
            "verdict": found.report["verdict"],
            "models": found.report["models"],
            "data": {key: value for key, value in found.report["data"].items() if key != "symbols"},
            "n_symbols": len(bars),
            "gaps": len(gaps),
            "report": {kind: (folder / f"report.{kind}").as_posix() for kind in ("html", "json")},
        }


def _kept(task: Task) -> str:
    return f"task-{task.task_id}.parquet"


async def _keep_bars(task: Task) -> None:
    """Write down the topic's bars: a later attempt must see the same, and the topic grows."""
    from agents.models.unfinished import unfinished

    path = unfinished(task.data_dir / "models", _kept(task))
    if task.data.source == "symbols" and not path.exists():
        write_rows(pa.table(flat(await read_bars(task, 1, USUAL_BARS))), path)
