"""``batch_prediction``: what a trained model says of the last bar of every symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agents.tasks import needs
from agents.tasks.agent import MIB, GPUAgent, Task
from agents.tasks.analytics.bars import BarsData, read_bars
from agents.tasks.results import TaskRows
from schemas.errors import ModelError, TaskError

if TYPE_CHECKING:
    from agents.models.bars import Bars
    from agents.models.scoring import Predictor


class BatchPredictionData(BarsData):
    """Bars, and which model is to score them."""

    model: Annotated[
        str | None, Field(description="a version such as v0003; the promoted one when absent or LSTM")
    ] = None


class BatchPrediction(GPUAgent):
    """Scores the last bar of every symbol by a trained model, all in one batch."""

    task_type = "batch_prediction"
    Data = BatchPredictionData
    memory_bytes = needs.SCORING.memory_bytes
    min_memory_bytes = 256 * MIB

    def __init__(self) -> None:
        import agents.models.scoring  # noqa: F401 - not the task's memory

    async def process_task(self, task: Task) -> TaskRows:
        """A row a symbol: probabilities, side and expected move.

        Raises
        ------
        TaskError
            For a model that is none or is damaged, and for bars that cannot be scored.
        """
        import pyarrow as pa

        from agents.models.scoring import about, score_last

        predictor, series = await bars_and_predictor(task)
        task.progress(0.2, "scoring")
        found = score_last(predictor, series)
        probabilities = pa.StructArray.from_arrays(
            list(map(pa.array, found["probabilities"].values())), list(found["probabilities"])
        )
        columns = {
            "symbol": found["symbols"],
            "ts_ns": found["ts_ns"],
            "probabilities": probabilities,
            "side": found["side"],
            "expected_move_bps": found["expected_move_bps"],
        }
        return TaskRows(pa.table(columns), {**about(predictor), "n_symbols": len(series)})


async def bars_and_predictor(task: Task, more: int = 0) -> tuple[Predictor, list[Bars]]:
    """The model that the request names and bars that are long enough for it.

    Parameters
    ----------
    more
        Bars that are welcome beyond those that a single score needs.

    Raises
    ------
    TaskError
        At ``data.model`` for a model that there is not, that is damaged or was trained on other features.
    """
    from agents.models.registry import Registry
    from agents.models.scoring import Predictor

    registry = Registry(task.data_dir)
    try:
        version, model = registry.load(task.data.model)
        bar_ms = registry.card(version).get("bar_ms")
    except ModelError as exc:
        raise TaskError(exc.problem, exc.remedy, field="data.model") from exc
    predictor = Predictor(version, model, task.torch_devices[0])
    series = await read_bars(task, predictor.least_bars, predictor.least_bars + more, bar_ms)
    return predictor, series
