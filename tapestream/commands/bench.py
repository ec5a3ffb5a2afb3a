"""`tapestream bench`: one benchmark, one JSON object."""

from __future__ import annotations

import importlib
import sys
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer

from schemas import codec
from schemas.errors import SettingsError

BENCHMARKS = {
    "ticks": "ticks a second, Kafka to Kafka, one worker, against a bare consumer of the same bytes",
    "kernel": "ticks a second of the full feature kernel on one core",
    "latency": "milliseconds added to a bare relay of the same two hops",
    "ingest": "JSON messages a second, against a bare consumer",
    "checkpoint": "share of the worker's time, bytes and recovery time, by number of symbols",
}
"""Name of a module of ``bench`` with a ``run()``, and what it measures."""


def run(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(BENCHMARKS)}.")],
    as_json: Annotated[bool, typer.Option("--json", help="On one line.")] = False,
) -> None:
    """Measure, and print one JSON object: medians of several runs, all from this run on this machine.

    ticks, kernel, latency, ingest or checkpoint. Minutes each; nothing else should run meanwhile. The
    benchmarks start a broker of their own.
    """
    figures = measure(name)
    typer.echo(codec.dumps(figures).decode() if as_json else codec.dumps_pretty(figures))


def measure(name: str) -> dict[str, Any]:
    """Run a benchmark.

    Raises
    ------
    SettingsError
        When there is no benchmark of that name.
    """
    if name not in BENCHMARKS:
        raise SettingsError(f"{name}: no such benchmark", f"one of {', '.join(BENCHMARKS)}")
    module = importlib.import_module(f"bench.{name}")
    with redirect_stdout(sys.stderr):  # standard output is for the one object
        figures: dict[str, Any] = module.run()
    return figures
