"""The table of rules: for each type of record what it must pass, and what it then does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.ledger import checks, effects
from orchestrator.ledger.state import State
from schemas.allocations import (
    AdmissionChanged,
    CancelRequested,
    CapacityMeasured,
    DeadlinePassed,
    DeviceSeen,
    Ended,
    Granted,
    HealthChanged,
    OwnerClaimed,
    PolicyChanged,
    Reclaiming,
    Rejected,
    Released,
    Renewed,
    Snapshot,
    Started,
    TaskAccepted,
    Tick,
)

Check = Callable[[State, Any], bool]
Effect = Callable[[State, Any], None]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a type of record must pass, in this order and by name, and what it does."""

    checks: tuple[tuple[str, Check], ...]
    effect: Effect


Rules = Mapping[type, Rule]


def _rule(effect: Effect, *asked: Check) -> Rule:
    return Rule(tuple((check.__name__, check) for check in asked), effect)


def _of_anyone(effect: Effect, *asked: Check) -> Rule:
    return _rule(effect, checks.domain_is_ours, *asked)


def _of_the_owner(effect: Effect, *asked: Check) -> Rule:
    return _of_anyone(effect, checks.owner_is_current, checks.epoch_is_current, *asked)


RULES: Rules = {
    OwnerClaimed: _of_anyone(effects.claim, checks.epoch_is_next),
    DeviceSeen: _of_the_owner(effects.enter_device, checks.device_is_new),
    HealthChanged: _of_the_owner(effects.change_health, checks.device_is_known, checks.health_may_move),
    CapacityMeasured: _of_the_owner(
        effects.measure,
        checks.device_is_known,
        checks.measurement_is_newer,
        checks.capacity_covers_charges,
    ),
    AdmissionChanged: _of_the_owner(effects.change_admission, checks.device_is_known),
    TaskAccepted: _of_the_owner(
        effects.enqueue, checks.task_may_move, checks.key_is_new, checks.input_is_new
    ),
    Granted: _of_the_owner(
        effects.grant,
        checks.task_may_move,
        checks.attempt_is_next,
        checks.bytes_are_asked,
        checks.gang_is_whole,
        checks.devices_are_known,
        checks.devices_are_of_one_host,
        checks.devices_suit,
        checks.devices_are_chosen,
        checks.devices_are_healthy,
        checks.devices_admit,
        checks.bytes_fit,
        checks.slots_are_free,
    ),
    Started: _of_anyone(
        effects.start, checks.task_may_move, checks.attempt_is_live, checks.leased_devices_are_healthy
    ),
    Renewed: _of_anyone(
        effects.renew, checks.task_may_move, checks.attempt_is_live, checks.agent_holds_lease
    ),
    Ended: _of_anyone(
        effects.end, checks.attempt_is_live, checks.agent_holds_lease, checks.outcome_is_possible
    ),
    Reclaiming: _of_the_owner(
        effects.reclaim, checks.task_may_move, checks.attempt_is_live, checks.cause_is_true
    ),
    Released: _of_anyone(
        effects.release,
        checks.owner_confirms,
        checks.attempt_is_live,
        checks.lease_is_over,
        checks.end_is_confirmed,
    ),
    Rejected: _of_the_owner(effects.reject, checks.task_may_move, checks.input_is_new),
    CancelRequested: _of_the_owner(effects.cancel, checks.task_may_move),
    DeadlinePassed: _of_the_owner(effects.expire, checks.task_may_move, checks.deadline_is_over),
    Tick: _of_the_owner(effects.tick, checks.time_moves_on),
    PolicyChanged: _of_the_owner(effects.change_policy),
    Snapshot: _rule(effects.nothing),
}
"""Who may write a record shows in its rule: the domain's owner, or anyone who knows the live attempt."""


def without(record: type, check: str, rules: Rules = RULES) -> Rules:
    """The rules less one check, for the tests that show that none is idle.

    Raises
    ------
    KeyError
        When there is no such check.
    """
    rule = rules[record]
    left = tuple((name, asked) for name, asked in rule.checks if name != check)
    if len(left) == len(rule.checks):
        raise KeyError(f"{record.__name__} has no check {check}")
    return {**rules, record: Rule(left, rule.effect)}
