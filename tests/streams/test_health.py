"""The pages of a process without pages of its own."""

from __future__ import annotations

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from schemas.errors import SettingsError
from streams.health import serve_health
from streams.ingest import Totals
from streams.ingest.metrics import IngestMetrics


async def fetch(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_live_ready_and_metrics() -> None:
    totals, ready = Totals(messages=7, ticks=9, framed=8, dead=1), [False]
    registry = CollectorRegistry()
    IngestMetrics(totals, lambda: (2, 345), lambda: {1: 40}, registry)
    async with serve_health("127.0.0.1", 0, registry, lambda: ready[0]) as address:
        assert await fetch(f"{address}/live") == (200, "live\n")
        assert await fetch(f"{address}/ready") == (503, "not ready\n")
        ready[0] = True
        assert await fetch(f"{address}/ready") == (200, "ready\n")
        status, text = await fetch(f"{address}/metrics")
    lines = {line for line in text.splitlines() if not line.startswith("#")}
    assert status == 200
    assert lines == {
        "tapestream_ingest_messages_total 7.0",
        'tapestream_ingest_ticks_total{outcome="framed"} 8.0',
        'tapestream_ingest_ticks_total{outcome="dead"} 1.0',
        'tapestream_ingest_ticks_total{outcome="repeated"} 0.0',
        "tapestream_ingest_frames_total 2.0",
        "tapestream_ingest_frame_bytes_total 345.0",
        "tapestream_ingest_commits_total 0.0",
        'tapestream_ingest_lag_messages{partition="1"} 40.0',
    }


async def test_a_taken_port_is_named() -> None:
    registry = CollectorRegistry()
    async with serve_health("127.0.0.1", 0, registry, lambda: True) as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with serve_health("127.0.0.1", port, registry, lambda: True):
                pass
