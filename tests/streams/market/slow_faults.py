"""The faults, planted the slow way: a tick at a time, with lists and dictionaries, on the whole stream.

It shares with the fast injector only the hash that chooses, which is an input here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from streams.market.fault_plan import FAULT_KINDS, FaultPlan, PlantedFault

MS = 1_000_000


@dataclass(frozen=True)
class Tick:
    row: int
    symbol: str
    kind: str
    ts: int
    recv: int
    sequence: int
    bid: int
    ask: int


Out = tuple[int, int, str]
"""A tick that comes: its row, its capture time, and ``""``, ``crossed`` or ``bad``."""


def chosen(plan: FaultPlan, u: float) -> str:
    total = 0.0
    for kind, rate in zip(FAULT_KINDS, plan.rates(), strict=True):
        total += rate
        if u < total:
            return kind
    return ""


def plant(
    plan: FaultPlan, ticks: list[Tick], u: list[float], share: list[float]
) -> tuple[list[Out], list[PlantedFault]]:
    """What comes, in order, and what was planted, by row."""
    planted: list[PlantedFault] = []
    missing: dict[tuple[int, str, str], PlantedFault] = {}
    silent: dict[str, tuple[int, int]] = {}
    seen: set[tuple[str, str]] = set()
    clock, clocks = 0, []
    verdict: list[str] = []
    for tick in ticks:
        clock = max(clock, tick.ts)
        clocks.append(clock)
        fault = chosen(plan, u[tick.row])
        who = "*" if fault == "outage" else tick.symbol
        if fault in ("stall", "outage") and not any(clock < silent.get(w, (0, 0))[0] for w in (who, "*")):
            silent[who] = (clock + plan.stall_ms * MS, tick.row)
        over = [w for w in ("*", tick.symbol) if clock < silent.get(w, (0, 0))[0]]
        if over:
            key = (silent[over[0]][1], tick.symbol, tick.kind)
            kind = "outage" if over[0] == "*" else "stall"
            old = missing.get(key)
            missing[key] = replace(old, count=old.count + 1) if old else record(kind, tick)
            verdict.append("missing")
        elif (tick.symbol, tick.kind) not in seen:
            seen.add((tick.symbol, tick.kind))
            verdict.append("")
        elif fault == "crossed" and not (tick.kind == "quote" and 0 < tick.bid < tick.ask):
            verdict.append("")
        else:
            verdict.append("" if fault in ("stall", "outage") else fault)
    in_place = [t for t, v in zip(ticks, verdict, strict=True) if v in ("", "duplicate", "crossed", "bad")]

    arrivals: list[tuple[tuple[int, int, int, int], Out]] = []
    for tick, fault in zip(ticks, verdict, strict=True):
        at, row, recv = clocks[tick.row], tick.row, tick.recv
        here = (at, row, 0, row)
        if fault in ("", "crossed", "bad", "duplicate"):
            spoiled = fault if fault in ("crossed", "bad") else ""
            arrivals += [(here, (row, recv, spoiled))] * (2 if fault == "duplicate" else 1)
            if fault:
                planted.append(record(fault, tick))
        elif fault == "gap":
            planted.append(record("gap", tick))
        elif fault == "reorder":
            due = at + 1 + int(share[row] * (plan.reorder_ms * MS))
            before = [t for t in in_place if t.row > row and t.symbol == tick.symbol and clocks[t.row] < due]
            place = (due, row, 0, row) if due <= clock else (1 << 62, due, row, 0)
            came = due if due <= clock else clock
            arrivals.append((place, (row, recv + came - at, "")))
            planted.append(replace(record("reorder", tick), count=len(before), certain=len(before) > 0))
        elif fault == "late":
            due = at + plan.late_ms * MS
            later = [t for t in in_place if t.row > row and t.symbol == tick.symbol]
            bringer = next((t for t in later if clocks[t.row] >= due), None)
            if bringer is None:
                arrivals.append(((1 << 62, due, row, 0), (row, recv + clock - at, "")))
                planted.append(replace(record("late", tick), count=len(later), certain=False))
            else:
                arrivals.append(
                    ((clocks[bringer.row], bringer.row, 1, row), (row, recv + clocks[bringer.row] - at, ""))
                )
                before = [t for t in later if t.row <= bringer.row]
                planted.append(replace(record("late", tick), count=len(before)))
    planted += missing.values()

    def is_between(fault: PlantedFault) -> bool:
        rows = [t.row for t in in_place if (t.symbol, t.kind) == (fault.symbol, fault.tick)]
        return any(row < fault.row for row in rows) and any(row > fault.row for row in rows)

    planted = [
        replace(f, certain=is_between(f)) if f.fault in ("gap", "stall", "outage") else f for f in planted
    ]
    return [out for _, out in sorted(arrivals)], sorted(planted, key=lambda f: (f.row, f.fault))


def record(fault: str, tick: Tick) -> PlantedFault:
    return PlantedFault(fault, tick.symbol, tick.kind, tick.row, tick.ts, tick.sequence)  # type: ignore[arg-type]
