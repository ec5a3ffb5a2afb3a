"""All devices of a host with their health, from look to look: a pure fold over inventories and probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.discovery.health import DeviceHealth, Sign, observed, probed, signs_of
from orchestrator.discovery.inventory import Device, Instance, Inventory
from orchestrator.discovery.probe import CudaReport
from orchestrator.discovery.visible import VARIABLE, Visible

VANISHED = "the driver does not list it any more"
HIDDEN = (f"hidden by {VARIABLE}",)


@dataclass(frozen=True, slots=True)
class Seen:
    """A device as it was last seen, and its health now.

    Attributes
    ----------
    instance
        When this is a MIG instance; ``device`` is then the GPU that it is cut from.
    cuda_ordinal
        None when CUDA does not show it to us, or has not been asked yet.
    """

    device: Device
    health: DeviceHealth = field(default_factory=DeviceHealth)
    instance: Instance | None = None
    cuda_ordinal: int | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """Every device that was ever seen, by its uuid; one that has no uuid cannot be followed."""

    seen: Mapping[str, Seen] = field(default_factory=dict)

    @property
    def wants_probe(self) -> bool:
        """Whether a device waits for a probe to become healthy."""
        return any(seen.health.wants_probe for seen in self.seen.values())


def looked(fleet: Fleet, inventory: Inventory, visible: Visible | None = None) -> Fleet:
    """The fleet after one more look.

    Parameters
    ----------
    visible
        What we may use; devices outside of it stay unknown. All when absent.
    """
    now = _identified(fleet, inventory)
    usable = None if visible is None else frozenset(visible.usable)
    everything = dict(fleet.seen)
    for uuid, fresh in now.items():
        before = fleet.seen.get(uuid, fresh)
        health = _health(before.health, fresh.device)
        # A silent device is hidden from nobody: it is absent from the list of the usable for another reason.
        if usable is not None and uuid not in usable and not fresh.device.problem:
            health = DeviceHealth(reasons=HIDDEN)
        readable = before.device if fresh.device.problem else fresh.device
        everything[uuid] = replace(
            before, device=readable, instance=fresh.instance or before.instance, health=health
        )
    gone = Sign("silent", inventory.absence or VANISHED)
    for uuid in fleet.seen.keys() - now.keys():
        before = fleet.seen[uuid]
        everything[uuid] = replace(before, health=observed(before.health, [gone]))
    return Fleet(everything)


def tried(fleet: Fleet, report: CudaReport) -> Fleet:
    """The fleet after a probe of everything that we may use."""
    return Fleet({uuid: _tried(uuid, seen, report) for uuid, seen in fleet.seen.items()})


def _health(before: DeviceHealth, device: Device) -> DeviceHealth:
    vitals = before.vitals if device.problem else device.vitals
    return observed(before, signs_of(device, before.vitals), vitals)


def _tried(uuid: str, seen: Seen, report: CudaReport) -> Seen:
    found = report.of(uuid)
    ordinal = None if found is None or found.problem else found.cuda_ordinal
    seen = replace(seen, cuda_ordinal=ordinal)
    if not seen.health.wants_probe:
        return seen
    problem = (report.problem or "CUDA does not show it") if found is None else found.problem
    return replace(seen, health=probed(seen.health, problem))


def _identified(fleet: Fleet, inventory: Inventory) -> dict[str, Seen]:
    """Whatever can be computed on, by uuid: whole GPUs, and instances instead of the GPUs cut into them."""
    found: dict[str, Seen] = {}
    for device in inventory.devices:
        instances = device.instances
        if device.problem:  # then its instances are in trouble, as far as we know them
            known = [s.instance for s in fleet.seen.values() if s.device.gpu_uuid == device.gpu_uuid]
            instances = tuple(instance for instance in known if instance is not None)
        for instance in instances:
            if instance.gpu_uuid:
                found[instance.gpu_uuid] = Seen(device, instance=instance)
        if device.gpu_uuid and not instances and not device.mig:
            found[device.gpu_uuid] = Seen(device)
    return found
