"""`tapestream allocations`: the allocation log, a sentence a record."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from orchestrator.ledger import Ignored
from schemas import codec
from schemas.allocations import Head, encode
from schemas.settings import Settings, load_settings
from streams import clients, topics
from streams.follow import follow
from tapestream.allocation_log import Ledgers, readable
from tapestream.allocations_view import line


def run(
    watch: Annotated[bool, typer.Option("--watch", help="Wait for more, until Ctrl-C.")] = False,
    task: Annotated[str | None, typer.Option(help="Only records of this task.")] = None,
    device: Annotated[str | None, typer.Option(help="Only records of this device, by its uuid.")] = None,
    ticks: Annotated[bool, typer.Option("--ticks", help="Also ticks and renewals.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: the record, its offset and the verdict.")
    ] = False,
) -> None:
    """Who got which device, when and why: all of the log, a sentence a record.

    A record that does not count says which check it failed.
    """
    asyncio.run(_show(load_settings(), watch, task, device, ticks, as_json))


async def _show(
    settings: Settings, watch: bool, task: str | None, device: str | None, ticks: bool, as_json: bool
) -> None:
    await clients.wait_for_broker(settings, timeout_s=10.0, on_wait=_complain)
    ledgers = Ledgers()
    reading = follow(settings, topics.ALLOCATIONS, from_beginning=True, until_now=not watch)
    async with reading as batches:
        async for batch in batches:
            for message in batch:
                record = readable(settings, message.offset, message.value, _complain)
                if record is None:
                    continue
                verdict = ledgers.apply(record)
                if not _is_wanted(record, task, device, ticks):
                    continue
                if as_json:
                    reason = verdict.reason if isinstance(verdict, Ignored) else None
                    shown = codec.loads(encode(record)) | {"offset": message.offset, "ignored": reason}
                    typer.echo(codec.dumps(shown).decode())
                else:
                    typer.echo(line(record, message.offset, verdict))


def _is_wanted(record: Head, task: str | None, device: str | None, ticks: bool) -> bool:
    if task is not None and getattr(record, "task_id", None) != task:
        return False
    if device is not None:
        named = (getattr(record, "gpu_uuid", None), *getattr(record, "gpu_uuids", ()))
        return device in named
    return ticks or type(record).__name__ not in ("Tick", "Renewed")


def _complain(text: str) -> None:
    typer.echo(text, err=True)
