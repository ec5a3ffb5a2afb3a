"""Bars to test on: seeded walks, quiet and wild, and recorded daily ones."""

from __future__ import annotations

import csv
import io
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parents[4] / "shared" / "data"
OHLCV = ("open", "high", "low", "close", "volume")


def walk(symbols: int, bars: int, seed: int = 0, level: float = 100.0, step: float = 0.01) -> dict:
    """Bars (symbols, bars) whose parts agree: low ≤ open, close ≤ high; a tenth of bars do not move."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(size=(symbols, bars)) * step * (rng.random((symbols, bars)) > 0.1)
    close = level * np.exp(np.cumsum(moves, axis=1))
    open_ = np.concatenate([np.full((symbols, 1), level), close[:, :-1]], axis=1)
    high = np.maximum(open_, close) * (1 + step / 2 * rng.random((symbols, bars)) * (moves != 0))
    low = np.minimum(open_, close) * (1 - step / 2 * rng.random((symbols, bars)) * (moves != 0))
    volume = rng.integers(1, 10_000, (symbols, bars)).astype(float)
    return dict(zip(OHLCV, (open_, high, low, close, volume), strict=True))


@cache
def recorded(name: str) -> dict:
    """Daily bars of a share, prices in dollars."""
    path = DATA / "daily_ohlcv" / f"{name}.zip"
    if not path.exists():
        pytest.skip(f"the recorded file {path.name} is not here")
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    rows = np.array([row[1:6] for row in csv.reader(io.StringIO(text))], float)
    rows[:, :4] /= 10_000
    return dict(zip(OHLCV, np.ascontiguousarray(rows.T), strict=True))


def assert_close(mine, theirs, relative: float = 1e-9) -> None:
    """Same look-back; then ``relative`` of the value, or 1e-12 of the series' largest where it passes 0."""
    mine, theirs = np.asarray(mine, float), np.asarray(theirs, float)
    assert np.isnan(mine).tolist() == np.isnan(theirs).tolist()
    known = ~np.isnan(theirs)
    assert known.any()
    allowed = relative * np.abs(theirs[known]) + 1e-12 * np.abs(theirs[known]).max()
    worst = np.abs(mine[known] - theirs[known]) / np.maximum(allowed, 1e-300)
    assert worst.max() <= 1.0, f"{worst.max():.3g} times the tolerance, first at {np.argmax(worst > 1)}"
