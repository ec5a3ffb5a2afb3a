"""``neural_analysis``: what a trained model says of the last bars of each symbol."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from agents.tasks import needs
from agents.tasks.agent import MIB, GPUAgent, Task
from agents.tasks.analytics.batch_prediction import BatchPredictionData, bars_and_predictor
from agents.tasks.results import TaskRows


class NeuralAnalysisData(BatchPredictionData):
    """And how many bars back each symbol is scored."""

    history: int = Field(default=20, ge=1, le=10_000)


class NeuralAnalysis(GPUAgent):
    """Scores the last bars of each symbol by a trained model."""

    task_type = "neural_analysis"
    Data = NeuralAnalysisData
    memory_bytes = needs.SCORING.memory_bytes
    min_memory_bytes = 256 * MIB

    def __init__(self) -> None:
        import agents.models.scoring  # noqa: F401 - not the task's memory

    async def process_task(self, task: Task) -> TaskRows:
        """A row a symbol: probabilities, side, strength, expected move, and the bars before.

        Raises
        ------
        TaskError
            For a model that is none or is damaged, and for bars that cannot be scored.
        """
        import pyarrow as pa

        from agents.models.scoring import about, look_closely

        n = task.data.history
        predictor, series = await bars_and_predictor(task, more=n - 1)
        rows: list[dict[str, Any]] = []
        for done, bars in enumerate(series):
            rows.append({"symbol": bars.symbol, **look_closely(predictor, bars, n)})
            task.progress(0.2 + 0.8 * done / len(series), "scoring")
        return TaskRows(pa.Table.from_pylist(rows), {**about(predictor), "n_symbols": len(rows)})
