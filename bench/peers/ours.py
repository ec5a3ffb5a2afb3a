"""Our side: the worker alone on frames; ingest and worker end to end on JSON."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.lab import Worker, end
from schemas.settings import Settings

PATIENCE_S = 300.0
POLL_S = 0.02


def frames(settings: Settings, messages: int, number: int) -> tuple[float, float]:
    """Seconds of the worker from the first frame to the last, with checkpoints on, and its CPU seconds.

    CPU counts from when its page first answers: a part of its start is in it.
    """
    own = settings.model_copy(update={"group": f"ours-{number}"})
    with Worker(own, f"ours-{number}") as worker:
        _until(lambda: "cpu_seconds" in worker.accounting())
        before = float(worker.accounting()["cpu_seconds"])
        page = worker.wait_for(messages)
        return float(page["flow_seconds"]), float(page["cpu_seconds"]) - before


def json_lane(settings: Settings, messages: int) -> tuple[float, float]:
    """Seconds from ingest's first partition to the worker's last tick, and CPU seconds of both processes."""
    with Worker(settings, "ours") as worker:
        _until(lambda: bool(worker.accounting().get("ready")))
        with _ingest(settings) as (ingest, port_file):
            _until(lambda: _is_ready(port_file))
            began = time.perf_counter()
            pids = (worker.process.pid, ingest.pid)
            before = sum(map(_cpu_s, pids))
            _until(lambda: _ticks_in(worker) >= messages)
            return time.perf_counter() - began, sum(map(_cpu_s, pids)) - before


def _ticks_in(worker: Worker) -> int:
    return sum(row["in"] for row in worker.accounting()["partitions"])


@contextmanager
def _ingest(settings: Settings) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    port_file, log = settings.data_dir / "ingest.port", settings.data_dir / "ingest.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tapestream.cli", "ingest"),
                *("--metrics-port", "0", "--port-file", str(port_file)),
            ],
            env=settings.environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, port_file
    finally:
        end(process)


def _is_ready(port_file: Path) -> bool:
    if not port_file.exists():
        return False
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port_file.read_text()}/ready", timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"ours has not come so far in {PATIENCE_S:g} s")
        time.sleep(POLL_S)


def _cpu_s(pid: int) -> float:
    spent = psutil.Process(pid).cpu_times()
    return float(spent.user + spent.system)
