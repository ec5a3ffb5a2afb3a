"""What a worker says of itself."""

from __future__ import annotations

from agents.accounting import Accounting
from agents.worker_reports import partition_report, worker_report

ROW = {
    "partition": 2,
    "in": 7,
    **{
        k: v
        for k, v in Accounting(ticks_in=7, processed=5, late=1, dead=1).as_dict().items()
        if k != "ticks_in"
    },
    "next_offset": 10,
    "end_offset": 12,
    "read_ms": 1_500,
    "symbols": 3,
    "watermark_ns": None,
}


def test_lag_is_the_time_since_the_last_frame_that_was_read():
    said = partition_report(ROW, 4_000_000_000)
    assert (said.lag_messages, said.lag_seconds) == (2, 2.5)
    assert (said.ticks_in, said.processed, said.late, said.dead) == (7, 5, 1, 1)


def test_nothing_waits_means_no_lag_however_long_ago_the_last_frame_was():
    said = partition_report(ROW | {"end_offset": 10}, 4_000_000_000)
    assert (said.lag_messages, said.lag_seconds) == (0, 0.0)


def test_an_end_that_is_not_known_is_no_lag_of_zero():
    said = partition_report(ROW | {"end_offset": None}, 4_000_000_000)
    assert (said.lag_messages, said.lag_seconds) == (None, None)


def test_a_worker_says_what_its_page_says():
    summary = {"ready": True, "held_by_guard": True, "cpu_seconds": 1.0, "partitions": [ROW]}
    said = worker_report(worker="w", device="cpu", page="p", capacity=2.0, summary=summary, at_ns=1)
    assert (said.worker, said.capacity, said.ready, said.held_by_guard) == ("w", 2.0, True, True)
    assert [part.partition for part in said.partitions] == [2]
