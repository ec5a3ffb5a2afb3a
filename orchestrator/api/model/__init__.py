"""What the API shows, folded from topics: pure, bounded, the same after any interruption."""

from orchestrator.api.model.decisions import Decision, Decisions
from orchestrator.api.model.events import Event, EventLog, Seen
from orchestrator.api.model.market import Market
from orchestrator.api.model.read_model import LATEST, TOPICS, ReadModel
from orchestrator.api.model.tasks import Place, TaskRow, TaskTable, fingerprint

__all__ = [
    "LATEST",
    "TOPICS",
    "Decision",
    "Decisions",
    "Event",
    "EventLog",
    "Market",
    "Place",
    "ReadModel",
    "Seen",
    "TaskRow",
    "TaskTable",
    "fingerprint",
]
