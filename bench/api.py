"""Requests a second and the slowest hundredth: the API beside a bare FastAPI route under the same server.

``hey`` makes the load (Debian has it: ``apt-get install hey``), from the same machine, so its own work is in
the figures of both. Each pair is measured by turns, after a warm-up, with the same number of connections. The
bare route returns one small JSON object and checks nothing; ours checks token, size and time, counts the
request, and for ``POST`` answers only when Kafka has acknowledged the message.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.lab import lab
from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.broker.ports import free_ports

TOKEN = "the-token-of-the-benchmark"
BODY = '{"task_type": "neural_analysis", "data": {"symbols": ["AAPL"]}, "memory_required": 2000000000}'

CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "get_bare": ("bare", ()),
    "get_stats": ("ours", ()),
    "post_bare": ("bare", ("-m", "POST", "-d", BODY, "-T", "application/json")),
    "post_tasks": ("ours", ("-m", "POST", "-d", BODY, "-T", "application/json")),
}
"""What is measured: which server, and the load's options."""

PATHS = {
    "get_bare": "/bare",
    "get_stats": "/api/v1/gpu/stats",
    "post_bare": "/bare",
    "post_tasks": "/api/v1/gpu/tasks",
}

BARE = """\
import asyncio, sys
from fastapi import FastAPI, Request
import uvicorn, uvloop
app = FastAPI()
@app.get("/bare")
async def get(): return {"tasks": 1, "devices": 2, "ready": True}
@app.post("/bare", status_code=202)
async def post(request: Request):
    await request.json()
    return {"task_id": "x", "state": "QUEUED"}
uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", log_config=None, access_log=False)
"""


def run(seconds: int = 5, rounds: int = 3, connections: int = 32) -> dict[str, Any]:
    """Measure; starts a broker and the two servers.

    Returns
    -------
    dict
        Per case ``requests_per_s``, ``p50_ms`` and ``p99_ms``, medians of the rounds, and the ``ratio`` of
        ours to the bare route's requests a second.

    Raises
    ------
    SettingsError
        When ``hey`` is not installed.
    """
    if shutil.which("hey") is None:
        raise SettingsError("this benchmark needs hey", "apt-get install hey")
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CASES}
    with lab() as settings, _ours(settings) as ours, _bare(settings.data_dir) as bare:
        addresses = {"ours": ours, "bare": bare}
        for number in range(rounds + 1):
            for name, (server, options) in CASES.items():
                figures = _load(addresses[server] + PATHS[name], options, seconds, connections)
                if number:  # the first round warms up
                    found[name].append(figures)
    medians = {
        name: {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]}
        for name, rows in found.items()
    }
    return {
        "name": "api",
        **medians,
        "get_ratio": round(medians["get_stats"]["requests_per_s"] / medians["get_bare"]["requests_per_s"], 3),
        "post_ratio": round(
            medians["post_tasks"]["requests_per_s"] / medians["post_bare"]["requests_per_s"], 3
        ),
        "connections": connections,
        "seconds": seconds,
        "rounds": rounds,
    }


def _load(url: str, options: tuple[str, ...], seconds: int, connections: int) -> dict[str, float]:
    """One run of ``hey``; every answer must be a success."""
    done = subprocess.run(
        [
            *("hey", "-z", f"{seconds}s", "-c", str(connections), "-o", "csv"),
            *("-H", f"Authorization: Bearer {TOKEN}", *options, url),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    wrong = [row["status-code"] for row in rows if not row["status-code"].startswith("2")]
    if wrong or not rows:
        raise RuntimeError(f"{url}: {len(wrong)} of {len(rows)} answers were no success: {set(wrong)}")
    times_ms = sorted(1e3 * float(row["response-time"]) for row in rows)
    return {
        "requests_per_s": len(rows) / seconds,
        "p50_ms": times_ms[len(times_ms) // 2],
        "p99_ms": times_ms[int(len(times_ms) * 0.99)],
    }


@contextmanager
def _ours(settings: Settings) -> Iterator[str]:
    port_file = settings.data_dir / "api.port"
    own = Settings.model_validate(settings.model_dump(exclude_unset=True) | {"api_token": TOKEN})
    command = [sys.executable, "-m", "tapestream.cli", "api", "--port", "0", "--port-file", str(port_file)]
    with _child(command, own.environment(os.environ), settings.data_dir / "api.log"):
        _wait(port_file.exists)
        address = f"http://127.0.0.1:{port_file.read_text()}"
        _wait(lambda: _answers(f"{address}/ready"))
        yield address


@contextmanager
def _bare(folder: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    with _child([sys.executable, "-c", BARE, str(port)], dict(os.environ), folder / "bare.log"):
        _wait(lambda: _answers(f"{address}/bare"))
        yield address


@contextmanager
def _child(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        child = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        child.terminate()
        child.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


def _wait(holds: Any, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("a server has not come up")
        time.sleep(0.05)
