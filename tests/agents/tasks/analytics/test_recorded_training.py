"""A model learns the same from the topic of bars, from its recording as a task, and by the command."""

from __future__ import annotations

import numpy as np
import pytest

from agents.models.registry import Registry
from schemas.settings import Settings
from streams import topics
from streams.clients import partition_of
from streams.log_writer import log_writer
from streams.record import RecordOptions, record
from streams.record_files import Rotation
from tapestream.cli import main
from tests.agents.models.planted import walk
from tests.agents.tasks.analytics.asking import done
from tests.agents.tasks.analytics.frames import frame

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("topics_ready")]

SYMBOLS = ["AAPL", "MSFT"]
BARS = 150
SHORT = {"window": 8, "horizon": 2, "folds": 1, "seeds": 1, "hidden": 4, "epochs": 2}


async def send(settings: Settings, window: int) -> None:
    """A walk of each symbol in bars of ``window`` seconds."""
    async with log_writer(settings) as writer:
        for seed, symbol in enumerate(SYMBOLS):
            closes = np.round(walk(BARS, seed=seed + window).close, 6).tolist()
            for at, price in enumerate(closes, 1):
                home = partition_of(symbol, settings.partitions)
                payload = frame((symbol, window, at * window, price))
                await writer.write(topics.BARS, f"{symbol}-{window}-{at}", [payload], partition=home)


async def test_a_recording_trains_the_model_that_the_topic_would(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await send(settings, 1)
    await send(settings, 10)
    folder = settings.data_dir / "recorded"
    options = RecordOptions(
        (topics.BARS,), from_beginning=True, until_caught_up=True, rotation=Rotation(rows=100)
    )
    tally = await record(settings, folder, options)
    assert (tally.rows, len(tally.files) > 2) == (4 * BARS, True)

    found = [await done("train_model", SHORT | {"symbols": SYMBOLS}, settings)]
    found.append(await done("train_model", SHORT | {"path": "recorded"}, settings))
    assert [one["data"] for one in found] == [found[0]["data"]] * 2
    monkeypatch.setenv("TAPESTREAM_DATA_DIR", str(settings.data_dir))
    plan = [text for name, value in SHORT.items() for text in (f"--{name}", str(value))]
    files = [str(folder / name) for name in tally.files]
    for chosen in (files, [str(folder)], [str(folder), "--window-ms", "10000"]):
        assert main(["train", *chosen, *plan]) == 0
    capsys.readouterr()
    registry = Registry(settings.data_dir)
    cards = [registry.card(version) for version in registry.versions()]
    assert [(card["bar_ms"], card["sha256"] == cards[0]["sha256"]) for card in cards] == [
        (1_000, True), (1_000, True), (1_000, True), (1_000, True), (10_000, False),
    ]  # fmt: skip
