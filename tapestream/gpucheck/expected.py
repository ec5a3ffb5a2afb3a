"""What an H100 should reach, derived from bytes, bandwidths, launches and instructions; no measurement.

The figures of the card are its maker's or are believed, as :class:`Card` says. Everything else is arithmetic
on what the code moves and on what the compiled kernels are made of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agents.kernels.names import BAR_FLOAT_NAMES, BAR_INT_NAMES, FEATURE_NAMES, INT_NAMES
from agents.kernels.patterns.smoothing import BANDWIDTHS, HALF
from tapestream.gpucheck.record import Record

ARCHITECTURE = "sm_90"
_ORDER_BYTES = 8
_OUTCOME_BYTES = 3 * 8
SHAPES = ((4_096, 100), (4_096, 1_000), (65_536, 1_000), (65_536, 10_000))
"""Ticks of a batch and symbols."""


@dataclass(frozen=True, slots=True)
class Card:
    """An H100 SXM. The maker's: clock, memory, float32 and float64. Believed: all others.

    Attributes
    ----------
    cycles_an_instruction
        Of one warp that has its scheduler to itself, most instructions waiting for the one before.
    dependent_loads, load_cycles
        Reads of the state that wait for one another in a tick, and what each takes from the second-level
        cache, which holds 50 MB.
    launch_s, wait_s
        From the host's call to the kernel's start, and to have an event seen by the host.
    """

    clock_hz: float = 1.755e9
    memory_bytes_s: float = 3.35e12
    float32_s: float = 67e12
    float64_s: float = 67e12
    link_bytes_s: float = 55e9
    cycles_an_instruction: float = 4.0
    dependent_loads: int = 12
    load_cycles: int = 270
    launch_s: float = 4e-6
    wait_s: float = 10e-6
    launches: int = 3


def tick_bytes() -> tuple[int, int]:
    """To the device and back, a tick: the kernel's columns, its place in the order; outcome and event."""
    return sum(_COLUMNS.values()) + _ORDER_BYTES, _OUTCOME_BYTES


_COLUMNS = {
    **dict.fromkeys(("ts_event", "bid_px", "ask_px", "trade_px", "sequence"), 8),
    **dict.fromkeys(("bid_sz", "ask_sz", "trade_sz"), 8),
    **{"symbol": 4, "kind": 1, "aggressor": 1},
}


def busiest(ticks: int, symbols: int) -> int:
    """Ticks of the symbol that has most, all being equally likely: the mean and three deviations."""
    mean = ticks / symbols
    return math.ceil(mean + 3 * math.sqrt(mean))


def tick_s(record: Record, card: Card, share: float) -> float:
    """One tick of one thread that runs this share of the kernel's instructions."""
    instructions = record["kernels"][ARCHITECTURE]["advance"]["instructions"] * share
    cycles = instructions * card.cycles_an_instruction + card.dependent_loads * card.load_cycles
    return float(cycles / card.clock_hz)


def batch(record: Record, ticks: int, symbols: int, card: Card) -> dict[str, float]:
    """Seconds of the parts of a batch: copies, launches, and the kernel at best and at worst."""
    sent, back = tick_bytes()
    longest = busiest(ticks, symbols)
    return {
        "copy": ticks * (sent + back) / card.link_bytes_s,
        "launch": card.launches * card.launch_s + card.wait_s,
        "best": longest * tick_s(record, card, _BRANCH),
        "worst": longest * tick_s(record, card, 1.0),
    }


_BRANCH = 0.25
"""Of all instructions: a tick that goes one way, beside threads that go the same way."""


def tick_table(record: Record, card: Card | None = None) -> str:
    """The tick path as a table."""
    card = card or Card()
    head = ("ticks a batch", "symbols", "busiest symbol", "copies, µs", "launches, µs", "kernel, µs")
    rows = []
    for ticks, symbols in SHAPES:
        part = batch(record, ticks, symbols, card)
        fast, slow = (ticks / (part["launch"] + max(part["copy"], part[end])) for end in ("best", "worst"))
        rows.append(
            (
                f"{ticks:,}",
                f"{symbols:,}",
                str(busiest(ticks, symbols)),
                f"{part['copy'] * 1e6:.0f}",
                f"{part['launch'] * 1e6:.0f}",
                f"{part['best'] * 1e6:.0f} to {part['worst'] * 1e6:.0f}",
                f"{slow / 1e6:.0f} to {fast / 1e6:.0f}",
                "copies" if part["copy"] > part["worst"] else "the busiest symbol",
            )
        )
    return _table((*head, "M ticks/s", "bottleneck"), rows)


