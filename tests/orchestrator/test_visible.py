"""CUDA_VISIBLE_DEVICES, held to the rules one by one and to torch's own reading of them."""

from __future__ import annotations

import os
from unittest import mock

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import assume, given

from orchestrator.discovery import Device, Instance, Inventory, Visible, visible_devices

A, B, C = "GPU-aaaa1111-0000", "GPU-aaaa2222-0000", "GPU-bbbb3333-0000"
THREE = Inventory(tuple(Device(uuid, index, "H100") for index, uuid in enumerate((A, B, C))))
M1, M2, M3 = "MIG-1111-aa", "MIG-1112-bb", "MIG-2222-cc"
SPLIT = Inventory(
    (
        Device(A, 0, "H100"),
        Device(B, 1, "H100", mig=True, instances=(Instance(M1, 0), Instance(M2, 1))),
        Device(C, 2, "H100", mig=True, instances=(Instance(M3, 0),)),
    )
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, (A, B, C)),
        ("", ()),
        (" ", ()),
        ("-1", ()),
        ("0", (A,)),
        ("2,0", (C, A)),
        (" 1 , 2", (B, C)),
        ("+1", (B,)),
        ("1gpu,2x", (B, C)),
        ("0,-1,1", (A,)),
        ("0,,1", (A,)),
        ("0,7,1", (A,)),
        ("x,0", ()),
        ("0,x,1", (A,)),
        ("0,0", ()),
        ("0,1,0", ()),
        ("0,GPU-bbbb", (A,)),
        ("0,-1,0", (A,)),
        (A, (A,)),
        (f"{C},{A}", (C, A)),
        ("GPU-b", (C,)),
        ("GPU-aaaa2,GPU-b", (B, C)),
        ("GPU-aaaa", ()),
        ("GPU-b,GPU-aaaa", (C,)),
        ("GPU-b,GPU-9999,GPU-aaaa1", (C,)),
        ("GPU-b,GPU-b", ()),
        ("GPU-b,GPU-bb", ()),
        ("GPU-b,0", (C,)),
        ("gpu-b", ()),
    ],
)
def test_indexes_and_uuids_follow_cudas_rules(value: str | None, shown: tuple[str, ...]) -> None:
    assert visible_devices(value, THREE).gpu_uuids == shown


@pytest.mark.parametrize(
    ("value", "shown", "usable"),
    [
        (None, (M1,), (A, M1, M2, M3)),
        ("0", (A,), (A,)),
        ("1", (M1,), (M1,)),
        ("0,2", (M3,), (A, M3)),
        (M2, (M2,), (M2,)),
        ("MIG-1112", (M2,), (M2,)),
        ("MIG-111", (), ()),
        (f"{M3},{M1}", (M3,), (M3, M1)),
        (f"{M3},{M3}", (), ()),
        (f"{M3},{A}", (M3,), (M3,)),
        (f"{A},{M1}", (A,), (A,)),
    ],
)
def test_a_process_sees_one_instance_and_others_may_be_given_to_others(
    value: str | None, shown: tuple[str, ...], usable: tuple[str, ...]
) -> None:
    visible = visible_devices(value, SPLIT)
    assert (visible.gpu_uuids, visible.usable) == (shown, usable)


def test_a_split_gpu_without_instances_is_not_usable() -> None:
    empty = Inventory((Device(A, 0, "H100"), Device(B, 1, "H100", mig=True)))
    assert visible_devices(None, empty) == Visible(
        (A,), ("a GPU in MIG mode without instances cannot compute",), (A,)
    )


