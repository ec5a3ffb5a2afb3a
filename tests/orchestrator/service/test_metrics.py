"""What the memory guard adds to an orchestrator's metrics."""

from __future__ import annotations

from types import SimpleNamespace

from prometheus_client import generate_latest

from orchestrator.guard import MemoryGuard, PeakEstimate, Sample
from orchestrator.ledger import State
from orchestrator.service.metrics import OrchestratorMetrics
from orchestrator.service.options import Counts

S = 1_000_000_000


def lines(memory: object) -> set[str]:
    orchestrator = SimpleNamespace(
        owns=memory is not None,
        counts=Counts(),
        ready=True,
        state=State("d"),
        memory=memory,
        peaks=[PeakEstimate("x", "cpu", 7, 20), PeakEstimate("y", "gpu", None, 3)],
    )
    registry = OrchestratorMetrics(orchestrator).registry  # type: ignore[arg-type]
    return {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}


def test_levels_scores_answers_and_peaks_are_shown_while_this_process_decides() -> None:
    guard = MemoryGuard()
    for second in range(1, 9):
        guard.take(Sample("GPU-1", 92, 100, second * S))
    shown = lines(SimpleNamespace(guard=guard, said={"opened": 1, "answers": 2}, freed_bytes=5))
    assert shown >= {
        'tapestream_memory_level{gpu_uuid="GPU-1"} 2.0',
        'tapestream_memory_forecast_error{by="forecast",gpu_uuid="GPU-1",seconds="5"} 0.0',
        'tapestream_memory_forecast_error{by="persistence",gpu_uuid="GPU-1",seconds="5"} 0.0',
        'tapestream_memory_guard_total{what="opened"} 1.0',
        'tapestream_memory_guard_total{what="answers"} 2.0',
        "tapestream_memory_freed_bytes_total 5.0",
        'tapestream_task_peak_bytes{lane="cpu",task_type="x"} 7.0',
    }
    assert not any('task_type="y"' in line for line in shown)


def test_one_that_follows_shows_nothing_of_a_guard() -> None:
    assert not any("memory" in line or "peak" in line for line in lines(None))
