"""Partitions shared in proportion to capacity, each once, and few of them moved."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import faust
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.faust_assignor import CapacityMetadata, assignor
from agents.shares import counts, share

MEMBERS = st.dictionaries(
    st.sampled_from("abcde"), st.sampled_from([0.25, 1.0, 1.5, 2.0, 3.0, 8.0]), min_size=1, max_size=5
)
PARTITIONS = st.integers(0, 12)


@pytest.mark.parametrize(
    ("partitions", "capacities", "wanted"),
    [
        (8, {"a": 1.0, "b": 1.0}, {"a": 4, "b": 4}),
        (8, {"a": 1.0, "b": 3.0}, {"a": 2, "b": 6}),
        (8, {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 3, "b": 3, "c": 2}),
        (8, {"cpu": 0.1, "gpu": 4.0}, {"cpu": 0, "gpu": 8}),
        (2, {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1, "b": 1, "c": 0}),
    ],
)
def test_partitions_go_by_capacity(partitions, capacities, wanted):
    assert counts(partitions, capacities) == wanted


@given(st.integers(0, 7), st.lists(st.sampled_from([0.25, 1.0, 1.5, 4.0]), min_size=1, max_size=3))
def test_no_other_sharing_has_a_smaller_largest_load(partitions, capacities):
    members = dict(enumerate_names(capacities))
    ours = counts(partitions, members)
    every = product(range(partitions + 1), repeat=len(capacities))
    loads = [
        max(n / c for n, c in zip(split, capacities, strict=True))
        for split in every
        if sum(split) == partitions
    ]
    assert max(ours[name] / capacity for name, capacity in members.items()) == min(loads)


def enumerate_names(capacities):
    return ((f"m{number}", capacity) for number, capacity in enumerate(capacities))


@given(PARTITIONS, MEMBERS, st.dictionaries(st.sampled_from("abcdef"), st.sets(st.integers(0, 15))))
def test_each_partition_has_one_member_whatever_was_held(partitions, capacities, held):
    shares = share(range(partitions), capacities, held)
    assert sorted(p for mine in shares.values() for p in mine) == list(range(partitions))
    assert set(shares) == set(capacities)


@given(PARTITIONS, MEMBERS)
def test_a_group_that_stays_the_same_moves_nothing(partitions, capacities):
    before = share(range(partitions), capacities, {})
    assert share(range(partitions), capacities, before) == before


@given(PARTITIONS, MEMBERS, st.sampled_from("abcde"))
def test_a_member_that_leaves_moves_only_its_own_partitions(partitions, capacities, leaver):
    before = share(range(partitions), capacities, {})
    rest = {member: capacity for member, capacity in capacities.items() if member != leaver}
    if not rest:
        return
    after = share(range(partitions), rest, before)
    assert all(set(before[member]) <= set(after[member]) for member in rest)


def new_assignor(capacity):
    app = faust.App(
        "shares", broker="kafka://localhost:1", autodiscover=False, PartitionAssignor=assignor(capacity)
    )
    return app.assignor


def test_faust_shares_out_by_what_the_members_say():
    small, large = new_assignor(1.0), new_assignor(3.0)
    said = {"small": small.metadata({"ticks"}), "large": large.metadata({"ticks"})}
    cluster = SimpleNamespace(partitions_for_topic=lambda topic: set(range(8)) if topic == "ticks" else None)
    answers = large.assign(cluster, said)
    assert {member: len(answer.assignment[0][1]) for member, answer in answers.items()} == {
        "small": 2,
        "large": 6,
    }
    for member, one in (("small", small), ("large", large)):
        one.on_assignment(answers[member])
        assert {tp.partition for tp in one.assigned_actives()} == set(answers[member].assignment[0][1])


def test_a_member_of_a_version_without_capacities_counts_as_one():
    old = CapacityMetadata.loads(
        b'{"assignment": {"actives": {}, "standbys": {}}, "url": "http://old", "changelog_distribution": {}}'
    )
    assert old.capacity == 1.0
