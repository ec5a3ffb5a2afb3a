"""Runs ours and the peers by turns on one log, and puts the figures beside each other."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from bench.ingest import send_ticks, ticks_json
from bench.lab import fill, forget_outputs, lab, log_size
from bench.peers import check, ours
from bench.peers.common import Job
from bench.peers.roster import PEERS, Absent, Peer, last_line, python_of
from schemas.errors import SettingsError
from schemas.settings import Settings, load_settings
from streams import admin

PARTITIONS = 4
FRAME = 4_096
TICK_STEP_NS = 100_000
"""Event time between two JSON ticks: fifty a symbol and window."""
PATIENCE_S = 600.0

ROOT = Path(__file__).parents[2]


class Run(NamedTuple):
    """One reading of the whole topic."""

    seconds: float
    cpu_seconds: float | None = None
    """None where it is not counted."""


Outcome = Run | Absent
Check = Callable[[Settings], str]


class Table:
    """The outcomes of one lane, round by round."""

    def __init__(self) -> None:
        self.ours: list[Run] = []
        self.peers: dict[str, list[Run]] = {}
        self.absent: dict[str, str] = {}
        self.differences: dict[str, str] = {}

    def take(self, name: str, outcome: Outcome, difference: str = "") -> None:
        """Enter a peer's outcome of this round; whoever failed once is not a number any more."""
        if isinstance(outcome, Absent):
            self.absent[name] = outcome.reason
            return
        self.peers.setdefault(name, []).append(outcome)
        if difference:
            self.differences[name] = difference

    def figures(self, ticks: int) -> dict[str, Any]:
        """Rates and ratios, and for whoever is absent the reason."""
        found: dict[str, Any] = {"ours": rates(self.ours, ticks)}
        for name, runs in self.peers.items():
            if name in self.absent:
                continue
            found[name] = rates(runs, ticks) | {
                **_ratios(list(zip(self.ours, runs, strict=True))),
                "outputs": self.differences.get(name, "same as ours"),
            }
        return found | {name: {"absent": reason} for name, reason in self.absent.items()}


def rates(runs: list[Run], ticks: int) -> dict[str, int]:
    """Medians, by the clock and by CPU time where that is counted."""
    found = {"ticks_per_s": round(ticks / statistics.median(run.seconds for run in runs))}
    spent = [run.cpu_seconds for run in runs if run.cpu_seconds is not None]
    if spent:
        found["ticks_per_cpu_s"] = round(ticks / statistics.median(spent))
    return found


def _ratios(pairs: list[tuple[Run, Run]]) -> dict[str, float]:
    """Medians of what ours is times the peer's, run by neighbouring run."""
    found = {"ours_over_peer": round(statistics.median(b.seconds / a.seconds for a, b in pairs), 2)}
    by_cpu = [b.cpu_seconds / a.cpu_seconds for a, b in pairs if a.cpu_seconds and b.cpu_seconds]
    if by_cpu:
        found["ours_over_peer_by_cpu"] = round(statistics.median(by_cpu), 2)
    return found


def measure(
    ticks: int, messages: int, rounds: int, only: tuple[str, ...], lanes: tuple[str, ...]
) -> dict[str, Any]:
    """Measure the lanes; see :func:`bench.peers.run`."""
    unknown = set(only) - {peer.name for peer in PEERS}
    if unknown:
        known = ", ".join(peer.name for peer in PEERS)
        raise SettingsError(f"{', '.join(sorted(unknown))}: no such peer", f"one of {known}")
    folder = load_settings().data_dir.resolve() / "peers"
    peers = {peer: python_of(peer, folder) for peer in PEERS if not only or peer.name in only}
    figures: dict[str, Any] = {"rounds": rounds}
    if "frames" in lanes:
        figures["frames"] = _frames(peers, ticks, rounds)
    if "json" in lanes:
        figures["json"] = _json(peers, messages, rounds)
    figures["tuning"] = {peer.name: peer.tuning for peer in peers}
    return figures


def _frames(peers: dict[Peer, Path | Absent], ticks: int, rounds: int) -> dict[str, Any]:
    table = Table()
    with lab(partitions=PARTITIONS) as settings:
        asyncio.run(fill(settings, ticks=ticks, symbols=100, rate_per_s=200.0, frame=FRAME, seed=11))
        messages = asyncio.run(log_size(settings))
        for number in range(rounds):
            asyncio.run(forget_outputs(settings))
            table.ours.append(Run(*ours.frames(settings, messages, number)))
            reference = asyncio.run(check.read_outputs(settings))

            def differs(at: Settings, reference: check.Outputs = reference) -> str:
                return check.differing_outputs(reference, asyncio.run(check.read_outputs(at)))

            _round(table, peers, settings, ("frames", messages, number), differs)
    return {"ticks": ticks, "messages": messages} | table.figures(ticks)


def _json(peers: dict[Peer, Path | Absent], messages: int, rounds: int) -> dict[str, Any]:
    table = Table()
    ticks = ticks_json(messages, seed=7, step_ns=TICK_STEP_NS)
    expected = check.expected_bars(payload for _, payload in ticks)
    our_difference = ""
    for number in range(rounds):
        # A broker a round: what ingest has taken in, and how far it was, is then forgotten too.
        with lab(partitions=PARTITIONS) as settings:
            asyncio.run(admin.ensure_topics(settings))
            asyncio.run(send_ticks(settings, ticks))
            table.ours.append(Run(*ours.json_lane(settings, messages)))
            our_bars = asyncio.run(check.read_our_bars(settings))
            our_difference = our_difference or check.differing_bars(expected, our_bars, check.COMMON)

            def differs(at: Settings) -> str:
                return check.differing_bars(expected, asyncio.run(check.read_bars(at)))

            _round(table, peers, settings, ("json", messages, number), differs)
    found = table.figures(messages)
    found["ours"]["outputs"] = our_difference or "same as a plain loop"
    return {"messages": messages, "bars": len(expected)} | found


def _round(
    table: Table,
    peers: dict[Peer, Path | Absent],
    settings: Settings,
    what: tuple[str, int, int],
    differs: Check,
) -> None:
    """Each peer once, on emptied outputs."""
    lane, messages, number = what
    for peer, python in peers.items():
        if peer.name in table.absent:
            continue
        if isinstance(python, Absent):
            table.take(peer.name, python)
            continue
        asyncio.run(forget_outputs(settings))
        name = f"{peer.name}-{lane}-{number}"
        folder = settings.data_dir / name
        folder.mkdir()
        outcome = run_script(
            python, peer.module, settings, Job(lane, settings.broker, messages, name, str(folder))
        )
        table.take(peer.name, outcome, "" if isinstance(outcome, Absent) else differs(settings))


def run_script(python: Path, module: str, settings: Settings, job: Job) -> Outcome:
    """One run of a peer's script; what keeps it from ending well is the reason of its absence."""
    environment = settings.environment(os.environ) | {"PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            [str(python), "-m", module, json.dumps(asdict(job))],
            env=environment,
            cwd=job.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        return Absent(f"{job.lane}: has not read {job.messages} messages in {PATIENCE_S:g} s")
    said = last_line(done.stdout)
    if done.returncode or not said.startswith("{"):
        return Absent(f"{job.lane}: ended with {done.returncode}: {last_line(done.stderr) or said}")
    report = json.loads(said)
    if report["seen"] != job.messages:
        return Absent(f"{job.lane}: took in {report['seen']} of {job.messages} messages")
    return Run(report["seconds"], report["cpu_seconds"])
