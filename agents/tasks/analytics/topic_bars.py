"""Bars of symbols from the topic ``market.bars``, by bounded reads from its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from agents.tasks.agent import Task
from agents.tasks.analytics.bar_shelf import BarRange, BarShelf, Columns
from schemas.errors import FieldError, TopicError
from streams import admin
from streams.clients import partition_of
from streams.log_reader import LogReader
from streams.topics import BARS

FIRST_BLOCK = 256
LARGEST_BLOCK = 4_096
MOST_MESSAGES = 250_000
"""Read of a partition, at most, in search of the last bars; a time range is read whole."""

READING = 0.2
"""Share of a task's progress that reading is."""


async def read_topic(task: Task, symbols: Sequence[str], wanted: BarRange) -> dict[str, Columns]:
    """Bars of every symbol, oldest first.

    Raises
    ------
    FieldError
        When the topic is absent; naming the first symbol that has none, and what there is instead.
    """
    try:
        (topic,) = await admin.present(task.settings, BARS)
    except TopicError as exc:
        raise FieldError("symbols", exc.problem, exc.remedy) from exc
    homes: dict[int, list[str]] = defaultdict(list)
    for symbol in symbols:
        homes[partition_of(symbol, topic.partitions)].append(symbol)
    shelves = {partition: BarShelf(own, wanted) for partition, own in sorted(homes.items())}
    found: dict[str, Columns] = {}
    async with LogReader(task.settings) as reader:
        for done, (partition, shelf) in enumerate(shelves.items()):
            await _fill(task, reader, (topic.name, partition), shelf, (done / len(shelves), 1 / len(shelves)))
            found |= shelf.bars()
    for index, symbol in enumerate(symbols):
        if symbol not in found:
            raise _nothing(index, symbol, shelves[partition_of(symbol, topic.partitions)])
    return found


async def _fill(
    task: Task, reader: LogReader, place: tuple[str, int], shelf: BarShelf, share: tuple[float, float]
) -> None:
    first, end = await reader.bounds(*place)
    if shelf.wanted.from_ns is None:
        first = max(first, end - MOST_MESSAGES)
    length, more = FIRST_BLOCK, True
    while more and end > first:
        begin = max(end - length, first)
        async for record in reader.read(*place, begin, end):
            if record.value:
                shelf.take(record.value, record.offset)
            task.check()
        more = shelf.settle()
        end, length = begin, min(2 * length, LARGEST_BLOCK)
        task.progress(READING * (share[0] + share[1] * shelf.share), "reading bars")


def _nothing(index: int, symbol: str, shelf: BarShelf) -> FieldError:
    wanted = shelf.wanted
    if shelf.other_windows_ns:
        lengths = ", ".join(str(ns // 1_000_000) for ns in sorted(shelf.other_windows_ns))
        there, remedy = f"its partition has some of {lengths} ms", f"set window_ms to one of {lengths}"
    elif shelf.strangers:
        names = ", ".join(sorted(shelf.strangers))
        there, remedy = f"its partition has {names}", "mend the name, or send its ticks to market.ticks"
    else:
        there, remedy = "its partition has none", "run a worker on its ticks, or give bars or a path"
    when = "" if wanted.from_ns is wanted.to_ns is None else " in that time"
    asked = f"{symbol} has no bars of {wanted.window_ns // 1_000_000} ms on market.bars{when}"
    return FieldError(f"symbols[{index}]", f"{asked}; {there}", remedy)
