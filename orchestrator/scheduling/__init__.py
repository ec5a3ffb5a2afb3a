"""From a ledger's state to decisions, with a policy; pure."""

from orchestrator.scheduling.scheduler import Scheduler, decide

__all__ = ["Scheduler", "decide"]
