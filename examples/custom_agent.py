"""An agent of your own: how far prices of symbols have come apart, by their last trades in a file of ticks.

    PYTHONPATH=examples python examples/custom_agent.py ticks.parquet SIM0000 SIM0001

runs it here, as a task's process would. See docs/write-an-agent.md.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from agents.tasks.agent import MIB, GPUAgent, Task
from agents.tasks.results import inside
from schemas.errors import TaskError
from schemas.ticks import PRICE_SCALE, TRADE


class SpreadData(BaseModel):
    """What a request's ``data`` looks like; a bad one is refused with the field's name before we see it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    symbols: Annotated[list[str], Field(min_length=2, max_length=2)]


class PairSpread(GPUAgent):
    """Mean and deviation of the log price ratio of two symbols, trade by trade."""

    task_type = "pair_spread"
    Data = SpreadData
    memory_bytes = 128 * MIB
    shrinkable = True  # a smaller grant means smaller batches, see below

    async def process_task(self, task: Task) -> dict[str, Any]:
        """Read the file in batches that fit the grant, and keep sums."""
        path = inside(task.data_dir, task.data.file, field="data.file")
        if not path.is_file():
            raise TaskError(
                f"data.file: {task.data.file} is not there", "name a Parquet file", field="data.file"
            )
        a, b = task.data.symbols
        last = {a: np.nan, b: np.nan}
        logs: list[float] = []
        with pq.ParquetFile(path) as file:
            rows = max(task.batch_bytes // 1_024, 1_000)
            total, seen = max(file.metadata.num_rows, 1), 0
            for batch in file.iter_batches(rows, columns=["symbol", "kind", "trade_px"]):
                for row in batch.to_pylist():
                    if row["kind"] == TRADE and row["symbol"] in last:
                        last[row["symbol"]] = row["trade_px"] / PRICE_SCALE
                        logs.append(float(np.log(last[a] / last[b])))
                seen += batch.num_rows
                task.progress(seen / total, "reading")  # ends the task here if it was cancelled
        ratios = np.array(logs)[~np.isnan(logs)]
        if not len(ratios):
            raise TaskError(
                f"no trades of both {a} and {b}", "name symbols that traded", field="data.symbols"
            )
        return {"trades": len(ratios), "mean_log_ratio": ratios.mean(), "deviation": ratios.std()}


async def main(file: Path, symbols: list[str]) -> None:
    """Run one task in a child process, as the agent service does."""
    from agents.tasks.assignment import Assignment
    from agents.tasks.registry import load_agents
    from agents.tasks.runner import Runner
    from schemas.codec import dumps_pretty
    from schemas.settings import Settings
    from schemas.tasks import TaskRequest

    data = {"file": file.name, "symbols": symbols}
    request = TaskRequest(task_id="example", task_type=PairSpread.task_type, data=data)
    async with Runner(Settings(data_dir=file.parent), load_agents(["custom_agent:PairSpread"])) as runner:
        assignment = Assignment(request, 1, ("CPU-here",), PairSpread.memory_bytes)
        outcome = await runner.run(
            assignment, progress=lambda told: print(f"{told.progress:.0%} {told.stage}")
        )
    print(outcome.state, dumps_pretty(outcome.result if outcome.failure is None else outcome.failure))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:4]))
