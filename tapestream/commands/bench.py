"""`tapestream bench`: one benchmark, one JSON object."""

from __future__ import annotations

import importlib
import sys
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer

from schemas import codec
from schemas.errors import SettingsError

WITH_DEVICE = ("kernel", "ticks", "lstm", "portfolio", "patterns")

BENCHMARKS = {
    "ticks": "ticks a second, Kafka to Kafka, one worker, against a bare consumer of the same bytes",
    "peers": "the same work by Faust, quixstreams, bytewax, csp and pathway, on frames and on JSON",
    "kernel": "ticks a second of the full feature kernel on one core",
    "latency": "milliseconds added to a bare relay of the same two hops",
    "ingest": "JSON messages a second, against a bare consumer",
    "lstm": "seconds to score 1,000 symbols, against torch's eager LSTM on the same threads",
    "portfolio": "seconds of least CVaR and its frontier, beside cvxpy with Clarabel",
    "api": "requests a second of the REST API, beside a bare FastAPI route",
    "checkpoint": "share of the worker's time, bytes and recovery time, by number of symbols",
    "indicators": "seconds of all indicators, 1,000 symbols × 1,000 bars, against TA-Lib in a loop",
    "patterns": "seconds of the pattern scan and of a template search over a million points",
    "task-roundtrip": "milliseconds from an empty task's submission to its result, against a relay",
    "fold": "records of the allocation log a second on one core, and recovery from a snapshot",
    "schedule": "decisions a second, waits and a decision's cost, 10,000 simulated devices, 1,000,000 tasks",
}
"""Name of a module of ``bench`` with a ``run()``, hyphens for underscores, and what it measures."""


def run(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(BENCHMARKS)}.")],
    device: Annotated[
        str, typer.Option(help=f"cpu, or cuda:N for {', '.join(WITH_DEVICE)}: that device beside the CPU.")
    ] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="On one line.")] = False,
) -> None:
    """Measure, and print one JSON object: medians of several runs, all from this run on this machine.

    Minutes each; nothing else should run meanwhile. Those that need a broker start one of their own; those
    beside other libraries need the extra `bench`.
    """
    figures = measure(name, device)
    typer.echo(codec.dumps(figures).decode() if as_json else codec.dumps_pretty(figures))


def measure(name: str, device: str = "cpu") -> dict[str, Any]:
    """Run a benchmark.

    Raises
    ------
    SettingsError
        When there is no benchmark of that name, or none of it on a device.
    """
    if name not in BENCHMARKS:
        raise SettingsError(f"{name}: no such benchmark", f"one of {', '.join(BENCHMARKS)}")
    if device != "cpu" and name not in WITH_DEVICE:
        raise SettingsError(f"{name}: takes no device", f"--device is for {', '.join(WITH_DEVICE)}")
    options = {} if device == "cpu" else {"device": device}
    module = importlib.import_module(f"bench.{name.replace('-', '_')}")
    with redirect_stdout(sys.stderr):  # standard output is for the one object
        figures: dict[str, Any] = module.run(**options)
    return figures
