"""What `tapestream doctor` looks at: each check is a function of facts, which it is given or asks for.

A check never raises: trouble is its answer, with what to do about it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orchestrator import discovery
from schemas.errors import BrokerStartError, BrokerUnavailable, SettingsError, TapestreamError
from schemas.kill_switch import SWITCH, kill_allowed
from schemas.settings import Settings, load_settings
from streams import admin, clients
from streams.broker import java
from tapestream.shadows import ROOT, Shadow, find_shadow

Status = Literal["ok", "warn", "fail"]

PYTHONS = ((3, 11), (3, 13))
GIB = 1 << 30
BROKER_PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the report: what was looked at, how it is, what was found, and what to do about it."""

    name: str
    status: Status
    found: str
    remedy: str = ""


async def examine() -> list[Check]:
    """All checks on this machine, in the order of the report."""
    checks = [check_python(), check_packages(), check_folders(), check_java()]
    try:
        settings = load_settings()
    except SettingsError as exc:
        unread = Check("settings", "fail", exc.problem, exc.remedy)
        return [*checks, unread, check_gpu(), check_kill_switch(os.environ), check_memory()]
    broker = await check_broker(settings)
    checks += [Check("settings", "ok", described(settings)), broker]
    if broker.status == "ok":
        checks.append(await check_topics(settings))
    return [
        *checks,
        check_gpu(),
        check_kill_switch(os.environ),
        check_disk(settings.data_dir),
        check_memory(),
    ]


