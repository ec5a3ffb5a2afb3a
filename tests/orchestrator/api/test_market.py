"""The market stream as the API shows it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from orchestrator.api import market_views, views
from orchestrator.api.model import Market, ReadModel
from orchestrator.api.model.market import KEPT_SIGNALS, SILENT_MS
from schemas import codec
from schemas.errors import FrameError
from schemas.messages import Signal, Source
from schemas.workers import PartitionReport, WorkerReport
from streams import topics
from tests.orchestrator.api.lab import NOW_MS, Log, running


def part(partition: int, ticks_in: int, **more: Any) -> PartitionReport:
    counts = {"processed": ticks_in, "late": 0, "duplicate": 0, "dead": 0, "held": 0, "bars": 1, "signals": 2}
    return PartitionReport(partition=partition, ticks_in=ticks_in, **{**counts, "symbols": 3, **more})


def worker(name: str, at_ms: int, *parts: PartitionReport) -> bytes:
    said = WorkerReport(
        worker=name,
        host="h",
        device="cpu",
        page="http://127.0.0.1:1/pipeline",
        at_ns=at_ms * 1_000_000,
        capacity=1.0,
        ready=True,
        cpu_seconds=1.5,
        partitions=list(parts),
    )
    return codec.dumps(said)


def signal(number: int, kind: str = "order_flow", symbol: str = "A", **latency_us: float) -> Signal:
    return Signal(
        signal_id=f"s{number}",
        symbol=symbol,
        kind=kind,
        ts_event_ns=number,
        window="1s",
        side=1,
        strength=1.0,
        expected_move_bps=1.0,
        cost_bps=0.5,
        features={},
        model="m",
        source=Source(partition=0, first_offset=0, last_offset=number),
        latency_us=latency_us,
    )


def test_a_partition_counts_as_whoever_spoke_of_it_last_has_it():
    market = Market()
    market.worker(worker("a", NOW_MS, part(0, 10), part(1, 5, late=1, processed=4)))
    market.worker(worker("b", NOW_MS + 1, part(1, 7, late=1, processed=6, lag_messages=3, lag_seconds=0.25)))
    found = market_views.stats(market, NOW_MS + 2)
    assert (found.ticks_in, found.processed, found.late, found.balanced, found.symbols) == (
        17,
        16,
        1,
        True,
        6,
    )
    assert (found.lag_messages, found.lag_seconds) == (3, 0.25)
    assert [said.worker for said in found.workers] == ["a", "b"]


def test_a_worker_that_is_silent_is_not_shown_but_what_it_counted_is():
    market = Market()
    market.worker(worker("a", NOW_MS, part(0, 10, lag_seconds=9.0)))
    found = market_views.stats(market, NOW_MS + SILENT_MS)
    assert (found.workers, found.ticks_in, found.lag_seconds) == ([], 10, None)


def test_classes_that_do_not_add_up_are_told():
    market = Market()
    market.worker(worker("a", NOW_MS, part(0, 10, processed=9)))
    assert not market_views.stats(market, NOW_MS).balanced


def test_latency_is_that_of_the_latest_signals_by_stage():
    spread = market_views.latencies(signal(n, log=float(n), capture=2.0 * n) for n in range(101))
    assert {stage: (s.p50, s.p99) for stage, s in spread.items()} == {
        "capture": (100.0, 198.0),
        "log": (50.0, 99.0),
    }


def test_signals_come_newest_first_by_kind_and_symbol_and_no_more_are_kept_than_needed():
    market = Market()
    market.signal(b"not a signal")
    for number in range(KEPT_SIGNALS + 10):
        kind, symbol = ("lstm" if number % 2 else "order_flow"), ("B" if number % 3 else "A")
        market.signal(codec.dumps(signal(number, kind, symbol)))
    assert len(list(market.signals())) == KEPT_SIGNALS
    found = market_views.signals(market, 3, "lstm", "A").signals
    assert [said.ts_event_ns for said in found] == [507, 501, 495]


def test_what_is_no_report_is_counted_and_passed_over():
    with pytest.raises(FrameError, match=r"WorkerReport\.worker: Field required"):
        Market().worker(b"{}")


def test_the_history_has_ticks_signals_and_lag():
    model = ReadModel()
    model.market.worker(worker("a", NOW_MS, part(0, 10, lag_seconds=0.5)))
    moment = views.moment(model, NOW_MS + 1)
    assert (moment.ticks_in, moment.signals, moment.lag_seconds) == (10, 2, 0.5)


async def test_the_paths_answer_and_workers_and_signals_are_no_events():
    async with running() as client:
        log: Log = client.log
        log.put(topics.WORKERS, worker("a", time.time_ns() // 1_000_000, part(0, 10)))
        log.put(topics.SIGNALS, codec.dumps(signal(1)), partition=3)
        status, found = await client.call("GET", "/market/stats")
        assert (status, found["ticks_in"], [w["worker"] for w in found["workers"]]) == (200, 10, ["a"])
        _, found = await client.call("GET", "/market/signals?kind=order_flow")
        assert [said["signal_id"] for said in found["signals"]] == ["s1"]
        assert (await client.call("GET", "/market/signals?limit=0"))[0] == 422
        assert (str(client.api.model.seen()), client.api.model.events.next_number) == ("", 0)
