"""``CUDA_VISIBLE_DEVICES`` by CUDA's own rules, as a pure function.

The rules, from NVIDIA's CUDA programming guide and MIG user guide and, where those are silent, as torch reads
the variable (which a test holds this module to):

- absent: all devices; empty: none
- the first entry decides what the list is of: indexes, ``GPU-`` uuids or ``MIG-`` uuids
- an entry that is invalid, of another kind, out of range or an ambiguous prefix cuts the list there
- the same entry or the same device twice makes the list empty
- an index is read as C's ``strtoul`` does: ``1gpu`` is 1, `` 2`` is 2, ``-1`` is out of range
- a process computes on one MIG instance only: the first; an index of a GPU in MIG mode means its first
  instance, and where such a device is visible no other one is
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.discovery.inventory import Device, Inventory

VARIABLE = "CUDA_VISIBLE_DEVICES"
ORDER_VARIABLE = "CUDA_DEVICE_ORDER"


@dataclass(frozen=True, slots=True)
class Visible:
    """What CUDA shows to a process.

    Attributes
    ----------
    gpu_uuids
        By CUDA ordinal: the first is ``cuda:0``.
    usable
        What a process may be given that is shown a part of it: with MIG more than one process sees.
    notes
        What was cut or could not be known, for people.
    """

    gpu_uuids: tuple[str, ...]
    notes: tuple[str, ...] = ()
    usable: tuple[str, ...] = ()


def visible_devices(value: str | None, inventory: Inventory, order: str | None = None) -> Visible:
    """The devices that CUDA shows when the variable has this value.

    Parameters
    ----------
    value
        Of ``CUDA_VISIBLE_DEVICES``; None when it is not set.
    inventory
        Devices without a uuid cannot be told apart and are left out.
    order
        Of ``CUDA_DEVICE_ORDER``. Indexes count in CUDA's order, which is NVML's when this is
        ``PCI_BUS_ID`` or all devices are alike; else the fastest is first, and a note says it is a guess.
    """
    devices = [device for device in inventory.devices if device.gpu_uuid]
    if value is None:
        chosen = Visible(tuple(str(device.gpu_uuid) for device in devices))
    elif value.startswith("GPU-"):
        chosen = _by_prefix(value, "GPU-", [str(device.gpu_uuid) for device in devices])
    elif value.startswith("MIG-"):
        chosen = _by_prefix(
            value, "MIG-", [str(i.gpu_uuid) for d in devices for i in d.instances if i.gpu_uuid]
        )
    else:
        chosen = _by_index(value, devices)
    visible = _one_instance(chosen, devices, every=value is None)
    guessed = value is None or not value.startswith(("GPU-", "MIG-"))
    if guessed and order != "PCI_BUS_ID" and len({device.name for device in devices}) > 1:
        note = f"ordinals are a guess: unlike devices count fastest first unless {ORDER_VARIABLE}=PCI_BUS_ID"
        return replace(visible, notes=(*visible.notes, note))
    return visible


def _by_index(value: str, devices: Sequence[Device]) -> Visible:
    entries = [_strtoul(entry) for entry in value.split(",")]
    valid: list[int] = []
    for index in entries:
        if index in valid:
            return Visible((), (f"{VARIABLE}={value}: {index} twice, so CUDA shows none",))
        if index < 0:
            break
        valid.append(index)
    inside = next((i for i, index in enumerate(valid) if index >= len(devices)), len(valid))
    uuids = tuple(str(devices[index].gpu_uuid) for index in valid[:inside])
    return Visible(uuids, _cut_note(value, inside))


def _by_prefix(value: str, kind: str, uuids: Sequence[str]) -> Visible:
    entries = value.split(",")
    same_kind = next((i for i, entry in enumerate(entries) if not entry.startswith(kind)), len(entries))
    # Up to the first entry of another kind nothing may be there twice, known or not.
    repeated = next((e for i, e in enumerate(entries[:same_kind]) if e in entries[:i]), None)
    found: list[str] = []
    for entry in () if repeated else entries[:same_kind]:
        matches = [uuid for uuid in uuids if uuid.startswith(entry)]
        if len(matches) != 1:
            break
        if matches[0] in found:
            repeated = entry
            break
        found.append(matches[0])
    if repeated:
        return Visible((), (f"{VARIABLE}: {repeated} names a device twice, so CUDA shows none",))
    return Visible(tuple(found), _cut_note(value, len(found)))


def _cut_note(value: str, kept: int) -> tuple[str, ...]:
    entries = value.split(",")
    if kept == len(entries):
        return ()
    if not value.strip():
        return (f"{VARIABLE} is empty, so CUDA shows none",)
    rest = f"only the {kept} before it" if kept else "none"
    return (f"{VARIABLE}: {entries[kept].strip()!r} is no device here, so CUDA shows {rest}",)


def _one_instance(chosen: Visible, devices: Sequence[Device], *, every: bool) -> Visible:
    """With MIG a process sees one instance and nothing else.

    Parameters
    ----------
    every
        Whether a GPU in MIG mode stands for all its instances, not for its first.
    """
    cut = {d.gpu_uuid: [str(i.gpu_uuid) for i in d.instances if i.gpu_uuid] for d in devices if d.mig}
    instances = [uuid for uuids in cut.values() for uuid in uuids]
    usable: list[str] = []
    for uuid in chosen.gpu_uuids:
        usable += cut[uuid][: None if every else 1] if uuid in cut else [uuid]
    only = next((uuid for uuid in usable if uuid in instances), None)
    notes = chosen.notes
    if any(not cut.get(uuid, [uuid]) for uuid in chosen.gpu_uuids):
        notes = (*notes, "a GPU in MIG mode without instances cannot compute")
    if only is None:
        return Visible(tuple(usable), notes, tuple(usable))
    if len(usable) > 1:
        notes = (*notes, "with MIG, CUDA shows a process one instance and nothing else")
    return Visible((only,), notes, tuple(usable))


def _strtoul(entry: str) -> int:
    """The number that the entry begins with, -1 where it begins with none."""
    match = re.match(r"[+-]?\d+", entry.strip())
    return int(match[0]) if match else -1
