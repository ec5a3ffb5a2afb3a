"""`tapestream market` on the command line, without a broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from streams.broker.ports import free_ports
from tapestream.cli import main


def test_it_writes_a_sample_and_its_truth_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, truth = tmp_path / "sample.parquet", tmp_path / "truth.json"
    code = main(
        ["market", "--symbols", "3", "--seed", "5", "--ticks", "5000", "--faults", "gap:0.01,crossed:0.01",
         "--out", str(out), "--truth", str(truth), "--json"]
    )  # fmt: skip
    assert code == 0
    said = json.loads(capsys.readouterr().out)
    planted = json.loads(truth.read_text())["faults"]
    gaps = sum(fault["fault"] == "gap" for fault in planted)
    assert said["symbols"] == 3
    assert said["seed"] == 5
    assert said["faults"] == {"gap": gaps, "crossed": len(planted) - gaps}
    assert said["ticks"] == 5_000 - gaps == pq.read_metadata(out).num_rows


def test_the_same_command_makes_the_same_file(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        assert main(["market", "--seconds", "5", "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_its_summary_for_people_names_the_start_that_repeats_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["market", "--seconds", "2", "--start", "2025-03-01T10:00", "--faults", "gap:0.05"]
    assert main([*line, "--out", str(tmp_path / "x.parquet")]) == 0
    said = capsys.readouterr().out
    assert "8 symbols, seed 0, 2.0 s from 2025-03-01 10:00:00 UTC" in said
    assert "planted: " in said
    first = pq.read_table(tmp_path / "x.parquet")["ts_event_ns"][0].as_py()
    assert 0 <= first - 1_740_823_200_000_000_000 < 50_000_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "x.parquet"], "a file needs an end (say --seconds or --ticks)"),
        (["--speed", "fast"], "speed: 'fast'"),
        (["--speed", "-1"], "speed: '-1'"),
        (["--start", "noon"], "start: 'noon' is no time"),
        (["--faults", "gap:2"], "faults: gap is 2.0"),
        (["--rate", "0"], "market: rate_per_s is 0.0"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["market", *options]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert said in shown
    assert shown.count("\n") == 1


def test_without_a_broker_it_says_that_it_waits_and_then_gives_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAPESTREAM_BROKER", f"127.0.0.1:{free_ports(1)[0]}")
    assert main(["market", "--wait", "0.2"]) == 3
    shown = capsys.readouterr().err
    assert "waiting for Kafka at 127.0.0.1:" in shown
    assert "start it with `tapestream broker`" in shown


def test_ctrl_c_while_it_waits_for_a_broker_ends_it() -> None:
    environment = os.environ | {"TAPESTREAM_BROKER": f"127.0.0.1:{free_ports(1)[0]}"}
    command = [sys.executable, "-m", "tapestream.cli", "market"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert child.stderr.readline().startswith("waiting for Kafka")
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=20) == 130


def test_a_market_that_opened_before_is_the_same_from_its_history_on(tmp_path: Path) -> None:
    whole, later = tmp_path / "whole.parquet", tmp_path / "later.parquet"
    assert main(["market", "--start", "2026-01-05T14:30", "--seconds", "12", "--out", str(whole)]) == 0
    opened = ["--opened", "2026-01-05T14:30", "--start", "2026-01-05T14:30:10", "--history", "4"]
    assert main(["market", *opened, "--seconds", "2", "--out", str(later)]) == 0
    rows, found = pq.read_table(whole).to_pylist(), pq.read_table(later).to_pylist()
    assert 0 < len(found) < len(rows)
    assert found == rows[-len(found) :]


def test_a_market_cannot_open_after_it_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["market", "--opened", "2026-01-05T14:31", "--start", "2026-01-05T14:30", "--seconds", "1"]
    assert main([*line, "--out", str(tmp_path / "x.parquet")]) == 2
    assert "opened: '2026-01-05T14:31' is after the start" in capsys.readouterr().err
