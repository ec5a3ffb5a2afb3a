"""``tapestream verify``: recompute outputs from the input log and compare them bit for bit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agents.partition_config import PartitionConfig
    from agents.verification import Comparison, Verifier
    from schemas.settings import Settings
    from streams.log_reader import LogReader


def run(
    partition: Annotated[
        list[int] | None, typer.Option(help="Partition of market.ticks; all when absent.", show_default=False)
    ] = None,
    from_offset: Annotated[
        int | None, typer.Option("--from", help="First input offset to compare; the start when absent.")
    ] = None,
    to_offset: Annotated[
        int | None,
        typer.Option("--to", help="Last input offset to compare; what the workers have saved when absent."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    max_differences: Annotated[int, typer.Option(help="How many differences to print.")] = 20,
) -> None:
    """Prove that the outputs on the log are those that the inputs give.

    Starts from the checkpoint nearest below --from, or from the start of the log, computes every input
    up to --to again and compares each output with the log: none missing, none twice, none different. Where
    signals, indicators or the promoted model changed, it changes them too.
    """
    from rich.console import Console

    from schemas.codec import dumps_pretty
    from schemas.errors import VerifyError
    from schemas.settings import load_settings

    settings = load_settings()
    numbers = partition or list(range(settings.partitions))
    found = asyncio.run(verify(settings, numbers, from_offset, to_offset))
    total = sum(len(comparison.differences) for comparison in found.values())
    if json:
        typer.echo(dumps_pretty({"partitions": [_facts(n, c, max_differences) for n, c in found.items()]}))
    else:
        console = Console()
        for number, comparison in found.items():
            console.print(
                f"market.ticks[{number}]: {comparison.inputs:,} inputs, {comparison.outputs:,} outputs, "
                f"{comparison.identical:,} identical, {len(comparison.differences):,} differences",
                highlight=False,
            )
            for note in comparison.notes:
                console.print(f"  {note}", markup=False, highlight=False)
            for difference in comparison.differences[:max_differences]:
                console.print(f"  {difference}", markup=False, highlight=False)
    if total:
        raise VerifyError(f"{total} outputs differ from what the inputs give", "see the differences above")


def _facts(number: int, comparison: Comparison, limit: int) -> dict[str, Any]:
    return {
        "partition": number,
        "inputs": comparison.inputs,
        "outputs": comparison.outputs,
        "identical": comparison.identical,
        "differences": [str(difference) for difference in comparison.differences[:limit]],
        "difference_count": len(comparison.differences),
        "notes": comparison.notes,
    }


async def verify(
    settings: Settings, partitions: list[int], first: int | None, last: int | None
) -> dict[int, Comparison]:
    """Verify each partition; see :func:`run` for the range."""
    from agents.configuration import partition_config
    from agents.live.library import RegistryLibrary
    from streams.clients import wait_for_broker
    from streams.log_reader import LogReader

    await wait_for_broker(settings, timeout_s=0.0)
    config = partition_config(settings, RegistryLibrary(settings.data_dir))
    async with LogReader(settings) as reader:
        return {n: await _verify_one(settings, reader, config, n, first, last) for n in partitions}


async def _verify_one(
    settings: Settings,
    reader: LogReader,
    config: Callable[[int], PartitionConfig],
    number: int,
    first: int | None,
    last: int | None,
) -> Comparison:
    from agents.messages import Message
    from agents.partition import Partition
    from agents.partition_state import course_of
    from agents.selection import Course
    from agents.verification import Verifier, under
    from streams import checkpoints, topics

    ticks = topics.name(settings, topics.TICKS)
    begin, log_end = await reader.bounds(ticks, number)
    checkpoint = await checkpoints.load(settings, reader, number)
    saved = checkpoint.next_offset if checkpoint else log_end
    end = min(log_end, saved if last is None else last + 1)
    start = begin if first is None else max(begin, first)
    # Only the newest checkpoints are kept: one above the range is of no use for it.
    usable = checkpoint is not None and checkpoint.next_offset <= start and first is not None
    origin_offset = checkpoint.next_offset if checkpoint is not None and usable else begin
    course = Course(config(number).selection)
    if checkpoint is not None:
        course = course_of(config(number), checkpoint.state)
    selected = under(config(number), course, origin_offset, end)
    state = Partition(selected(origin_offset))
    if checkpoint is not None and usable:
        state.restore(checkpoint.state)
    verifier = Verifier()
    if course.stretches[-1][1] != config(number).selection:
        verifier.result.notes.append(
            f"configured is [{config(number).selection}], computed was [{course.stretches[-1][1]}]: "
            "each stretch is computed as it was"
        )
    await _record(settings, reader, verifier, number, range(start, end))
    async for record in reader.read(ticks, number, origin_offset, end):
        message = Message(record.offset, record.timestamp, list(record.headers), record.value)
        if selected(record.offset).selection != state.config.selection:
            state = state.under(selected(record.offset))
        outputs = state.process(message)
        if record.offset >= start:
            verifier.compute(record.offset, outputs)
    return verifier.finish()


async def _record(
    settings: Settings, reader: LogReader, verifier: Verifier, number: int, inputs: range
) -> None:
    """Note the outputs of these inputs that are on the log."""
    from agents.outputs import DATA_LOSS_INDEX
    from agents.verification import Recorded
    from schemas.headers import get_origin
    from streams import topics
    from streams.recovery import OUTPUT_TOPICS

    for base in OUTPUT_TOPICS:
        async for record in reader.rest(topics.name(settings, base), number):
            origin = get_origin(record.headers)
            if origin is None or (origin.topic, origin.partition) != (topics.TICKS, number):
                continue
            if origin.offset in inputs and origin.index != DATA_LOSS_INDEX:
                found = Recorded(base, record.offset, record.key, record.value, list(record.headers))
                verifier.record((origin.offset, origin.index), found)
