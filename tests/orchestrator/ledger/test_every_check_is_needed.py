"""The mutation guard: no check of the fold is idle. Without it a named invariant breaks in a small world."""

import pytest

from orchestrator.ledger import RULES
from orchestrator.ledger.rules import without
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
    Started,
    TaskAccepted,
    Tick,
)
from tests.orchestrator.ledger import worlds

KILLERS = {
    (OwnerClaimed, "domain_is_ours"): (worlds.owners, "stale_owner_or_epoch_has_no_effect"),
    (OwnerClaimed, "epoch_is_next"): (worlds.owners, "stale_owner_or_epoch_has_no_effect"),
    (DeviceSeen, "domain_is_ours"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (DeviceSeen, "owner_is_current"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (DeviceSeen, "epoch_is_current"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (DeviceSeen, "device_is_new"): (worlds.entries, "devices_are_entered_once"),
    (HealthChanged, "domain_is_ours"): (worlds.health, "stale_owner_or_epoch_has_no_effect"),
    (HealthChanged, "owner_is_current"): (worlds.health, "stale_owner_or_epoch_has_no_effect"),
    (HealthChanged, "epoch_is_current"): (worlds.health, "stale_owner_or_epoch_has_no_effect"),
    (HealthChanged, "device_is_known"): (worlds.entries, "the_fold_never_raises"),
    (HealthChanged, "health_may_move"): (worlds.health, "devices_move_as_the_design_says"),
    (CapacityMeasured, "domain_is_ours"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (CapacityMeasured, "owner_is_current"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (CapacityMeasured, "epoch_is_current"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (CapacityMeasured, "device_is_known"): (worlds.entries, "the_fold_never_raises"),
    (CapacityMeasured, "measurement_is_newer"): (worlds.entries, "time_never_goes_back"),
    (CapacityMeasured, "capacity_covers_charges"): (worlds.entries, "never_over_capacity"),
    (AdmissionChanged, "domain_is_ours"): (worlds.low_memory, "stale_owner_or_epoch_has_no_effect"),
    (AdmissionChanged, "owner_is_current"): (worlds.low_memory, "stale_owner_or_epoch_has_no_effect"),
    (AdmissionChanged, "epoch_is_current"): (worlds.low_memory, "stale_owner_or_epoch_has_no_effect"),
    (AdmissionChanged, "device_is_known"): (worlds.low_memory, "the_fold_never_raises"),
    (TaskAccepted, "domain_is_ours"): (worlds.owners, "stale_owner_or_epoch_has_no_effect"),
    (TaskAccepted, "owner_is_current"): (worlds.owners, "stale_owner_or_epoch_has_no_effect"),
    (TaskAccepted, "epoch_is_current"): (worlds.owners, "stale_owner_or_epoch_has_no_effect"),
    (TaskAccepted, "task_may_move"): (worlds.owners, "duplicates_are_no_ops"),
    (TaskAccepted, "key_is_new"): (worlds.entries, "requests_count_once"),
    (TaskAccepted, "input_is_new"): (worlds.entries, "requests_count_once"),
    (Granted, "domain_is_ours"): (worlds.owners, "stale_owner_or_epoch_has_no_effect"),
    (Granted, "owner_is_current"): (worlds.owners, "stale_owner_or_epoch_has_no_effect"),
    (Granted, "epoch_is_current"): (worlds.owners, "stale_owner_or_epoch_has_no_effect"),
    (Granted, "task_may_move"): (worlds.owners, "the_fold_never_raises"),
    (Granted, "attempt_is_next"): (worlds.expiry, "one_live_attempt_a_task"),
    (Granted, "bytes_are_asked"): (worlds.retries, "retry_bytes_fall_strictly"),
    (Granted, "gang_is_whole"): (worlds.gangs, "gangs_are_whole"),
    (Granted, "devices_are_known"): (worlds.gangs, "the_fold_never_raises"),
    (Granted, "devices_are_of_one_host"): (worlds.gangs, "gangs_are_whole"),
    (Granted, "devices_suit"): (worlds.gangs, "tasks_run_where_they_may"),
    (Granted, "devices_are_chosen"): (worlds.gangs, "tasks_run_where_they_may"),
    (Granted, "devices_are_healthy"): (worlds.health, "nothing_starts_on_a_sick_device"),
    (Granted, "devices_admit"): (worlds.low_memory, "nothing_is_granted_where_admission_is_stopped"),
    (Granted, "bytes_fit"): (worlds.owners, "never_over_capacity"),
    (Granted, "slots_are_free"): (worlds.ends, "never_over_capacity"),
    (Started, "domain_is_ours"): (worlds.owners, "stale_owner_or_epoch_has_no_effect"),
    (Started, "task_may_move"): (worlds.owners, "only_the_holder_speaks"),
    (Started, "attempt_is_live"): (worlds.expiry, "only_the_holder_speaks"),
    (Started, "leased_devices_are_healthy"): (worlds.health, "nothing_starts_on_a_sick_device"),
    (Renewed, "domain_is_ours"): (worlds.retries, "stale_owner_or_epoch_has_no_effect"),
    (Renewed, "task_may_move"): (worlds.retries, "only_the_holder_speaks"),
    (Renewed, "attempt_is_live"): (worlds.retries, "only_the_holder_speaks"),
    (Renewed, "agent_holds_lease"): (worlds.retries, "only_the_holder_speaks"),
    (Ended, "domain_is_ours"): (worlds.owners, "stale_owner_or_epoch_has_no_effect"),
    (Ended, "attempt_is_live"): (worlds.owners, "the_fold_never_raises"),
    (Ended, "agent_holds_lease"): (worlds.retries, "only_the_holder_speaks"),
    (Ended, "outcome_is_possible"): (worlds.owners, "tasks_move_as_the_design_says"),
    (Reclaiming, "domain_is_ours"): (worlds.expiry, "stale_owner_or_epoch_has_no_effect"),
    (Reclaiming, "owner_is_current"): (worlds.expiry, "stale_owner_or_epoch_has_no_effect"),
    (Reclaiming, "epoch_is_current"): (worlds.expiry, "stale_owner_or_epoch_has_no_effect"),
    (Reclaiming, "task_may_move"): (worlds.expiry, "duplicates_are_no_ops"),
    (Reclaiming, "attempt_is_live"): (worlds.expiry, "leases_are_honoured"),
    (Reclaiming, "cause_is_true"): (worlds.retries, "leases_are_honoured"),
    (Released, "domain_is_ours"): (worlds.owners, "stale_owner_or_epoch_has_no_effect"),
    (Released, "owner_confirms"): (worlds.expiry, "stale_owner_or_epoch_has_no_effect"),
    (Released, "attempt_is_live"): (worlds.owners, "the_fold_never_raises"),
    (Released, "lease_is_over"): (worlds.owners, "free_leased_and_reclaiming_make_capacity"),
    (Released, "end_is_confirmed"): (worlds.expiry, "bytes_return_only_when_nothing_runs"),
    (Rejected, "domain_is_ours"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (Rejected, "owner_is_current"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (Rejected, "epoch_is_current"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (Rejected, "task_may_move"): (worlds.retries, "duplicates_are_no_ops"),
    (Rejected, "input_is_new"): (worlds.entries, "requests_count_once"),
    (CancelRequested, "domain_is_ours"): (worlds.ends, "stale_owner_or_epoch_has_no_effect"),
    (CancelRequested, "owner_is_current"): (worlds.ends, "stale_owner_or_epoch_has_no_effect"),
    (CancelRequested, "epoch_is_current"): (worlds.ends, "stale_owner_or_epoch_has_no_effect"),
    (CancelRequested, "task_may_move"): (worlds.ends, "the_fold_never_raises"),
    (DeadlinePassed, "domain_is_ours"): (worlds.ends, "stale_owner_or_epoch_has_no_effect"),
    (DeadlinePassed, "owner_is_current"): (worlds.ends, "stale_owner_or_epoch_has_no_effect"),
    (DeadlinePassed, "epoch_is_current"): (worlds.ends, "stale_owner_or_epoch_has_no_effect"),
    (DeadlinePassed, "task_may_move"): (worlds.ends, "the_fold_never_raises"),
    (DeadlinePassed, "deadline_is_over"): (worlds.ends, "deadlines_are_honoured"),
    (Tick, "domain_is_ours"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (Tick, "owner_is_current"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (Tick, "epoch_is_current"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (Tick, "time_moves_on"): (worlds.entries, "time_never_goes_back"),
    (PolicyChanged, "domain_is_ours"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (PolicyChanged, "owner_is_current"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
    (PolicyChanged, "epoch_is_current"): (worlds.entries, "stale_owner_or_epoch_has_no_effect"),
}
"""(record, check) to the world in which its absence shows, and the first invariant that breaks there."""


def test_every_check_of_every_rule_is_guarded():
    assert set(KILLERS) == {(record, name) for record, rule in RULES.items() for name, _ in rule.checks}


@pytest.mark.parametrize(
    ("record", "check"), KILLERS, ids=lambda value: value if isinstance(value, str) else value.__name__
)
def test_without_the_check_an_invariant_breaks(record, check):
    world, invariant = KILLERS[record, check]
    found = worlds.search(world(), without(record, check), twins=True)
    assert (found.broken, isinstance(found.trail[-1], record)) == (invariant, True)
