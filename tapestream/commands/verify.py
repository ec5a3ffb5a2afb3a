"""``tapestream verify``: recompute outputs from the input log and compare them bit for bit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agents.verification import Comparison
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
    up to --to again and compares each output with the log: none missing, none twice, none different.
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
    }


async def verify(
    settings: Settings, partitions: list[int], first: int | None, last: int | None
) -> dict[int, Comparison]:
    """Verify each partition; see :func:`run` for the range."""
    from agents.configuration import partition_config
    from streams.log_reader import LogReader

    config = partition_config(settings)
    async with LogReader(settings) as reader:
        return {n: await _verify_one(settings, reader, config, n, first, last) for n in partitions}


async def _verify_one(
    settings: Settings,
    reader: LogReader,
    config: Callable[[int], Any],
    number: int,
    first: int | None,
    last: int | None,
) -> Comparison:
    from agents.outputs import DATA_LOSS_INDEX
    from agents.partition import Message, Partition
    from agents.verification import Recorded, Verifier
    from schemas.headers import get_origin
    from streams import checkpoints, topics
    from streams.recovery import OUTPUT_TOPICS

    ticks = topics.name(settings, topics.TICKS)
    begin, log_end = await reader.bounds(ticks, number)
    checkpoint = await checkpoints.load(settings, reader, number)
    saved = checkpoint.next_offset if checkpoint else log_end
    end = min(log_end, saved if last is None else last + 1)
    start = begin if first is None else max(begin, first)
    state = Partition(config(number))
    origin_offset = begin
    # Only the newest checkpoints are kept: one above the range is of no use for it.
    if checkpoint is not None and checkpoint.next_offset <= start and first is not None:
        state.restore(checkpoint.state)
        origin_offset = checkpoint.next_offset
    verifier = Verifier()
    for base in OUTPUT_TOPICS:
        name = topics.name(settings, base)
        async for record in reader.rest(name, number):
            origin = get_origin(record.headers)
            if origin is None or (origin.topic, origin.partition) != (topics.TICKS, number):
                continue
            if start <= origin.offset < end and origin.index != DATA_LOSS_INDEX:
                found = Recorded(base, record.offset, record.key, record.value, list(record.headers))
                verifier.record((origin.offset, origin.index), found)
    async for record in reader.read(ticks, number, origin_offset, end):
        message = Message(record.offset, record.timestamp, list(record.headers), record.value)
        outputs = state.process(message)
        if record.offset >= start:
            verifier.compute(record.offset, outputs)
    return verifier.finish()