@pytest.mark.parametrize(
    ("value", "note"),
    [
        ("", "CUDA_VISIBLE_DEVICES is empty, so CUDA shows none"),
        ("0,9,1", "CUDA_VISIBLE_DEVICES: '9' is no device here, so CUDA shows only the 1 before it"),
        ("GPU-c", "CUDA_VISIBLE_DEVICES: 'GPU-c' is no device here, so CUDA shows none"),
        ("1,1", "CUDA_VISIBLE_DEVICES=1,1: 1 twice, so CUDA shows none"),
        ("GPU-b,GPU-bb", "CUDA_VISIBLE_DEVICES: GPU-bb names a device twice, so CUDA shows none"),
    ],
)
def test_what_is_cut_is_said(value: str, note: str) -> None:
    assert visible_devices(value, THREE).notes == (note,)


def test_ordinals_of_unlike_devices_are_a_guess_without_the_bus_order() -> None:
    unlike = Inventory((Device(A, 0, "T4"), Device(B, 1, "H100")))
    note = "ordinals are a guess: unlike devices count fastest first unless CUDA_DEVICE_ORDER=PCI_BUS_ID"
    assert visible_devices("1", unlike).notes == (note,)
    assert visible_devices("1", unlike, "PCI_BUS_ID").notes == ()
    assert visible_devices(B, unlike).notes == ()


UUIDS = st.lists(
    st.text("ab1", min_size=1, max_size=4).map(lambda text: f"GPU-{text}-x"), unique=True, max_size=4
)


def lists_of(uuids: list[str]) -> st.SearchStrategy[str]:
    prefixes = st.sampled_from(uuids or ["GPU-q"]).flatmap(
        lambda uuid: st.integers(4, len(uuid)).map(lambda n: uuid[:n])
    )
    odd = st.sampled_from(["", " ", "-1", "x", "1x", "GPU-", "GPU-zz", "MIG-a", "9" * 20, "-", "2-"])
    entry = st.one_of(prefixes, st.integers(-2, 5).map(str), st.integers(0, 3).map(" {} ".format), odd)
    return st.lists(entry, max_size=5).map(",".join)


def torchs(value: str, uuids: list[str]) -> tuple[str, ...]:
    """What torch makes of the variable, out of its own parts (its whole asks the driver)."""
    with mock.patch.dict(os.environ, CUDA_VISIBLE_DEVICES=value):
        entries = torch.cuda._parse_visible_devices()
    if entries and isinstance(entries[0], str):
        ordinals = torch.cuda._transform_uuid_to_ordinals(entries, uuids)
    else:
        cut = next((i for i, index in enumerate(entries) if index >= len(uuids)), len(entries))
        ordinals = entries[:cut]
    return tuple(uuids[ordinal] for ordinal in ordinals)


@given(st.data(), UUIDS)
def test_any_list_is_read_as_torch_reads_it(data: st.DataObject, uuids: list[str]) -> None:
    value = data.draw(lists_of(uuids))
    assume(not value.startswith("MIG-"))  # torch does not read those
    # torch fails on a sign without a number; CUDA, like strtoul, finds none there
    assume(not any(entry.strip() == "-" for entry in value.split(",")))
    assume(not any(entry.strip().startswith("-") and "x" in entry for entry in value.split(",")))
    inventory = Inventory(tuple(Device(uuid, i, "H100") for i, uuid in enumerate(uuids)))
    assert visible_devices(value, inventory).gpu_uuids == torchs(value, uuids)


@given(st.data(), UUIDS)
def test_what_is_shown_is_there_once_and_in_the_lists_order(data: st.DataObject, uuids: list[str]) -> None:
    value = data.draw(lists_of(uuids))
    inventory = Inventory(tuple(Device(uuid, i, "H100") for i, uuid in enumerate(uuids)))
    shown = visible_devices(value, inventory).gpu_uuids
    assert len(set(shown)) == len(shown)
    assert set(shown) <= set(uuids)
    for length in range(len(value.split(","))):  # a shorter list shows a beginning, but for repetitions
        shorter = visible_devices(",".join(value.split(",")[: length + 1]), inventory).gpu_uuids
        assert not shown or shown[: len(shorter)] == shorter[: len(shown)]
