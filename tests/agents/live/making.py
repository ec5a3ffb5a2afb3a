"""Small models of bars of 100 ms, in memory, and partitions that score with them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from agents.configuration import partition_config
from agents.live.library import Library
from agents.messages import Message
from agents.models.bars import Bars
from agents.models.evaluation import Model
from agents.models.network import new_network
from agents.models.samples import Scaler
from agents.models.scoring import Predictor
from agents.partition import Partition
from schemas.errors import ModelError
from schemas.ipc import read_batch
from schemas.promotions import Promotion
from schemas.settings import Settings
from schemas.ticks import Ticks
from streams.writer.batches import EMPTY_FRAME
from tests.agents.test_partition import messages_of

WINDOWS_MS = (100, 1000)
INDICATORS = ("rsi(5)", "macd(3,6,2)", "atr(4)", "obv")


def a_model(seed: int, window: int = 4, bar_ms: int | None = 100) -> Model:
    """One that changes its mind often: any model's numbers will do to compare bits."""
    scaler = Scaler(np.zeros(8, np.float32), np.full(8, 1e-3, np.float32))
    means = np.array([-2e-3, 0.0, 2e-3])
    return Model(new_network(8, 16, seed), scaler, 0.01, means, window, 2, 16, bar_ms=bar_ms)


def promotion(version: str) -> Promotion:
    return Promotion(version, hashlib.sha256(version.encode()).hexdigest())


class Models:
    """A library in memory; what it does not have is damaged."""

    def __init__(self, **models: Model) -> None:
        self._models = {promotion(name): Predictor(name, model) for name, model in models.items()}

    def open(self, wanted: Promotion) -> Predictor:
        if wanted not in self._models:
            raise ModelError(f"models.{wanted.version}", "is damaged", "promote another version")
        return self._models[wanted]


MODELS = Models(v0001=a_model(1), v0002=a_model(2, window=6), v0003=a_model(3, bar_ms=1000))


def live_partition(library: Library | None = MODELS, **changes: object) -> Partition:
    options: dict[str, object] = {"partitions": 1, "windows_ms": WINDOWS_MS, "indicators": INDICATORS}
    return Partition(partition_config(Settings(**(options | changes)), library)(0))


def notice(version: str, offset: int = 0) -> Message:
    return Message(offset, 0, promotion(version).headers(), EMPTY_FRAME)


def log_of(ticks: Ticks, cuts: list[int], promotions: dict[int, str]) -> list[Message]:
    """Frames of the ticks cut at ``cuts``, and before row ``at`` the notice of each promotion."""
    edges = sorted({0, len(ticks), *cuts, *promotions})
    messages: list[Message] = []
    for begin, end in pairwise(edges):
        if begin in promotions:
            messages.append(notice(promotions[begin]))
        messages += messages_of(ticks.take(slice(begin, end)), [])
    return [message._replace(offset=offset) for offset, message in enumerate(messages)]


def bars_on(outputs: Sequence[tuple[str, bytes]], window_ns: int) -> dict[str, Bars]:
    """The bars of ``market.bars``, as a reader of the topic has them."""
    table = pa.Table.from_batches([read_batch(value) for topic, value in outputs if topic == "market.bars"])
    rows = table.to_pydict()
    window, symbol = np.array(rows["window_ns"]), np.array(rows["symbol"])
    found = {}
    for name in sorted(set(symbol)):
        at = np.flatnonzero((symbol == name) & (window == window_ns))
        prices = [np.array(rows[f"{p}_px"])[at] / 1e9 for p in ("open", "high", "low", "close")]
        found[name] = Bars(name, np.array(rows["close_ns"])[at], *prices, np.array(rows["volume"])[at])
    return found
