"""Decisions of a log derived anew, by its own policy or by another; pure."""

from orchestrator.replay.decisions import Difference, Entry, Replay, replay_decisions
from orchestrator.replay.what_if import WhatIf, what_if

__all__ = ["Difference", "Entry", "Replay", "WhatIf", "replay_decisions", "what_if"]
