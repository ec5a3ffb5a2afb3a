"""What is done about memory that is low, as data: a row a policy and level, beside what those before it do.

Every policy does at least what the one before it does, and every level at least what the one below it does.
Alerts are raised under each of them.
"""

from __future__ import annotations

from schemas.alerts import AlertLevel
from schemas.commands import Action, PolicyName

DEFAULT_POLICY: PolicyName = "moderate"

POLICIES: dict[PolicyName, dict[AlertLevel, tuple[Action, ...]]] = {
    "conservative": {
        "HIGH": ("pause_ticks", "empty_idle_caches"),
        "CRITICAL": ("stop_admission",),
    },
    "moderate": {
        "HIGH": ("clean_at_task_boundary", "spill_cudf", "cut_batches"),
        "CRITICAL": ("recycle_idle",),
    },
    "aggressive": {
        "CRITICAL": ("recycle_after_drain", "preempt_lowest", "end_process"),
    },
}

LASTING: frozenset[Action] = frozenset(
    (
        "pause_ticks",
        "stop_admission",
        "clean_at_task_boundary",
        "spill_cudf",
        "cut_batches",
        "recycle_after_drain",
    )
)
"""Actions that begin and end; the others are done once, and again after :data:`AGAIN_AFTER_NS`."""

AGAIN_AFTER_NS = 30_000_000_000
"""How long what was done once is given to have an effect, before it is asked for again."""

RENEW_AFTER_NS = 5_000_000_000
"""How often a lasting action is renewed while it lasts, thrice before it would lapse."""

END_AFTER_NS = 60_000_000_000
"""How long CRITICAL has lasted, and everything milder was tried, before a process is ended."""

_ORDER: tuple[PolicyName, ...] = ("conservative", "moderate", "aggressive")
_LEVELS: tuple[AlertLevel, ...] = ("WARN", "HIGH", "CRITICAL")


def in_force(policy: PolicyName, level: AlertLevel | None) -> tuple[Action, ...]:
    """The actions of a policy at a level, the mildest first."""
    if level is None:
        return ()
    levels = _LEVELS[: _LEVELS.index(level) + 1]
    policies = _ORDER[: _ORDER.index(policy) + 1]
    return tuple(action for row in levels for name in policies for action in POLICIES[name].get(row, ()))
