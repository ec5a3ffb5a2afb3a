"""`tapestream gpus`: the devices there are, how they are, and whether CUDA can compute on them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.discovery import CpuPool, CudaReport, Inventory, InventoryReader, Visible
from orchestrator.discovery.cpu import cpu_pool
from orchestrator.discovery.fleet import Fleet, looked, tried
from orchestrator.discovery.probe import probe_usable
from orchestrator.discovery.reports import reports_of
from orchestrator.discovery.visible import ORDER_VARIABLE, VARIABLE, visible_devices
from orchestrator.guard.thresholds import level_at
from schemas import codec
from schemas.devices import DeviceReport

REFRESH_S = 1.0
GIB = 1 << 30
COLOURS = {"HEALTHY": "green", "SUSPECT": "yellow", "UNKNOWN": "yellow", "PROBATION": "yellow"}
LEVEL_COLOURS = {None: "green", "WARN": "yellow", "HIGH": "red", "CRITICAL": "bold red"}
BAR = 8


@dataclass(frozen=True, slots=True)
class View:
    """All that one look shows."""

    inventory: Inventory
    visible: Visible
    cuda: CudaReport | None
    pool: CpuPool
    reports: list[DeviceReport]


def run(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object; with --watch one a line.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every second, until Ctrl-C.")] = False,
    probe: Annotated[
        bool, typer.Option(help="Compute on each GPU once, in a process of its own, to see that it works.")
    ] = True,
) -> None:
    """The GPUs, their MIG instances and the CPU's slots: memory, load, health, links, and what hides them.

    What the NVIDIA driver lists is asked in another process, so a driver that hangs is said, not waited for.
    """
    console = Console()
    with closing(InventoryReader()) as reader:
        looks = _Looks(reader.look, probe)
        if as_json:
            _print_json(looks, watch)
        elif not watch:
            console.print(shown(looks.take()))
        else:
            with Live(console=console, auto_refresh=False) as live:
                while True:
                    live.update(shown(looks.take()), refresh=True)
                    time.sleep(REFRESH_S)


def _print_json(looks: _Looks, watch: bool) -> None:
    while True:
        typer.echo(codec.dumps(report(looks.take())).decode())
        if not watch:
            return
        time.sleep(REFRESH_S)


class _Looks:
    """Look after look, with the health that they add up to; the probe is made with the first."""

    def __init__(self, look: Callable[[], Inventory], probe: bool) -> None:
        self._look = look
        self._probe = probe
        self._fleet = Fleet()
        self._cuda: CudaReport | None = None

    def take(self) -> View:
        inventory = self._look()
        visible = visible_devices(os.environ.get(VARIABLE), inventory, os.environ.get(ORDER_VARIABLE))
        self._fleet = looked(self._fleet, inventory, visible)
        if self._probe and (self._cuda is None or self._fleet.wants_probe):
            self._cuda = probe_usable(visible, os.environ)
            self._fleet = tried(self._fleet, self._cuda)
        pool, host = cpu_pool(), socket.gethostname()
        reports = reports_of(self._fleet, pool, host=host, own_pids=frozenset(), at_ns=time.time_ns())
        return View(inventory, visible, self._cuda, pool, reports)


def report(view: View) -> dict[str, Any]:
    """The answer for programs."""
    return {
        "driver": view.inventory.driver,
        "absence": view.inventory.absence,
        "devices": [report.model_dump(mode="json") for report in view.reports],
        "inventory": [asdict(device) for device in view.inventory.devices],
        "links": [asdict(link) for link in view.inventory.links],
        "cuda_visible": asdict(view.visible),
        "cuda": None if view.cuda is None else asdict(view.cuda),
    }


def shown(view: View) -> RenderableType:
    """The answer for people."""
    notes = [Text(f"- {note}", style="dim") for note in _notes(view)]
    links = [Text("links: ", style="dim").append(line) for line in _links(view.inventory)]
    return Group(Text(_headline(view), style="bold"), _table(view), *links, *notes)


def _headline(view: View) -> str:
    count = sum(report.kind != "cpu" for report in view.reports)
    if not count:
        return f"no GPU, so everything runs on the CPU: {view.inventory.absence or 'none has a uuid'}"
    usable = sum(report.kind != "cpu" and report.health == "HEALTHY" for report in view.reports)
    unprobed = " (not probed)" if view.cuda is None else ""
    driver = view.inventory.driver or "unknown"
    return f"{count} GPU device{'s' * (count > 1)}, {usable} healthy{unprobed}; NVIDIA driver {driver}"


def _table(view: View) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("nvml", "cuda"):
        table.add_column(column, justify="right")
    table.add_column("device", overflow="fold")
    table.add_column("health", overflow="fold", min_width=len("QUARANTINED:"))
    for column in ("memory", "used", "load", "°C", "W", "procs"):
        table.add_column(column, justify="right", no_wrap=True)
    for report in view.reports:
        table.add_row(*_cells(report))
    unread = (device for device in view.inventory.devices if device.gpu_uuid is None)
    for device in unread:
        why = Text(f"unreadable: {device.problem or 'no uuid'}", style="red")
        table.add_row(str(device.nvml_index), "-", device.name or "?", why)
    return table


def _cells(report: DeviceReport) -> list[str | Text]:
    colour = COLOURS.get(report.health, "bold red")
    why = f": {'; '.join(report.reasons)}" if report.reasons else ""
    named = Text(report.name or "unnamed").append(f"\n{report.gpu_uuid}", style="dim")
    return [
        _or_dash(report.nvml_index, "{}"),
        _or_dash(report.cuda_ordinal, "{}"),
        named,
        Text(f"{report.health}{why}", style=colour),
        _or_dash(report.memory_bytes, "{:.1f} GiB", GIB),
        _bar(report),
        _or_dash(report.utilisation, "{:.0%}"),
        _or_dash(report.temperature_c, "{:.0f}"),
        _or_dash(report.power_w, "{:.0f}"),
        _or_dash(report.processes, "{}"),
    ]


def _bar(report: DeviceReport) -> Text:
    if not report.memory_bytes or report.free_bytes is None:
        return Text("-")
    share = 1 - report.free_bytes / report.memory_bytes
    full = round(share * BAR)
    level = level_at(share)
    bar = Text("█" * full, style=LEVEL_COLOURS[level]).append("░" * (BAR - full), style="dim")
    return bar.append(f" {share:4.0%}").append(f" {level}" if level else "", style=LEVEL_COLOURS[level])


def _or_dash(value: float | None, form: str, unit: float = 1) -> str:
    return "-" if value is None else form.format(value / unit if unit != 1 else value)


def _links(inventory: Inventory) -> list[str]:
    lines = []
    for link in inventory.links:
        ways = [f"{link.nvlinks} × NVLink"] if link.nvlinks else []
        ways += [f"PCIe through {link.path}"] if link.path else []
        if ways:
            lines.append(f"{link.nvml_index} – {link.other_index}: {', '.join(ways)}")
    return lines


def _notes(view: View) -> list[str]:
    notes = list(view.visible.notes)
    if view.cuda is not None and view.cuda.problem and view.inventory.devices:
        notes.append(f"CUDA: {view.cuda.problem}")
    listed = {report.gpu_uuid for report in view.reports}
    unlisted = [d for d in view.cuda.devices if not any(map(d.is_, listed))] if view.cuda else []
    notes += [f"cuda:{d.cuda_ordinal} ({d.name}) is shown by CUDA, not by the driver" for d in unlisted]
    if view.pool.limited_by:
        notes.append(f"the CPU pool is smaller than the machine, by {view.pool.limited_by}")
    return notes
