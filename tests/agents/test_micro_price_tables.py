"""Micro-price tables: fitted by the command, read by the worker, refused when they are no tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.micro_price_fit import FitOptions, fit_tables
from agents.micro_prices import MicroPriceTable, read_tables, write_tables
from schemas.errors import SettingsError
from schemas.ipc import read_batch
from schemas.ticks import Ticks
from streams.market.config import MarketConfig
from streams.market.market import SimulatedMarket
from tapestream.cli import main
from tests.agents.test_partition import T0, feed, messages_of, new_partition


def market(n: int, seed: int = 1) -> Ticks:
    return SimulatedMarket(MarketConfig(3, seed=seed, start_ns=T0, rate_per_s=200.0)).block(n_ticks=n)


def test_the_fit_finds_the_tick_and_leans_to_the_thinner_queue() -> None:
    fit = fit_tables([market(60_000)], FitOptions())
    assert set(fit.tables) == {"SIM0000", "SIM0001", "SIM0002"}
    for table in fit.tables.values():
        one_tick = table.adjustment[0]
        assert table.tick_size % 1_000_000 == 0
        np.testing.assert_allclose(one_tick, -one_tick[::-1], atol=1e-12)


def test_symbols_with_few_quotes_are_named_and_get_no_table() -> None:
    fit = fit_tables([market(60)], FitOptions(least_quotes=1000))
    assert (fit.tables, set(fit.too_few)) == ({}, {"SIM0000", "SIM0001", "SIM0002"})


def test_the_command_writes_what_the_worker_then_looks_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording, tables = tmp_path / "day.parquet", tmp_path / "tables.json"
    sample = ["market", "--symbols", "3", "--seed", "1", "--ticks", "60000", "--rate", "200"]
    assert main([*sample, "--out", str(recording)]) == 0
    assert main(["fit-micro-price", str(recording), "--out", str(tables)]) == 0
    assert "SIM0000: tick" in capsys.readouterr().out
    ticks = market(3_000, seed=2)
    plain = feed(new_partition(), messages_of(ticks, []))
    fitted = feed(new_partition(micro_price_table=tables), messages_of(ticks, []))

    def micro(outputs: list[tuple[str, bytes]]) -> np.ndarray:
        return np.concatenate(
            [
                read_batch(v).column("micro_price").to_numpy() - read_batch(v).column("mid").to_numpy()
                for t, v in outputs
                if t == "market.features"
            ]
        )

    assert np.isnan(micro(plain)).all()
    assert np.isfinite(micro(fitted)).mean() > 0.9
    assert np.nanmax(np.abs(micro(fitted))) > 0


def test_too_few_quotes_anywhere_end_the_command_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "day.parquet"
    assert main(["market", "--symbols", "1", "--ticks", "50", "--out", str(recording)]) == 0
    assert main(["fit-micro-price", str(recording), "--out", str(tmp_path / "t.json")]) == 5
    assert "lower --least-quotes" in capsys.readouterr().err


def test_tables_read_back_as_written(tmp_path: Path) -> None:
    tables = {"A": MicroPriceTable(10_000_000, np.array([[-0.1, 0.1], [-0.2, 0.2]]))}
    write_tables(tmp_path / "t.json", tables)
    (back,) = read_tables(tmp_path / "t.json").values()
    assert (back.tick_size, back.adjustment.tolist()) == (10_000_000, [[-0.1, 0.1], [-0.2, 0.2]])
    assert read_tables(None) == {}


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"symbols": {"A": {}}}', '{"symbols": {"A": {"tick_size_e9": 0, "adjustment": [[1]]}}}',
     '{"symbols": {"A": {"tick_size_e9": 5, "adjustment": [1]}}}'],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused_with_a_remedy(tmp_path: Path, content: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        read_tables(path)
    assert "fit-micro-price" in caught.value.remedy
    with pytest.raises(SettingsError):
        read_tables(tmp_path / "absent.json")
