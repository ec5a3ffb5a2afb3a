"""``tapestream train``: an LSTM on bars, tested by walking forward beside simple models."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from agents.dense.device import Precision
    from agents.models.train import Gap


def run(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Bars: Parquet, CSV, Lean's daily zips, files of recorded market.bars or their folder."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Also write report.html and report.json into this folder.")
    ] = None,
    window_ms: Annotated[
        int | None, typer.Option(min=1, help="Length of recorded bars; the shortest when absent.")
    ] = None,
    window: Annotated[int, typer.Option(min=2, max=500, help="Bars that the network sees.")] = 30,
    horizon: Annotated[int, typer.Option(min=1, max=250, help="Bars from decision to outcome.")] = 5,
    band: Annotated[
        float, typer.Option(min=0.0, max=5.0, help="Half the hold band, in standard deviations.")
    ] = 0.5,
    folds: Annotated[int, typer.Option(min=1, max=50, help="Steps of the walk forward.")] = 3,
    seeds: Annotated[int, typer.Option(min=1, max=50, help="Trainings a step.")] = 5,
    hidden: Annotated[int, typer.Option(min=1, max=1024, help="Size of the network.")] = 64,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="At most; it stops early.")] = 20,
    half_spread_bps: Annotated[float, typer.Option(min=0.0, help="Cost of a side.")] = 2.0,
    fee_bps: Annotated[float, typer.Option(min=0.0, help="Cost of a side.")] = 1.0,
    largest_gap: Annotated[
        float, typer.Option(min=0.01, help="Cut a history where it opens further (as log) from its close.")
    ] = 0.35,
    device: Annotated[str, typer.Option(help="cpu or cuda:N.")] = "cpu",
    exactness: Annotated[
        str, typer.Option(help="Of products: float32; tf32 or bfloat16 for speed on a GPU.")
    ] = "float32",
    promote: Annotated[bool, typer.Option("--promote", help="Use the model from now on.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report instead of words.")] = False,
) -> None:
    """Train a model that tells sell, hold and buy, and say plainly whether it beats simple ones.

    The model goes to the registry in the data folder (`tapestream models list`). A training that was killed
    goes on where it was when the same command is run again.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from agents.dense.device import PRECISIONS
    from agents.dense.start import require
    from agents.models.bar_files import read_all
    from agents.models.evaluation import Plan
    from agents.models.metrics import Costs
    from agents.models.registry import Registry
    from agents.models.train import stretches, train, work_folder
    from agents.models.training import Training
    from schemas.codec import dumps, dumps_pretty
    from schemas.errors import SettingsError
    from schemas.settings import load_settings

    require(device)
    if exactness not in PRECISIONS:
        raise SettingsError(f"--exactness {exactness}: unknown", f"one of {', '.join(PRECISIONS)}")
    series, gaps = stretches(read_all(paths, window_ms), largest_gap)
    for gap in gaps:
        _tell(gap)
    costs = Costs(half_spread_bps, fee_bps)
    training = Training(hidden=hidden, max_epochs=epochs, exactness=cast("Precision", exactness))
    plan = Plan(window, horizon, band, folds, tuple(range(1, seeds + 1)), costs, training)
    registry = Registry(load_settings().data_dir)
    if work_folder(registry, series, plan).exists():
        typer.echo("going on with a training that did not end", err=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as shown:
        task = shown.add_task("training", total=plan.trainings)

        def step(name: str, done: int, epoch: int, loss: float) -> None:
            text = f"{name}, epoch {epoch}, log-loss {loss:.4f}"
            shown.update(task, completed=done + epoch / epochs, description=text)

        found = train(registry, series, plan, time.time_ns(), device, promote, step)
        shown.update(task, completed=plan.trainings, description="trained")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.html").write_text(found.page)
        (out / "report.json").write_text(dumps_pretty(found.report))
    if as_json:
        typer.echo(dumps({"model": found.version, **found.report}).decode())
        return
    typer.echo(found.report["verdict"]["words"])
    typer.echo(f"{found.version}: {found.folder / 'report.html'}")
    if not promote:
        typer.echo(f"use it by `tapestream models promote {found.version}`")


def _tell(gap: Gap) -> None:
    day = f"{datetime.fromtimestamp(gap.ts_ns / 1e9, UTC):%Y-%m-%d}"
    prices = f"closed at {gap.closed:g}, opened at {gap.opened:g}"
    typer.echo(f"{gap.symbol} {day}: {prices}; nothing is learnt across that", err=True)
