"""``tapestream train`` and ``tapestream models`` as a user meets them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agents.models.bar_files import read_bars
from tapestream.cli import main
from tests.agents.models.planted import momentum
from tests.agents.models.test_registry_and_scoring import columns

SHORT = ["--window", "8", "--horizon", "2", "--folds", "1", "--seeds", "2", "--hidden", "4", "--epochs", "2"]
DAILY = Path(__file__).resolve().parents[3] / "shared" / "data" / "daily_ohlcv"


@pytest.fixture
def bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAPESTREAM_DATA_DIR", str(tmp_path / "data"))
    path = tmp_path / "bars.parquet"
    series = [momentum(300, "A", 1), momentum(300, "B", 2)]
    pq.write_table(
        pa.concat_tables([pa.table({"symbol": [b.symbol] * 300, **columns(b)}) for b in series]), path
    )
    return path


def test_a_model_is_trained_reported_promoted_and_rolled_back(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(bars), *SHORT, "--out", str(tmp_path / "report"), "--promote"]) == 0
    assert "The network does" in capsys.readouterr().out
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    page = (tmp_path / "report" / "report.html").read_text()
    assert report["verdict"]["words"] in page
    assert page.count("<svg") == 4
    assert not re.search(r'(src|href)="http', page)
    assert main(["train", str(bars), *SHORT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "v0002"
    assert main(["models", "promote", "v0002"]) == 0
    assert main(["models", "rollback"]) == 0
    assert "v0001 is in use again" in capsys.readouterr().out
    assert main(["models", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["models"]
    assert [(row["version"], row["promoted"]) for row in listed] == [("v0001", True), ("v0002", False)]
    assert listed[0]["card"]["sha256"] == listed[1]["card"]["sha256"]  # the same training, the same bits
    assert main(["models", "show", "v0001"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["seed"], card["data"]["symbols"], card["window"]) == (1, ["A", "B"], 8)
    assert not (tmp_path / "data" / "models" / ".work").exists() or not any(
        (tmp_path / "data" / "models" / ".work").iterdir()
    )


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["train", "absent.parquet"], 5, "absent.parquet cannot be read: there is no such file"),
        (["train", "{bars}", "{bars}"], 5, "is in two of the files"),
        (["train", "{bars}", "--window", "400"], 5, "are needed"),
        (["train", "{bars}", "--folds", "50"], 5, "fewer folds"),
        (["train", "{bars}", "--device", "cuda:99"], 2, "use cpu"),
        (["models", "promote", "v0007"], 5, "there is no v0007"),
        (["models", "rollback"], 5, "no version was promoted"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_a_remedy(
    bars: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, words: str
) -> None:
    assert main([arg.format(bars=bars) for arg in args]) == code
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert words in last
    assert last.endswith(")")


def test_an_empty_registry_says_how_to_fill_it(bars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert "tapestream train" in capsys.readouterr().out


@pytest.mark.skipif(not DAILY.exists(), reason="no recorded daily bars here")
def test_recorded_daily_bars_are_read_from_both_formats() -> None:
    (spy,), (index,) = read_bars(DAILY / "spy.zip"), read_bars(DAILY / "sp500.csv.gz")
    assert (spy.symbol, len(spy), spy.close[0], spy.volume[0]) == ("SPY", 5849, 97.36, 2_150_000)
    assert (index.symbol, len(index), round(index.close[0], 2)) == ("SP500", 5031, 1228.10)
    assert (spy.ts_ns[0], index.ts_ns[0]) == (883_699_200 * 10**9, 915_408_000 * 10**9)
