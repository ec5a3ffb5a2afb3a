"""Scoring 1,000 symbols by an LSTM, beside torch's eager ``nn.LSTM`` on the same threads, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.models.evaluation import Model
from agents.models.fast_lstm import FastLstm
from agents.models.network import Scorer, new_network
from agents.models.samples import Scaler
from agents.models.scoring import Predictor, batch_prediction
from bench.device import beside
from schemas.codec import dumps

SYMBOLS, STEPS, FEATURES, HIDDEN = 1_000, 60, 8, 64


def run(repeats: int = 31, seed: int = 1, device: str = "cpu") -> dict[str, Any]:
    """Medians of ``repeats`` turns of both; on a device, of its logits and the CPU's.

    Returns
    -------
    dict
        ``ours_s``, ``torch_eager_s`` (inference mode), ``ratio``, for all of torch's threads; ``one_thread``
        has the same for one; ``whole_task_s`` the whole ``batch_prediction`` of 100 bars a symbol;
        ``largest_difference`` of the two hidden states.
    """
    if device != "cpu":
        return {"name": "lstm", "symbols": SYMBOLS, "steps": STEPS, **_on_device(repeats, seed, device)}
    threads = torch.get_num_threads()
    try:
        figures = _measure(repeats, seed)
        torch.set_num_threads(1)
        one = _measure(repeats, seed)
    finally:
        torch.set_num_threads(threads)
    return {"name": "lstm", "threads": threads, **figures, "whole_task_s": _task(), "one_thread": one}


def _on_device(repeats: int, seed: int, device: str) -> dict[str, Any]:
    x = np.random.default_rng(seed).standard_normal((SYMBOLS, STEPS, FEATURES), np.float32)
    here, there = (Scorer(new_network(FEATURES, HIDDEN, seed), where) for where in ("cpu", device))
    figures = beside(lambda: here.logits(x), lambda: there.logits(x), device, repeats)
    if device.startswith("cuda"):
        graph = Scorer(new_network(FEATURES, HIDDEN, seed), device, graph=True)
        figures["graph"] = beside(lambda: here.logits(x), lambda: graph.logits(x), device, repeats)
    return figures | {"largest_difference": float(np.abs(here.logits(x) - there.logits(x)).max())}


def _task(repeats: int = 5, bars: int = 100) -> float:
    """Seconds of ``batch_prediction`` of all symbols: lists of bars in, probabilities out as JSON."""
    rng = np.random.default_rng(2)
    scaler = Scaler(np.zeros(FEATURES, np.float32), np.ones(FEATURES, np.float32))
    network = new_network(FEATURES, HIDDEN, 1)
    predictor = Predictor("bench", Model(network, scaler, 0.01, np.zeros(3), STEPS, 5, HIDDEN))
    request = {"bars": {f"S{number:04d}": _walk(rng, bars) for number in range(SYMBOLS)}}

    def once() -> bytes:
        return dumps(batch_prediction(request, Path(), predictor=predictor))

    once()
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        once()
        spent.append(time.perf_counter() - start)
    return round(statistics.median(spent), 4)


def _walk(rng: np.random.Generator, n: int) -> dict[str, list[float]]:
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    volume = rng.integers(1, 1_000, n)
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": volume}
    return {name: column.tolist() for name, column in columns.items()}


def _measure(repeats: int, seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    lstm = torch.nn.LSTM(FEATURES, HIDDEN, batch_first=True).eval()
    fast = FastLstm(lstm)
    x = np.random.default_rng(seed).standard_normal((SYMBOLS, STEPS, FEATURES), np.float32)
    tensor = torch.from_numpy(x)

    def eager() -> torch.Tensor:
        with torch.inference_mode():
            hidden: torch.Tensor = lstm(tensor)[0][:, -1]
            return hidden

    difference = float((fast(x) - eager()).abs().max())
    ours, theirs = _in_turns(lambda: fast(x), eager, repeats)
    return {
        "ours_s": round(ours, 5),
        "torch_eager_s": round(theirs, 5),
        "ratio": round(theirs / ours, 2),
        "largest_difference": difference,
    }


def _in_turns(first: Callable[[], Any], second: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median seconds of each; neither has the machine's better minutes."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for call, spent in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            call()
            spent.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])
