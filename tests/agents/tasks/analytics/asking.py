"""How a test asks a task type directly, and the bars and the model that it asks about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agents.models.bars import COLUMNS, Bars
from agents.models.evaluation import Model
from agents.models.network import new_network
from agents.models.registry import Registry
from agents.models.samples import Scaler
from agents.tasks.agent import GPUAgent, Task, read_data
from agents.tasks.registry import load_agents
from agents.tasks.results import TaskRows, encode
from schemas.codec import loads
from schemas.settings import Settings

WINDOW = 10
LEAST = 30
"""Bars that the model needs: its window and the warm-up of the features."""


def agent_of(task_type: str) -> type[GPUAgent]:
    return load_agents(installed=())[task_type].agent


def the_task(task_type: str, data: dict[str, Any], settings: Settings, **more: Any) -> Task:
    return Task(
        **{"task_id": "t", "attempt": 1, "devices": ("CPU-here",), "memory_bytes": 1 << 30}
        | {"task_type": task_type, "data": read_data(agent_of(task_type), data), "settings": settings}
        | more
    )


async def done(task_type: str, data: dict[str, Any], folder: Path | Settings, **more: Any) -> Any:
    """What the task type answers."""
    settings = folder if isinstance(folder, Settings) else Settings(data_dir=folder)
    return await agent_of(task_type)().process_task(the_task(task_type, data, settings, **more))


def rows(found: TaskRows) -> list[dict[str, Any]]:
    """As they travel: NaN is null."""
    listed: list[dict[str, Any]] = loads(encode(found.rows))
    return listed


def columns(bars: Bars) -> dict[str, list[Any]]:
    return {name: getattr(bars, name).tolist() for name in ("ts_ns", *COLUMNS)}


def request(*series: Bars) -> dict[str, dict[str, Any]]:
    return {"bars": {bars.symbol: columns(bars) for bars in series}}


def write_parquet(path: Path, *series: Bars) -> None:
    parts = [pa.table({"symbol": [bars.symbol] * len(bars), **columns(bars)}) for bars in series]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.concat_tables(parts), path)


def promoted_model(folder: Path) -> Path:
    """A small model, promoted; the folder of its files."""
    scaler = Scaler(np.zeros(8, np.float32), np.full(8, 0.01, np.float32))
    model = Model(new_network(8, 16, 1), scaler, 0.01, np.array([-0.02, 0.0, 0.03]), WINDOW, 5, 16)
    registry = Registry(folder)
    version = registry.save(model, {})
    registry.promote(version)
    return registry.folder / version
