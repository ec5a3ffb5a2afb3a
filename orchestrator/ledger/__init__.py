"""The allocation log's fold: who may use which device, derived from records alone.

Orchestrators and agents run the same code::

    state = State("host-1")
    for record in log:                    # of orchestrator.allocations, in order
        verdict = state.apply(record)     # ACCEPTED, or Ignored(reason) and nothing changed

Rules of use, which the services above keep: a record counts only when the writer's own fold has accepted
it as it came back from the log; so an agent runs nothing before its ``Started`` is accepted, and publishes
a result only when its ``Ended`` is.
"""

from orchestrator.ledger.rules import RULES, Rule, Rules
from orchestrator.ledger.snapshots import digest, restore, snapshot, whole
from orchestrator.ledger.state import ACCEPTED, Accepted, Device, Ignored, Lease, State, Task, Verdict, fold
from orchestrator.ledger.tables import DEVICE_MOVES, TASK_MOVES, health_path

__all__ = [
    "ACCEPTED",
    "DEVICE_MOVES",
    "RULES",
    "TASK_MOVES",
    "Accepted",
    "Device",
    "Ignored",
    "Lease",
    "Rule",
    "Rules",
    "State",
    "Task",
    "Verdict",
    "digest",
    "fold",
    "health_path",
    "restore",
    "snapshot",
    "whole",
]
