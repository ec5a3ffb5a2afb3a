"""Who goes first and where: policies, small pure objects that users can write."""

from orchestrator.policies.base import CLASSES, Policy, WaitClass
from orchestrator.policies.registry import (
    ENTRY_POINTS,
    Spread,
    named_policy,
    options_of,
    policies,
    recorded_policy,
)

__all__ = [
    "CLASSES",
    "ENTRY_POINTS",
    "Policy",
    "Spread",
    "WaitClass",
    "named_policy",
    "options_of",
    "policies",
    "recorded_policy",
]
