"""The commands `replay` and `record` as a user runs them, against a real broker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from schemas import codec
from schemas.settings import Settings
from streams import admin
from tapestream import cli
from tests.kafka import wait_until
from tests.streams.replay.making import parquet, ticks_at

pytestmark = pytest.mark.kafka


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The settings as a shell would give them, and their topics."""
    values = {
        "TAPESTREAM_BROKER": settings.broker,
        "TAPESTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "TAPESTREAM_PARTITIONS": str(settings.partitions),
        "TAPESTREAM_DATA_DIR": str(settings.data_dir),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    asyncio.run(admin.ensure_topics(settings))
    yield {**os.environ, **values}
    asyncio.run(admin.delete_topics(settings))


def test_a_replay_is_recorded(
    environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = parquet(tmp_path / "m.parquet", ticks_at(range(500)))
    assert cli.main(["replay", str(path), "--speed", "max"]) == 0
    assert capsys.readouterr().out.startswith("sent 500 ticks in 1 frames, ")
    out = tmp_path / "out"
    assert cli.main(["record", "--out", str(out), "--from-beginning", "--until-caught-up", "--json"]) == 0
    report = codec.loads(capsys.readouterr().out)
    assert (report["rows"], report["unreadable"], len(report["files"])) == (500, 0, 1)
    assert pq.read_table(out / report["files"][0]).num_rows == 500
    assert cli.main(["record", "--out", str(out), "--until-caught-up"]) == 0
    # Heartbeats after the last tick are read again: no row came of them.
    assert capsys.readouterr().out.startswith("0 rows of ")
    assert cli.main(["record", "--out", str(out), "--topics", "market.tick"]) == 4


def test_ctrl_c_stops_a_replay_and_resume_goes_on(environment: dict[str, str], tmp_path: Path) -> None:
    path = parquet(tmp_path / "m.parquet", ticks_at(range(0, 60_000, 10)))
    command = [sys.executable, "-m", "tapestream.cli", "replay", str(path), "--number", "--json"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    positions = Path(environment["TAPESTREAM_DATA_DIR"]) / "replay"
    try:
        wait_until(lambda: list(positions.glob("*.json")), "the replay has saved a position")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    stopped = codec.loads(out)
    [saved] = [codec.loads(file.read_bytes()) for file in positions.glob("*.json")]
    assert 0 < stopped["frames"] <= stopped["ticks"] < 6_000
    assert (stopped["finished"], saved["ticks"]) == (False, stopped["position"])
    finish = subprocess.run(
        [*command, "--resume", "--speed", "max"], env=environment, capture_output=True, check=True
    )
    report = codec.loads(finish.stdout)
    assert (report["resumed_at"], report["ticks"]) == (saved["ticks"], 6_000 - saved["ticks"])
    recorded = tmp_path / "out"
    assert cli.main(["record", "--out", str(recorded), "--from-beginning", "--until-caught-up"]) == 0
    sequences = [
        n for file in sorted(recorded.glob("*.parquet")) for n in pq.read_table(file)["sequence"].to_pylist()
    ]
    assert sequences == list(range(1, 6_001))


def test_a_recorder_that_is_stopped_finishes_its_files(environment: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "tapestream.cli",
        "record",
        "--out",
        str(out),
        "--json",
        "--rotate-seconds",
        "0.2",
    ]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: (out / "recording.json").exists(), "the recorder has begun")
        path = parquet(tmp_path / "m.parquet", ticks_at(range(500)))
        assert cli.main(["replay", str(path), "--speed", "max"]) == 0
        wait_until(lambda: list(out.glob("*.parquet")), "a file is finished")
        process.send_signal(signal.SIGTERM)
        printed, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert codec.loads(printed)["rows"] == 500
    assert list(out.glob(".*.draft")) == []


def test_without_a_broker_the_error_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPESTREAM_BROKER", "nonsense")
    monkeypatch.setenv("TAPESTREAM_DATA_DIR", str(tmp_path))
    path = parquet(tmp_path / "m.parquet", ticks_at([0]))
    assert cli.main(["replay", str(path)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: broker: 'nonsense' is no host:port (set TAPESTREAM_BROKER=host:port)"
    ]
