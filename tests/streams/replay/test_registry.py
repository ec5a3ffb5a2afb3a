"""Which format reads which file."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import SettingsError, SourceError
from schemas.ticks import Ticks, make_ticks
from streams.replay.formats import BadRows, ReadOptions, find_format, named_format, registry
from tests.streams.replay.reading import px, read, real, rows


class Magic:
    """A format of somebody else's."""

    name = "magic"

    def sniff(self, path: Path, head: bytes) -> bool:
        return head.startswith(b"MAGIC")

    def read(self, path: Path, options: ReadOptions, bad: BadRows) -> Iterator[Ticks]:
        yield make_ticks(("A",), ts_event_ns=[1], symbol=[0], kind=[1], trade_px=[1])


class NoReader:
    name = "half"


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    registry.formats.cache_clear()
    yield
    registry.formats.cache_clear()


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("binance/usdm_btcusdt_20240808.gz", "binance"),
        ("us_equity_ticks/aig_20131007_quote.zip", "lean"),
        ("us_equity_ticks/aig_20131007_trade.zip", "lean"),
        ("fx_ticks/fxcm_eurusd_20140508_quote.zip", "lean"),
        ("itch/itch_AAPL_20190130_10000events_10level.csv.gz", "itch"),
        ("indicators/si_quotes_default.csv", "csv"),
    ],
)
def test_recorded_files_are_told_by_their_content(name: str, known: str) -> None:
    assert find_format(real(name)).name == known


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0", b"nothing in particular", b"1,2,3\n4,5,6\n"])
def test_an_unknown_file_says_what_was_looked_for(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        find_format(path)
    assert caught.value.problem == (
        f"{path}: no known format; looked for parquet, dbn, binance, itch, lean, lobster, csv"
    )


def test_an_empty_file_a_folder_an_absent_one_and_a_damaged_zip_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04" + b"\0" * 40)
    for name, problem in {
        "empty": "is empty",
        ".": "is a folder",
        "absent": "No such file or directory",
        "bad.zip": "a damaged zip file",
    }.items():
        with pytest.raises(SourceError, match=problem):
            find_format(tmp_path / name)


def test_a_format_is_named_by_its_name_or_its_class() -> None:
    assert named_format("lean").name == "lean"
    assert named_format(f"{__name__}:Magic").name == "magic"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("magic", "no format is called 'magic'"),
        ("no.such:Thing", "No module named"),
        (f"{__name__}:Missing", "has no attribute"),
        (f"{__name__}:NoReader", "it lacks name, sniff or read"),
    ],
)
def test_a_wrong_name_of_a_format_says_what_is_wrong(name: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        named_format(name)


def test_an_installed_package_adds_a_format_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: None
) -> None:
    entry = importlib.metadata.EntryPoint("magic", f"{__name__}:Magic", registry.ENTRY_POINTS)
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [entry] if group == registry.ENTRY_POINTS else []
    )
    path = tmp_path / "file"
    path.write_bytes(b"MAGIC")
    assert find_format(path).name == "magic"


def test_the_example_of_a_format_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "examples")
    path = tmp_path / "quotes.tick"
    path.write_text("TICKER IBM 5 1.25 1.5\nTICKER IBM 5 x 1.5\nTICKER IBM\nTICKER SPY 6 2 3\n")
    ticker = named_format("own_format:Ticker")
    ticks, bad = read(path, known=ticker)
    assert ticker.sniff(path, path.read_bytes())
    assert rows(ticks) == [
        (5, "IBM", "q", px("1.25"), px("1.5"), 0.0, 0.0),
        (6, "SPY", "q", px("2"), px("3"), 0.0, 0.0),
    ]
    assert [str(row) for row in bad.examples] == [
        "quotes.tick:3: not TICKER symbol ns bid ask",
        "quotes.tick:2: a quote without one of its sides",
    ]
