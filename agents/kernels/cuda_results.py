"""From what a GPU wrote by tick and by symbol to the result of each message. Imports NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from agents.kernels.cuda_plan import Columns, Plan
from agents.kernels.names import BAR_FLOAT_NAMES, BAR_INT_NAMES, FEATURE_NAMES, INT_NAMES
from agents.kernels.result import FrameResult
from agents.kernels.scalar import layout as at

SHAPES: tuple[tuple[int, Any], ...] = (
    (len(INT_NAMES), np.int64),
    (len(FEATURE_NAMES), np.float64),
    (len(BAR_INT_NAMES), np.int64),
    (len(BAR_FLOAT_NAMES), np.float64),
)
"""Columns and dtypes of the four matrices of a result."""

_EVENT_OF_CLASS = {at.LATE: at.EVENT_LATE, at.DUPLICATE: at.EVENT_DUPLICATE}

Rows = list[tuple[Any, ...]]
"""The four matrices, for each window that closed."""


def result_of(
    message: Columns, decided: Plan, ticks: slice, outcomes: list[npt.NDArray[Any]], closed: Rows
) -> FrameResult:
    """The result of one message of a batch.

    Parameters
    ----------
    ticks
        Where its ticks are in the batch.
    outcomes
        Outcome and two coordinates by tick of the batch; empty when no tick was stepped.
    closed
        What it closed, in that order.
    """
    n = len(message)
    valid, late = decided.valid[ticks], decided.late[ticks]
    if outcomes:
        outcome, a, b = (array[ticks].copy() for array in outcomes)
    else:
        outcome, a, b = np.zeros((3, n), np.int64)
    outcome[~valid], outcome[late] = at.DEAD, at.LATE
    a[late], b[late] = message.ts_event[late], decided.watermark[ticks][late]
    classes = (outcome & at.CLASS_MASK).astype(np.uint8)
    events = _events(outcome, classes, a, b, message)
    empty = [np.empty((columns, 0), dtype) for columns, dtype in SHAPES]
    matrices = tuple(np.concatenate(parts, axis=1) for parts in zip(empty, *closed, strict=True))
    of_class = np.bincount(classes, minlength=4).tolist()
    counts = [matrices[0].shape[1], matrices[2].shape[1], events.shape[1], *of_class]
    return FrameResult(n, counts, (classes, events[0].astype(np.uint8), *events[1:]), matrices)


def _events(
    outcome: npt.NDArray[np.int64],
    classes: npt.NDArray[np.uint8],
    a: npt.NDArray[np.int64],
    b: npt.NDArray[np.int64],
    message: Columns,
) -> npt.NDArray[np.int64]:
    """Events by tick, then as the compiled loop writes them: int64[4, n_events]."""
    bid, ask = message.prices_and_sizes[:2]
    table: list[tuple[int, int, int, int]] = []
    for i in np.flatnonzero(outcome != at.PROCESSED).tolist():
        code = _EVENT_OF_CLASS.get(int(classes[i]), 0)
        if outcome[i] & (at.FLAG_GAP | at.FLAG_RESET):
            code = at.EVENT_GAP if outcome[i] & at.FLAG_GAP else at.EVENT_RESET
        if code:
            table.append((code, i, int(a[i]), int(b[i])))
        if outcome[i] & at.FLAG_CROSSED and classes[i] == at.PROCESSED:
            table.append((at.EVENT_CROSSED, i, int(bid[i]), int(ask[i])))
    return np.array(table, np.int64).reshape(-1, 4).T.copy()