def kernel_table(record: Record) -> str:
    """What the kernels need, as a table."""
    head = ("architecture", "kernel", "registers", "spilled, bytes", "stack, bytes", "local, bytes")
    rows = [
        (
            architecture,
            f"`{name}`",
            str(one["registers"]),
            str(one["spill_store_bytes"] + one["spill_load_bytes"]),
            str(one["stack_bytes"]),
            str(one["local_bytes"]),
            f"{one['instructions']:,}",
            f"{one['doubles']:,}",
            f"{one['loads']} / {one['stores']}",
        )
        for architecture, kernels in record["kernels"].items()
        for name, one in kernels.items()
    ]
    return _table((*head, "instructions", "of float64", "loads / stores"), rows)


def figures(record: Record, card: Card | None = None) -> str:
    """Bytes a tick, a row and a symbol, as a table."""
    card = card or Card()
    sent, back = tick_bytes()
    row = 8 * (len(INT_NAMES) + len(FEATURE_NAMES))
    bar = 8 * (len(BAR_INT_NAMES) + len(BAR_FLOAT_NAMES))
    return _table(
        ("what", "figure"),
        [
            ("to the device, bytes a tick", str(sent)),
            ("back, bytes a tick", str(back)),
            ("back, bytes a feature row and a bar", f"{row} and {bar}"),
            ("link alone, M ticks/s", f"{card.link_bytes_s / (sent + back) / 1e6:.0f}"),
            ("memory alone, M ticks/s", f"{card.memory_bytes_s / _state_bytes(record) / 1e6:,.0f}"),
            ("one tick of one thread, µs", _range(tick_s(record, card, s) for s in (_BRANCH, 1.0))),
        ],
    )


def _state_bytes(record: Record) -> int:
    """At most what a tick reads and writes: every load and store of the kernel once, 8 bytes each."""
    one = record["kernels"][ARCHITECTURE]["advance"]
    return 8 * int(one["loads"] + one["stores"])


def model_table(card: Card | None = None) -> str:
    """Scoring, least CVaR and patterns as a table of milliseconds."""
    card = card or Card()
    rows = [
        ("LSTM, 1,000 symbols × 60 bars", *_parts(card, 4 * 1_000 * 60 * 8, _lstm_flops(), 4e6, 60, 32)),
        ("least CVaR, one step, 100,000 × 500", *_parts(card, 2 * 8 * 100_000, *_cvar(100_000, 500), 8, 64)),
        ("its scenarios to the device, once", *_parts(card, 8 * 100_000 * 500, 0, 0, 0, 64)),
        ("bandwidths of 1,000,000 windows", *_parts(card, 8 * 2_000_000, *_patterns(1_000_000), 12, 64)),
    ]
    return _table(("step", "link, ms", "arithmetic, ms", "memory, ms", "launches, ms", "bottleneck"), rows)


def _parts(
    card: Card, link: float, flops: float, memory: float, launches: int, width: int
) -> tuple[str, ...]:
    rate = card.float32_s if width == 32 else card.float64_s
    parts = {
        "link": link / card.link_bytes_s,
        "arithmetic": flops / rate,
        "memory": memory / card.memory_bytes_s,
        "launches": launches * card.launch_s,
    }
    return (*(f"{seconds * 1e3:.3f}" for seconds in parts.values()), max(parts, key=lambda p: parts[p]))


def _lstm_flops(symbols: int = 1_000, steps: int = 60, features: int = 8, hidden: int = 64) -> float:
    return 2.0 * symbols * steps * (features + hidden) * 4 * hidden


def _cvar(scenarios: int, assets: int) -> tuple[float, float]:
    """Flops and bytes: the square, its scaled copy written and read, and four products with vectors."""
    matrix = 8.0 * scenarios * assets
    return 2.0 * scenarios * assets**2, (3 + 4) * matrix


def _patterns(windows: int) -> tuple[float, float]:
    """Flops and bytes: errors of both halves, written, read, squared, read again."""
    errors = 2.0 * len(BANDWIDTHS) * HALF * windows
    return 2.0 * HALF * errors, 4 * 8 * errors


def _range(seconds: Iterable[float]) -> str:
    return " to ".join(f"{one * 1e6:.1f}" for one in seconds)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(text: str, record: Record) -> str:
    """A page whose marked places are filled: ``<!-- NAME -->`` to ``<!-- end -->``.

    Raises
    ------
    ValueError
        When a place is missing.
    """
    blocks: dict[str, Any] = {
        "kernels": kernel_table(record),
        "figures": figures(record),
        "ticks": tick_table(record),
        "models": model_table(),
        "tools": ", ".join(f"{name} {number}" for name, number in record["tools"].items()) + ".",
    }
    for name, block in blocks.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not begin or not end:
            raise ValueError(f"the page has no place for {name}")
        text = f"{before}{begin}\n{block}\n\n{end}{after}"
    return text
