"""A training from bars to a registered model with its report, for the command and for the task.

One that was killed goes on when it is repeated (:mod:`agents.models.unfinished`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.models.bars import Bars, fingerprint
from agents.models.evaluation import Plan, Step, evaluate
from agents.models.gaps import cut, find_gaps
from agents.models.registry import Registry
from agents.models.report_page import render
from agents.models.unfinished import owned, remove, sweep, unfinished
from schemas.errors import ModelError


@dataclass(frozen=True, slots=True)
class Gap:
    """A jump overnight at which a history was cut."""

    symbol: str
    ts_ns: int
    closed: float
    opened: float


@dataclass(frozen=True, slots=True)
class Trained:
    """What came out: the version's name, its report and the report as a page, and the version's folder."""

    version: str
    report: dict[str, Any]
    page: str
    folder: Path


def stretches(series: Sequence[Bars], largest_gap: float) -> tuple[list[Bars], list[Gap]]:
    """Histories without jumps, and the jumps.

    Parameters
    ----------
    largest_gap
        How far, as log, a bar may open from the close before.

    Raises
    ------
    ModelError
        When a symbol comes twice.
    """
    names = [bars.symbol for bars in series]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ModelError(twice[0], "is in two of the files", "give each symbol once")
    parts: list[Bars] = []
    gaps: list[Gap] = []
    for bars in series:
        rows = find_gaps(bars, largest_gap)
        parts += cut(bars, rows)
        gaps += [
            Gap(bars.symbol, int(bars.ts_ns[row]), float(bars.close[row - 1]), float(bars.open[row]))
            for row in rows.tolist()
        ]
    return parts, gaps


def work_folder(registry: Registry, series: Sequence[Bars], plan: Plan) -> Path:
    """Where a training of these bars by this plan keeps its checkpoints; there is one when it did not end."""
    return unfinished(registry.folder, _name(series, plan))


def _name(series: Sequence[Bars], plan: Plan) -> str:
    return hashlib.sha256(f"{fingerprint(series)} {plan}".encode()).hexdigest()[:16]


def train(
    registry: Registry,
    series: Sequence[Bars],
    plan: Plan,
    made_ns: int,
    device: str = "cpu",
    promote: bool = False,
    step: Step | None = None,
) -> Trained:
    """Evaluate, train, register, and perhaps promote; remove what others left and no longer come back to.

    Parameters
    ----------
    series
        Without jumps; see :func:`stretches`.
    made_ns
        The time now, for the model's card and the age of what others left; ns since 1970-01-01 UTC.
    step
        Told after each epoch; what it raises ends the training, which a repetition goes on with.

    Raises
    ------
    ModelError
        When there are too few bars for the plan.
    CheckpointError
        When what a killed training left is damaged.
    """
    name = _name(series, plan)
    with owned(registry.folder, name) as work:
        sweep(registry.folder, made_ns / 1e9)
        model, report = evaluate(series, plan, device, work, step)
        page = render(report)
        version = registry.save(model, report, page, made_ns)
    remove(registry.folder, name)
    if promote:
        registry.promote(version)
    return Trained(version, report, page, registry.folder / version)