def described(settings: Settings) -> str:
    """The settings that were given, passwords hidden."""
    given = [f"{name}={getattr(settings, name)}" for name in sorted(settings.model_fields_set)]
    return ", ".join(given) or "all at their defaults"


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Whether this Python is one that the pins are resolved for."""
    found = ".".join(str(part) for part in version)
    if PYTHONS[0] <= version[:2] <= PYTHONS[1]:
        return Check("python", "ok", found)
    return Check("python", "fail", found, "make setup PYTHON=python3.12, or any of 3.11 to 3.13")


def check_packages(
    required: Iterable[str] | None = None,
    pins: Mapping[str, str] | None = None,
    version_of: Callable[[str], str] = metadata.version,
) -> Check:
    """Whether what we depend on is installed, and as pinned.

    Parameters
    ----------
    required
        Requirement lines; the ones of the installed Tapestream when absent.
    pins
        Package to version; the ones of ``constraints.txt`` when absent.
    version_of
        The version that is installed; raises PackageNotFoundError when none is.
    """
    required = metadata.requires("tapestream") or [] if required is None else required
    pins = read_pins(ROOT / "constraints.txt") if pins is None else pins
    names = [
        need.name
        for need in map(Requirement, required)
        if need.marker is None or need.marker.evaluate({"extra": ""})
    ]
    missing, other = [], []
    for name in names:
        pin = pins.get(canonicalize_name(name))
        try:
            installed = version_of(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if pin not in (None, installed):
            other.append(f"{name} {installed} (pinned {pin})")
    if missing:
        return Check("packages", "fail", f"missing: {', '.join(missing)}", "make setup")
    if other:
        return Check(
            "packages", "warn", ", ".join(other), "make setup installs the versions that were tested"
        )
    return Check("packages", "ok", f"{len(names)} installed" + (" as pinned" if pins else ", no pins here"))


def read_pins(path: Path) -> dict[str, str]:
    """Package to version of a constraints file, for this Python and system; empty without the file."""
    if not path.is_file():
        return {}
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    needs = [Requirement(line) for line in lines if line]
    here = [need for need in needs if need.marker is None or need.marker.evaluate()]
    return {canonicalize_name(need.name): str(need.specifier).removeprefix("==") for need in here}


def check_folders(find: Callable[[], Shadow | None] = find_shadow) -> Check:
    """Whether our top-level folders are what Python imports under their names."""
    shadow = find()
    if shadow is None:
        return Check("folders", "ok", f"ours, in {ROOT}")
    return Check("folders", "fail" if shadow.wins else "warn", shadow.problem, shadow.remedy)


def check_java(find: Callable[[], Path] = java.find_java) -> Check:
    """Whether there is a Java for the embedded broker."""
    try:
        path = find()
    except BrokerStartError as exc:
        return Check("java", "fail", exc.problem, exc.remedy)
    version = java.version_of(path)
    if version is None:
        return Check("java", "fail", f"{path} does not run", "make setup, or install Java 17 or newer")
    return Check("java", "ok", f"{version}, {path}")


async def check_broker(settings: Settings, patience_s: float = BROKER_PATIENCE_S) -> Check:
    """Whether the broker of the settings answers; one that nobody named may well not run yet."""
    try:
        await clients.wait_for_broker(settings, patience_s)
    except BrokerUnavailable as exc:
        if "broker" in settings.model_fields_set:
            return Check("broker", "fail", exc.problem, exc.remedy)
        return Check(
            "broker", "warn", f"none at {settings.broker}", "`tapestream up` and `demo` start one themselves"
        )
    except TapestreamError as exc:
        return Check("broker", "fail", exc.problem, exc.remedy)
    return Check("broker", "ok", f"answers at {settings.broker}")


async def check_topics(settings: Settings) -> Check:
    """Whether the topics are as the table of topics declares them."""
    try:
        states = await admin.describe(settings)
    except TapestreamError as exc:
        return Check("topics", "fail", exc.problem, exc.remedy)
    if not any(state.partitions for state in states):
        return Check(
            "topics", "warn", "none yet", "`tapestream topics create`; `up` and `demo` do it themselves"
        )
    found = admin.differences(settings, states)
    if not found:
        return Check("topics", "ok", f"{len(states)} as declared")
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return Check("topics", "fail", f"{found[0]}{more}", found[0].remedy)


def check_gpu(take_inventory: Callable[[], discovery.Inventory] = discovery.take_inventory) -> Check:
    """What the NVIDIA driver lists; a machine without a GPU is a good machine."""
    inventory = take_inventory()
    if not inventory.devices:
        return Check("gpu", "ok", f"none, so everything runs on the CPU ({inventory.absence})")
    shown = []
    for device in inventory.devices:
        size = f" {device.memory_bytes / GIB:.0f} GiB" if device.memory_bytes else ""
        trouble = f" ({device.problem})" if device.problem else ""
        shown.append(
            f"{device.nvml_index}: {device.name or 'unnamed'}{size}{' MIG' if device.mig else ''}{trouble}"
        )
    found = f"{'; '.join(shown)}; driver {inventory.driver or 'unknown'}"
    if any(device.problem for device in inventory.devices):
        return Check(
            "gpu", "warn", found, "`tapestream gpus` says more; nothing is sent to a device in trouble"
        )
    return Check("gpu", "ok", found)


def check_kill_switch(environment: Mapping[str, str]) -> Check:
    """Whether the memory guard may end processes, and whether the switch for it can be read at all."""
    try:
        on = kill_allowed(environment.get(SWITCH))
    except SettingsError as exc:
        return Check("process kill", "fail", exc.problem, exc.remedy)
    found = "on: the memory guard may end children of ours" if on else "off: nothing is ever signalled"
    return Check("process kill", "ok", found)


def check_disk(folder: Path, free_bytes: int | None = None) -> Check:
    """Whether the data folder's disk has room for a log."""
    place = next(part for part in (folder.absolute(), *folder.absolute().parents) if part.exists())
    if not place.is_dir():
        return Check("disk", "fail", f"{place} is no folder", "set TAPESTREAM_DATA_DIR to a folder")
    free = shutil.disk_usage(place).free if free_bytes is None else free_bytes
    remedy = "free some space, or set TAPESTREAM_DATA_DIR to a folder on a larger disk"
    return _amount("disk", free, f"free for {folder}", remedy, fail_below=1 * GIB, warn_below=10 * GIB)


def check_memory(available_bytes: int | None = None) -> Check:
    """Whether broker, worker and market fit into memory beside what runs already."""
    free = psutil.virtual_memory().available if available_bytes is None else available_bytes
    return _amount("memory", free, "available", "end other programs", fail_below=1 * GIB, warn_below=3 * GIB)


def _amount(name: str, free: int, what: str, remedy: str, *, fail_below: int, warn_below: int) -> Check:
    found = f"{free / GIB:.1f} GiB {what}"
    if free >= warn_below:
        return Check(name, "ok", found)
    return Check(name, "fail" if free < fail_below else "warn", found, remedy)
