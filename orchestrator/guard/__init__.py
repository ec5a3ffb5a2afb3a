"""The memory guard: samples of memory in, alerts and commands out; pure. Others sample and send."""

from orchestrator.guard.alerts import OpenAlerts
from orchestrator.guard.guard import MemoryGuard, Sample, sample_of
from orchestrator.guard.peaks import PeakEstimate, PeakMemory
from orchestrator.guard.policies import DEFAULT_POLICY, POLICIES

__all__ = [
    "DEFAULT_POLICY",
    "POLICIES",
    "MemoryGuard",
    "OpenAlerts",
    "PeakEstimate",
    "PeakMemory",
    "Sample",
    "sample_of",
]
