"""The command: options, reports, errors, without a broker."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from schemas import codec
from schemas.errors import SettingsError
from tapestream import cli
from tapestream.commands import replay
from tests.streams.replay.making import parquet, ticks_at
from tests.streams.replay.reading import real

CSV = "time,symbol,bid,ask,bid_size,ask_size\n1723161256,IBM,1,2,3,4\nlate,IBM,1,2,3,4\n"


def tapestream(*args: object) -> int:
    return cli.main([str(arg) for arg in args])


def test_a_dry_run_reports_ticks_bad_rows_and_pace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text(CSV)
    assert tapestream("replay", path, "--dry-run", "--speed", "5") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("read 1 ticks, ")
    assert out[1].startswith("pacing error: p50 ")
    assert out[2:] == ["ticks.csv: 1 bad rows: time is no time", "  ticks.csv:3: time is no time"]


def test_json_is_one_object_that_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text(CSV)
    assert tapestream("replay", path, "--dry-run", "--speed", "max", "--json", "--loop", "2") == 0
    report = codec.loads(capsys.readouterr().out)
    del report["seconds"], report["ticks_per_s"]
    assert report == {
        "ticks": 2,
        "frames": 0,
        "bytes": 0,
        "resumed_at": 0,
        "position": 2,
        "last_ts_event_ns": 1_723_161_256_000_000_000 + 60_000_000_000,
        "finished": True,
        "order": "event",
        "pacing_error_ms": None,
        "faults": {},
        "files": [
            {
                "file": "ticks.csv",
                "format": "csv",
                "bad_rows": 1,
                "bad": {"time is no time": 1},
                "skipped": {},
                "examples": ["ticks.csv:3: time is no time"],
            }
        ],
        "notes": [],
    }


@pytest.mark.parametrize(
    ("args", "code", "problem"),
    [
        (["--speed", "fast"], 2, "--speed fast: no speed"),
        (["--speed", "0"], 2, "--speed 0: no speed"),
        (["--order", "size"], 2, "--order size: no such order"),
        (["--map", "price=p"], 2, "--map price=p: no TICK_COLUMN=FILE_COLUMN"),
        (["--from", "yesterday"], 2, "--from yesterday: no time"),
        (["--date", "today"], 2, "--date today: no date"),
        (["--time-unit", "days"], 2, "--time-unit days: no such unit"),
        (["--time-zone", "Mars/Olympus"], 2, "--time-zone Mars/Olympus: no such zone"),
        (["--fault", "gap:often"], 2, "'often' is no number"),
        (["--format", "nonsense"], 2, "no format is called 'nonsense'"),
        (["--symbols", "XYZ"], 5, "no tick to send"),
        (["--map", "bid_px=offer"], 5, "no column offer, which the map gives for bid_px"),
    ],
)
def test_what_cannot_be_is_one_line_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, problem: str
) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text(CSV)
    assert tapestream("replay", path, "--dry-run", *args) == code
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert problem in error[0]


def test_a_longer_replay_says_how_far_it_is_when_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "PLAIN_LINE_S", 0.0)
    path = parquet(tmp_path / "ticks.parquet", ticks_at([0, 20, 40]))
    assert tapestream("replay", path, "--dry-run") == 0
    assert "2 ticks, " in capsys.readouterr().err


def test_faults_on_request_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = parquet(tmp_path / "ticks.parquet", ticks_at(range(1_000)))
    assert tapestream("replay", path, "--dry-run", "--speed", "max", "--fault", "gap:0.1", "--seed", 3) == 0
    assert ": " in capsys.readouterr().out.splitlines()[1]


def test_a_format_may_lie_in_the_folder_where_one_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = Path(__file__).parents[3] / "examples"
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != ""])
    monkeypatch.chdir(examples)
    path = tmp_path / "quotes.tick"
    path.write_text("TICKER IBM 1723161256000000000 1.25 1.5\n")
    assert tapestream("replay", path, "--dry-run", "--format", "own_format:Ticker", "--json") == 0
    assert codec.loads(capsys.readouterr().out)["files"][0]["format"] == "ticker"


def test_maps_and_times_are_read_as_written() -> None:
    assert replay.parse_map(["bid_px=b, ask_px=a", "symbol=s"]) == {
        "bid_px": "b",
        "ask_px": "a",
        "symbol": "s",
    }
    assert replay.parse_time("2024-08-08T23:54:16Z", "--from") == 1_723_161_256_000_000_000
    assert replay.parse_time("1723161256000000007", "--from") == 1_723_161_256_000_000_007
    assert replay.parse_time("2024-08-08", "--from") == 1_723_075_200_000_000_000
    assert (replay.parse_speed("max"), replay.parse_speed("10x")) == (None, 10.0)
    with pytest.raises(SettingsError):
        replay.parse_map(["bid_px="])


def test_a_recorded_day_of_two_symbols_is_read_whole(capsys: pytest.CaptureFixture[str]) -> None:
    names = [
        f"us_equity_ticks/{s}_20131007_{kind}.zip" for s in ("aig", "ibm") for kind in ("quote", "trade")
    ]
    paths = [real(name) for name in names]
    assert tapestream("replay", *paths, "--dry-run", "--speed", "max", "--json") == 0
    report = codec.loads(capsys.readouterr().out)
    assert report["ticks"] == 523_020 + 25_351 + 46_444 + 24_293
