"""From the submission of an empty task to its result, beside a bare relay of the same hops.

A task takes six hops over Kafka: request, acceptance, grant, start, end, result, and each is written,
read and folded by another process before the next. The relay is two processes that pass a message to and
fro over one topic as often, with nothing else to do. One task at a time, so nothing waits for another.
Where `dask.distributed` is installed it does the same: a scheduler and one worker, each a process, over TCP,
with nothing on disk.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

import numpy as np

from bench.lab import end, lab
from schemas import codec
from schemas.settings import Settings
from streams import admin, topics
from streams.log_writer import log_writer
from streams.partition_tail import PartitionTail

HOPS = 6
"""Messages from the submission to the result, both included."""
WARM_UP = 20
PATIENCE_S = 60.0


def run(tasks: int = 1_000) -> dict[str, Any]:
    """Measure; starts a broker of its own.

    Returns
    -------
    dict
        Milliseconds: ``task_p50_ms``, ``task_p99_ms``; the same of the ``relay`` of as many hops;
        ``added_p50_ms``; the same of ``dask``, where it is installed; and ``tasks``, ``hops``.
    """
    with lab(partitions=1) as settings:
        asyncio.run(admin.ensure_topics(settings))
        relayed = _relay(settings, tasks)
        ours = _tasks(settings, tasks)
    figures = {f"task_{name}": value for name, value in _percentiles(ours).items()}
    figures |= {f"relay_{name}": value for name, value in _percentiles(relayed).items()}
    figures |= {f"dask_{name}": value for name, value in _percentiles(_dask(tasks)).items()}
    figures["added_p50_ms"] = round(figures["task_p50_ms"] - figures["relay_p50_ms"], 3)
    return figures | {"tasks": tasks, "hops": HOPS}


def _percentiles(waits: list[float]) -> dict[str, float]:
    if not waits:
        return {}
    p50, p99 = np.percentile(waits[WARM_UP:], [50, 99])
    return {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3)}


def _tasks(settings: Settings, tasks: int) -> list[float]:
    command = [sys.executable, "-m", "tapestream.cli"]
    agents = ["--agent", "agents.tasks.exercise"]
    with ExitStack() as stack:
        for name in ("orchestrate", "agent"):
            log = stack.enter_context((settings.data_dir / f"{name}.log").open("ab"))
            child = subprocess.Popen(
                [*command, name, *agents],
                env=settings.environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            stack.callback(end, child)
        return asyncio.run(_submit_one_by_one(settings, tasks))


async def _submit_one_by_one(settings: Settings, tasks: int) -> list[float]:
    waits: list[float] = []
    async with log_writer(settings) as writer, PartitionTail(settings, topics.GPU_RESULTS) as results:
        for number in range(tasks + WARM_UP):
            task_id = f"bench-{number}"
            request = codec.dumps({"task_id": task_id, "task_type": "echo"})
            began = time.perf_counter()
            await writer.write(topics.GPU_TASKS, task_id, [request])
            await _arrival(results, task_id.encode())
            waits.append(1e3 * (time.perf_counter() - began))
    return waits


async def _arrival(tail: PartitionTail, key: bytes) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            tail.woken.clear()
            for message in tail.take():
                if message.key == key and b'"state"' in message.value:
                    return
            await tail.woken.wait()


def _dask(tasks: int) -> list[float]:
    """Empty tasks one by one through dask.distributed; none when it is not installed."""
    try:
        distributed: Any = importlib.import_module("distributed")  # of the extra `bench`
    except ImportError:
        return []
    waits: list[float] = []
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        for number in range(tasks + WARM_UP):
            began = time.perf_counter()
            client.submit(_nothing, number, pure=False).result()
            waits.append(1e3 * (time.perf_counter() - began))
    return waits


def _nothing(number: int) -> int:
    return number


def _relay(settings: Settings, rounds: int) -> list[float]:
    program = (
        "import asyncio\nfrom bench.task_roundtrip import echo\nfrom schemas.settings import load_settings\n"
        "asyncio.run(echo(load_settings()))"
    )
    child = subprocess.Popen([sys.executable, "-c", program], env=settings.environment(os.environ))
    try:
        return asyncio.run(_to_and_fro(settings, rounds))
    finally:
        end(child)


async def echo(settings: Settings) -> None:
    """Answer each message of one topic by the same on another, until killed."""
    async with log_writer(settings) as writer, PartitionTail(settings, topics.GPU_COMMANDS) as asked:
        while True:
            asked.woken.clear()
            for message in asked.take():
                await writer.write(topics.MEMORY_ALERTS, "relay", [message.value])
            await asked.woken.wait()


async def _to_and_fro(settings: Settings, rounds: int) -> list[float]:
    waits: list[float] = []
    async with log_writer(settings) as writer, PartitionTail(settings, topics.MEMORY_ALERTS) as answers:
        await _until_answered(writer, answers)
        for _ in range(rounds + WARM_UP):
            began = time.perf_counter()
            for _ in range(HOPS // 2):
                await writer.write(topics.GPU_COMMANDS, "relay", [b"{}"])
                await _next(answers)
            waits.append(1e3 * (time.perf_counter() - began))
    return waits


async def _until_answered(writer: Any, answers: PartitionTail) -> None:
    """Ask until the other process is up, then let all answers come in."""
    while not answers.take():
        await writer.write(topics.GPU_COMMANDS, "relay", [b"{}"])
        await asyncio.sleep(0.2)
    await asyncio.sleep(1.0)
    answers.take()


async def _next(tail: PartitionTail) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            tail.woken.clear()
            if tail.take():
                return
            await tail.woken.wait()
